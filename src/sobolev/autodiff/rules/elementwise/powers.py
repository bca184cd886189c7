"""Rules of powers and roots."""

from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise import series
from sobolev.autodiff.rules.elementwise.arithmetic import broadcastable
from sobolev.autodiff.rules.elementwise.chain import apply
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import plain, settled
from sobolev.autodiff.taylor.propagation import compose
from sobolev.autodiff.taylor.registry import rule
from sobolev.autodiff.taylor.sides import is_watched, note, one_sided, root_from_one_side


@rule("pow", "float_power", Tensor.__pow__)
def power(base: Any, exponent: Any) -> Jet:
    """Base ** exponent; x**n is right at 0 for every n, whatever the order."""
    exponent = plain(exponent)
    if isinstance(exponent, Jet):
        return _exponential(base, exponent)
    if isinstance(exponent, (int, float)) and exponent < 1 and exponent != 0:
        return _root(base, exponent)
    base, exponent = broadcastable(base, exponent)
    return compose(base, [_power_coefficient(base.value, exponent, k) for k in range(base.space.order + 1)])


@rule(Tensor.__rpow__)
def reflected_power(exponent: Any, base: Any) -> Jet:
    """Base ** exponent; dynamo calls it for a base that is a jet, too."""
    return power(base, exponent)


@rule("square")
def square(x: Jet) -> Jet:
    """x²."""
    return power(x, 2)


@rule("sqrt")
def sqrt(x: Jet) -> Jet:
    """√x."""
    return power(x, 0.5)


@rule("rsqrt")
def rsqrt(x: Jet) -> Jet:
    """1/√x."""
    return power(x, -0.5)


def _exponential(base: Any, exponent: Any) -> Jet:
    """Base ** exponent = exp(exponent log(base)); the constant 0 to a power that is not negative stays 0."""
    value = torch.pow(base.value if isinstance(base, Jet) else base, exponent.value)
    if isinstance(base, Jet):
        result: Any = torch.exp(exponent * torch.log(base))  # pyright: ignore[reportArgumentType]
        return settled(exponent.space, value, result.higher)
    number = torch.as_tensor(base, device=value.device).to(value.dtype)  # else a whole one had a float32 logarithm
    nothing = (number == 0) & (exponent.value.real >= 0)
    result = torch.exp(exponent * torch.log(torch.where(nothing, 1.0, number)))
    return settled(exponent.space, value, torch.where(nothing, 0.0, result.higher))


def _root(base: Jet, exponent: float) -> Jet:
    """Base ** exponent for an exponent below 1, with no derivative at 0."""

    def coefficients(x: Tensor, order: int) -> list[Tensor]:
        return [_power_coefficient(x, exponent, k) for k in range(order + 1)]

    def slope(z: Any, _: Jet) -> Jet:
        return exponent * _root(z, exponent - 1)  # pyright: ignore

    found = apply(series.elementwise(coefficients, series.power(exponent), slope), base)
    if exponent == 0.5 and len(base.higher) > 1 and not base.value.is_complex():
        return _of_square(base, found)
    return found


def _of_square(base: Jet, root: Jet) -> Jet:
    """The root of what has no slope where it is 0, a square."""
    if one_sided():
        return settled(base.space, root.value, torch.where(base.value == 0, root_from_one_side(base.full), root.higher))
    if is_watched(base.space):
        d = base.space.directions
        note((base.value == 0) & (base.higher[:d] == 0).all(0) & (base.higher[d:] != 0).any(0), base.rows_first)
    return root


def _power_coefficient(x: Tensor, n: Any, k: int) -> Tensor:
    """x^(n - k) times n over k: 0, not 0 · ∞, where the k-th derivative vanishes.

    It vanishes for some n only, so that a learnt n gets a gradient there, too.
    """
    binomial = 1.0
    for i in range(k):
        binomial = binomial * (n - i) / (i + 1)
    if isinstance(binomial, Tensor):
        power = torch.pow(x, n - k)
        endless = (binomial == 0) & ~torch.isfinite(power)
        return torch.where(endless, 0, binomial * torch.pow(torch.where(endless, 1, x), n - k))
    if binomial == 0:
        return torch.zeros_like(x)
    return torch.pow(x, n - k) if binomial == 1 else binomial * torch.pow(x, n - k)
