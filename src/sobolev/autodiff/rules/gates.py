"""Rules of activation functions that are quotients and products of others."""

from typing import Any

import torch
from torch.nn import functional

from sobolev.autodiff.rules.kinds import settled
from sobolev.autodiff.rules.registry import rule


@rule("glu")
def glu(x: Any, dim: int = -1) -> Any:
    """One half times the sigmoid of the other."""
    half, gate = x.chunk(2, dim)
    return half * torch.sigmoid(gate)


@rule(functional.softsign)
def softsign(x: Any) -> Any:
    """X / (1 + |x|)."""
    return x / (1 + torch.abs(x))


@rule(functional.tanhshrink)
def tanhshrink(x: Any) -> Any:
    """X - tanh(x)."""
    return settled(x.space, functional.tanhshrink(x.value), (x - torch.tanh(x)).full)
