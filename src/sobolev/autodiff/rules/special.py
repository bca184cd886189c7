"""Rules of special functions: sinc, gamma, normal distribution, entropy and the like."""

# A jet stands where torch's annotations say Tensor:
# pyright: reportAttributeAccessIssue=false

import math
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.elementwise import integrated
from sobolev.autodiff.rules.kinds import compose, settled
from sobolev.autodiff.rules.registry import rule

_SMALL = 4.0
_TERMS = 20
_FORWARD = 1.0
"""Up to here the recurrence of erfcx runs forwards."""
_STEPS = 150
"""Beyond, so many steps back are enough for every digit."""


@rule("sinc", torch.special.sinc)
def sinc(x: Any) -> Any:
    """sin(πx) / (πx); near 0 by its series, which has no 0/0."""
    scaled = math.pi * x
    near = x.value.abs() < _SMALL / math.pi
    quotient = torch.sin(scaled) / torch.where(near, torch.ones_like(x.value), scaled)
    result = torch.where(near, _sinc_series(torch.where(near, scaled, torch.zeros_like(x.value))), quotient)
    return settled(x.space, torch.sinc(x.value), result.higher)


@rule("xlogy", torch.special.xlogy)
def xlogy(a: Any, b: Any) -> Any:
    """A log b, 0 where a is 0."""
    return _zero_where_zero(a, b, torch.log)


@rule(torch.special.xlog1py)
def xlog1py(a: Any, b: Any) -> Any:
    """A log(1 + b), 0 where a is 0."""
    return _zero_where_zero(a, b, torch.log1p)


@rule(torch.special.entr)
def entropy(x: Any) -> Any:
    """-x log x."""
    return -x * torch.log(x)


@rule("logit", torch.special.logit)
def logit(x: Any, eps: float | None = None) -> Any:
    """log(x / (1 - x))."""
    x = x if eps is None else torch.clamp(x, eps, 1 - eps)
    result = torch.log(x) - torch.log1p(-x)
    return settled(x.space, torch.logit(x.value), result.higher)


@rule("deg2rad")
def deg2rad(x: Any) -> Any:
    """Degrees to radians."""
    return x * (math.pi / 180)


@rule("rad2deg")
def rad2deg(x: Any) -> Any:
    """Radians to degrees."""
    return x * (180 / math.pi)


@rule(torch.special.erfcx)
def erfcx(x: Any) -> Any:
    """exp(x²) erfc(x)."""
    return compose(x, _scaled_erfc(x.value, x.space.order))


@rule(torch.special.log_ndtr)
def log_ndtr(x: Any) -> Any:
    """The logarithm of the distribution function of the normal distribution."""
    return compose(x, [torch.special.log_ndtr(x.value), *integrated(_hazard, x.value, x.space.order)])


@rule("logaddexp2")
def logaddexp2(a: Any, b: Any) -> Any:
    """log2(2^a + 2^b)."""
    return torch.logaddexp(math.log(2) * a, math.log(2) * b) / math.log(2)


@rule("ldexp")
def ldexp(x: Any, exponent: Any) -> Any:
    """X 2^exponent."""
    return x * torch.exp2(exponent)


@rule("erfinv", torch.special.erfinv)
def erfinv(x: Any) -> Any:
    """The inverse of erf, whose derivative is √π/2 exp(y²): degree by degree from itself."""
    return compose(x, _inverse_of_erf(torch.erfinv(x.value), x.space.order))


@rule(torch.special.ndtr)
def ndtr(x: Any) -> Any:
    """The distribution function of the normal distribution."""
    result = torch.erfc(x * -math.sqrt(0.5)) / 2
    return settled(x.space, torch.special.ndtr(x.value), result.higher)


@rule(torch.special.ndtri)
def ndtri(p: Any) -> Any:
    """Its inverse."""
    result = math.sqrt(2) * torch.erfinv(2 * p - 1)
    return settled(p.space, torch.special.ndtri(p.value), result.higher)


def _sinc_series(z: Any) -> Any:
    """1 - z²/3! + z⁴/5! - ..., by Horner's scheme."""
    square, total = z * z, 0.0
    for k in reversed(range(_TERMS + 1)):
        total = total * square + (-1) ** k / math.factorial(2 * k + 1)
    return total


def _zero_where_zero(a: Any, b: Any, function: Any) -> Any:
    zero = (a.value if isinstance(a, Jet) else torch.as_tensor(a)) == 0
    constant = not isinstance(a, Jet)
    safe = torch.where(zero, 1.0, b) if constant else b
    return a * function(safe)


def _scaled_erfc(x: Tensor, order: int) -> list[Tensor]:
    """Coefficients c of y' = 2 x y - 2/√π: (k + 1) c_(k + 1) = 2 (x c_k + c_(k - 1)).

    For larger x they are the solution of the recurrence that vanishes fastest, so it runs backwards, on ratios of
    neighbours (Gautschi 1967).
    """
    value = torch.special.erfcx(x)
    forward = [value, 2 * x * value - 2 / math.sqrt(math.pi)]
    for k in range(1, order):
        forward.append(2 * (x * forward[k] + forward[k - 1]) / (k + 1))
    positive = torch.where(x > _FORWARD, x, 1.0)
    ratio, ratios = torch.full_like(x, -math.sqrt(2 / _STEPS)), []
    for k in range(_STEPS, 0, -1):
        ratio = -2 / (2 * positive - (k + 1) * ratio)
        ratios.append(ratio)
    backward = [value]
    for k in range(1, order + 1):
        backward.append(backward[-1] * ratios[-k])
    return [torch.where(x > _FORWARD, b, f) for b, f in zip(backward, forward, strict=False)]


def _hazard(x: Any) -> Any:
    """φ(x) / Φ(x), in a form for either side of 0."""
    left: Any = torch.lt(x, 0)
    scaled: Any = torch.special.erfcx(torch.where(left, -math.sqrt(0.5) * x, 0.0))
    right: Any = torch.where(left, 0.0, x)
    density: Any = torch.exp(-right * right / 2) / (math.sqrt(2 * math.pi) * torch.special.ndtr(right))
    return torch.where(left, math.sqrt(2 / math.pi) / scaled, density)


def _inverse_of_erf(y: Tensor, order: int) -> list[Tensor]:
    """Coefficients c of y' = s, where s = √π/2 exp(y²) obeys s' = 2 y y' s."""
    c, slope, square = [y], [math.sqrt(math.pi) / 2 * torch.exp(y * y)], [y * y]
    for k in range(1, order + 1):
        c.append(slope[k - 1] / k)
        square.append(sum((c[i] * c[k - i] for i in range(k + 1)), torch.zeros_like(y)))
        slope.append(sum((j * square[j] * slope[k - j] for j in range(1, k + 1)), torch.zeros_like(y)) / k)
    return c
