"""Rules of activation functions that are quotients and products of others."""

from typing import Any

import torch
from torch.nn import functional

from sobolev.autodiff.taylor.matching import settled
from sobolev.autodiff.taylor.propagation import compose
from sobolev.autodiff.taylor.registry import rule


@rule("glu")
def glu(x: Any, dim: int = -1) -> Any:
    """One half times the sigmoid of the other."""
    half, gate = x.chunk(2, dim)
    return half * torch.sigmoid(gate)


@rule(functional.softsign)
def softsign(x: Any) -> Any:
    """X / (1 + |x|); its coefficients are a geometric series."""
    nearness = 1 / (1 + x.value.abs())
    ratio, coefficients = -x.value.sign() * nearness, [nearness.square()]
    for _ in range(x.space.order - 1):
        coefficients.append(coefficients[-1] * ratio)
    return compose(x, [functional.softsign(x.value), *coefficients])


@rule(functional.tanhshrink)
def tanhshrink(x: Any) -> Any:
    """X - tanh(x)."""
    return settled(x.space, functional.tanhshrink(x.value), (x - torch.tanh(x)).full)
