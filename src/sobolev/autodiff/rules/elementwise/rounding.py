"""Rules of absolute values, signs and remainders."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise.piecewise import select, value_of
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import settled
from sobolev.autodiff.taylor.propagation import with_square
from sobolev.autodiff.taylor.registry import rule
from sobolev.autodiff.taylor.sides import is_watched, leading_sign, note, one_sided


class Parts(NamedTuple):
    """What `torch.frexp` returns."""

    mantissa: Any
    exponent: Tensor


@rule("sgn", "sign")
def sign(x: Any) -> Any:
    """-1, 0 or 1, which is constant; for a complex x the unit number x / |x|."""
    if not x.value.is_complex():
        if one_sided():
            return leading_sign(x.value, x.higher)
        if is_watched(x.space):
            note((x.value == 0) & (x.higher != 0).any(0), x.rows_first)
        return torch.sign(x.value)
    zero = x.value == 0
    quotient: Any = x / torch.where(zero, 1.0, torch.abs(x))
    return settled(x.space, torch.sgn(x.value), torch.where(zero, 0.0, quotient.higher))


@rule("copysign")
def copysign(x: Any, other: Any) -> Any:
    """|x| with the sign of the other."""
    value = torch.copysign(value_of(x), value_of(other))
    return absolute(x) * torch.sign(value) if isinstance(x, Jet) else value


@rule("remainder", Tensor.__mod__)
def remainder(x: Any, divisor: Any) -> Any:
    """X minus a locally constant multiple of the divisor."""
    quotient = torch.div(value_of(x), value_of(divisor), rounding_mode="floor")
    result = x - divisor * quotient
    return settled(result.space, exact(torch.remainder(value_of(x), value_of(divisor)), result.value), result.higher)


@rule(Tensor.__rmod__)
def reflected_remainder(x: Any, dividend: Any) -> Any:
    """Dividend % x."""
    return remainder(dividend, x)


@rule("fmod")
def fmod(x: Any, divisor: Any) -> Any:
    """X minus a locally constant multiple of the divisor, with the sign of x."""
    quotient = torch.div(value_of(x), value_of(divisor), rounding_mode="trunc")
    result = x - divisor * quotient
    return settled(result.space, exact(torch.fmod(value_of(x), value_of(divisor)), result.value), result.higher)


@rule("abs", "absolute", Tensor.__abs__)
def absolute(x: Any) -> Any:
    """|x|, with derivative 0 at 0; of a complex number the length."""
    if x.value.is_complex():
        return torch.linalg.vector_norm(torch.view_as_real(x), dim=-1)
    if one_sided():
        return Jet(x.space, x.value.abs(), leading_sign(x.value, x.higher) * x.higher)
    if is_watched(x.space):
        note((x.value == 0) & (x.higher != 0).any(0), x.rows_first)
    return with_square(Jet(x.space, x.value.abs(), x.value.sign() * x.higher), lambda: x * x)


@rule("frac")
def frac(x: Any) -> Any:
    """X minus its integer part."""
    return Jet(x.space, torch.frac(x.value), x.higher)


@rule("frexp")
def frexp(x: Any) -> Parts:
    """X as a number between 1/2 and 1 times a power of two, which is locally constant."""
    exponent = torch.frexp(x.value.detach()).exponent
    return Parts(torch.ldexp(x, -exponent), exponent)


@rule("nan_to_num")
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Numbers in place of NaN and infinities."""
    return select(torch.isfinite(x.value), x, torch.nan_to_num(x.value, nan, posinf, neginf))


def exact(value: Tensor, other: Tensor) -> Tensor:
    """A value with the gradient of another form of it, where PyTorch has none: of remainders by the divisor, say."""
    return value.detach() + (other - other.detach())
