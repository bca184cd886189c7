"""Rules of activation functions that are quotients and products of others."""

import torch
from torch.nn import functional

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.kinds import settled
from sobolev.autodiff.rules.registry import rule


@rule("glu")
def glu(x: Jet, dim: int = -1) -> Jet:
    """One half times the sigmoid of the other."""
    half, gate = x.chunk(2, dim)
    return half * torch.sigmoid(gate)


@rule(functional.softsign)
def softsign(x: Jet) -> Jet:
    """X / (1 + |x|)."""
    return x / (1 + torch.abs(x))


@rule(functional.tanhshrink)
def tanhshrink(x: Jet) -> Jet:
    """X - tanh(x)."""
    return settled(x.space, functional.tanhshrink(x.value), (x - torch.tanh(x)).full)
