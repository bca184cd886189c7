"""Rules of the error functions and the normal distribution."""

import math
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise.functions import integrated
from sobolev.autodiff.taylor.matching import settled
from sobolev.autodiff.taylor.propagation import compose
from sobolev.autodiff.taylor.registry import rule

_FORWARD = 1.0
"""Up to here the recurrence of erfcx runs forwards."""
_STEPS = 150
"""Beyond, so many steps back are enough for every digit."""


@rule(torch.special.erfcx)
def erfcx(x: Any) -> Any:
    """exp(x²) erfc(x)."""
    return compose(x, _scaled_erfc(x.value, x.space.order))


@rule(torch.special.log_ndtr)
def log_ndtr(x: Any) -> Any:
    """The logarithm of the distribution function of the normal distribution."""
    return compose(x, [torch.special.log_ndtr(x.value), *integrated(_hazard, x.value, x.space.order)])


@rule("erfinv", torch.special.erfinv)
def erfinv(x: Any) -> Any:
    """The inverse of erf, whose derivative is √π/2 exp(y²): degree by degree from itself."""
    return compose(x, _inverse_of_erf(torch.erfinv(x.value), x.space.order))


@rule(torch.special.ndtr)
def ndtr(x: Any) -> Any:
    """The distribution function of the normal distribution."""
    result: Any = torch.erfc(x * -math.sqrt(0.5)) / 2
    return settled(x.space, torch.special.ndtr(x.value), result.higher)


@rule(torch.special.ndtri)
def ndtri(p: Any) -> Any:
    """Its inverse."""
    result: Any = math.sqrt(2) * torch.erfinv(2 * p - 1)
    return settled(p.space, torch.special.ndtri(p.value), result.higher)


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
