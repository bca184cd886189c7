"""Functions that act on every element: activations, and those that plain forwards call."""

from typing import Any

import numpy as np
import torch

from sobolev.certify.balls import Ball, exact
from sobolev.certify.enclosure import Enclosure, shifted
from sobolev.certify.functions import (
    GELU,
    LOGISTIC,
    Arctangent,
    Exponential,
    Logarithm,
    Normal,
    SiLU,
    Softplus,
    Trigonometric,
    Univariate,
)
from sobolev.certify.registry import NoEnclosureError, rule
from sobolev.certify.rules.arithmetic import in_place, power, quotient, scaled, times
from sobolev.certify.rules.kinds import elementwise

SILU, SOFTPLUS, NORMAL, GELU_EXACT = SiLU(), Softplus(), Normal(), GELU()
SIN, COS, EXP, LOG, ATAN = Trigonometric(0), Trigonometric(1), Exponential(), Logarithm(), Arctangent()
_GELU_SCALE, _GELU_CUBE = 0.7978845608028654, 0.044715
"""PyTorch's numbers for the GELU by a tanh, sqrt(2/π) rounded to float64 among them."""


def _register(f: Univariate, *names: str) -> None:
    rule(*names)(lambda x: elementwise(f, x))


_register(LOGISTIC, "sigmoid", "expit")
_register(SIN, "sin")
_register(COS, "cos")
_register(EXP, "exp")
_register(LOG, "log")
_register(NORMAL, "ndtr")
_register(ATAN, "atan", "arctan")


@rule("erf")
def erf(x: Enclosure) -> Enclosure:
    """2 Φ(√2 x) - 1."""
    return shifted(scaled(_normal_of_root_two(x, 1.0), exact(2.0)), exact(-1.0))


@rule("erfc", torch.special.erfc)
def erfc(x: Enclosure) -> Enclosure:
    """2 Φ(-√2 x)."""
    return scaled(_normal_of_root_two(x, -1.0), exact(2.0))


def _normal_of_root_two(x: Enclosure, sign: float) -> Enclosure:
    """Φ(±√2 x)."""
    return elementwise(NORMAL, scaled(x, Ball(np.array(sign * 2**0.5), np.array(3e-16))))


@rule("tanh")
def tanh(x: Enclosure) -> Enclosure:
    """2 σ(2 x) - 1."""
    doubled = elementwise(LOGISTIC, scaled(x, exact(2.0)))
    return shifted(scaled(doubled, exact(2.0)), exact(-1.0))


@rule("silu")
def silu(x: Enclosure, inplace: bool = False) -> Enclosure:
    """The product x σ(x)."""
    if inplace:
        in_place()
    return elementwise(SILU, x)


@rule("softplus")
def softplus(x: Enclosure, beta: float = 1.0, *_: Any, **__: Any) -> Enclosure:
    """log(1 + e^(beta x)) / beta, without PyTorch's straight line beyond the threshold."""
    if beta == 1:
        return elementwise(SOFTPLUS, x)
    return quotient(elementwise(SOFTPLUS, times(x, beta)), beta)


@rule("gelu")
def gelu(x: Enclosure, approximate: str = "none") -> Enclosure:
    """The product x Φ(x), or its approximation by a tanh."""
    if approximate == "none":
        return elementwise(GELU_EXACT, x)
    inner = times(times(x, _GELU_SCALE), times(power(x, 2), _GELU_CUBE) + 1)
    return times(times(x, 0.5), tanh(inner) + 1)


def _refuse_kink(name: str) -> None:
    @rule(name)
    def kinked(*_: Any, **__: Any) -> Enclosure:
        raise NoEnclosureError(
            f"no proof goes through {name}: it has a kink, so there is no second derivative to bound; "
            "train with silu, softplus, gelu or tanh"
        )


for _name in ("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "prelu", "hardtanh", "hardswish", "abs", "clamp"):
    _refuse_kink(_name)


@rule("dropout")
def dropout(x: Enclosure, _: float = 0.5, training: bool = True, **__: Any) -> Enclosure:
    """The identity outside of training."""
    if training:
        raise NoEnclosureError("no proof goes through dropout in training: call network.eval()")
    return x
