"""Rules of special functions: sinc, entropies, logarithms of sums, degrees."""

import math
from typing import Any

import torch

from sobolev.autodiff.rules.elementwise.functions import primitive
from sobolev.autodiff.rules.elementwise.rounding import exact
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import settled
from sobolev.autodiff.taylor.registry import rule

_SMALL = 4.0
_TERMS = 20


@rule("sinc", torch.special.sinc)
def sinc(x: Any) -> Any:
    """sin(πx) / (πx); near 0 by its series, which has no 0/0."""
    scaled = math.pi * x
    near = x.value.abs() < _SMALL / math.pi
    quotient = torch.sin(scaled) / torch.where(near, torch.ones_like(x.value), scaled)
    result: Any = torch.where(near, _sinc_series(torch.where(near, scaled, torch.zeros_like(x.value))), quotient)
    return settled(x.space, torch.sinc(x.value), result.higher)


@rule(torch.special.spherical_bessel_j0)
def spherical_bessel_j0(x: Any) -> Any:
    """sin(x) / x."""
    value = torch.special.spherical_bessel_j0(x.value)
    if x.value.requires_grad:  # PyTorch's own has no gradient
        value = exact(value, torch.sinc(x.value / math.pi))
    return settled(x.space, value, sinc(x / math.pi).higher)


@rule("xlogy", torch.special.xlogy)
def xlogy(a: Any, b: Any) -> Any:
    """A log b, 0 where a is 0."""
    return _zero_where_zero(a, b, torch.log, torch.xlogy, 0)


@rule(torch.special.xlog1py)
def xlog1py(a: Any, b: Any) -> Any:
    """A log(1 + b), 0 where a is 0."""
    return _zero_where_zero(a, b, torch.log1p, torch.special.xlog1py, -1)


primitive(torch.special.entr, lambda x: -1 - torch.log(x))  # a product would overflow near 0 before it is formed


@rule("logit", torch.special.logit)
def logit(x: Any, eps: float | None = None) -> Any:
    """log(x / (1 - x))."""
    x = x if eps is None else torch.clamp(x, eps, 1 - eps)
    result: Any = torch.log(x) - torch.log1p(-x)
    return settled(x.space, torch.logit(x.value), result.higher)


@rule("deg2rad")
def deg2rad(x: Any) -> Any:
    """Degrees to radians."""
    return x * (math.pi / 180)


@rule("rad2deg")
def rad2deg(x: Any) -> Any:
    """Radians to degrees."""
    return x * (180 / math.pi)


@rule("logaddexp2")
def logaddexp2(a: Any, b: Any) -> Any:
    """log2(2^a + 2^b)."""
    return torch.logaddexp(math.log(2) * a, math.log(2) * b) / math.log(2)


@rule("ldexp")
def ldexp(x: Any, exponent: Any) -> Any:
    """X 2^exponent."""
    return x * torch.exp2(exponent)


def _sinc_series(z: Any) -> Any:
    """1 - z²/3! + z⁴/5! - ..., by Horner's scheme."""
    square, total = z * z, 0.0
    for k in reversed(range(_TERMS + 1)):
        total = total * square + (-1) ** k / math.factorial(2 * k + 1)
    return total


def _zero_where_zero(a: Any, b: Any, function: Any, whole: Any, pole: float) -> Any:
    """A function(b). A constant 0 makes 0 of what is infinite near the pole; elsewhere a learnt 0 gets its gradient."""
    if not isinstance(a, Jet):
        near = torch.finfo(b.value.dtype).tiny ** (1 / (b.space.order + 1))
        b = torch.where((torch.as_tensor(a, device=b.device) == 0) & ~(b.value - pole > near), 1.0, b)
    result = a * function(b)
    values = (item.value if isinstance(item, Jet) else item for item in (a, b))
    return settled(result.space, whole(*values), result.higher)
