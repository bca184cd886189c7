"""+ - * / and whole powers."""

from fractions import Fraction
from typing import Any

import numpy as np

from sobolev.certify.balls import Ball, add, multiply, reciprocal
from sobolev.certify.enclosure import Enclosure, shifted
from sobolev.certify.functions import Power
from sobolev.certify.registry import NoEnclosureError, rule
from sobolev.certify.rules.kinds import array, elementwise, fixed
from sobolev.certify.rules.series import Rows, product_rows


@rule("add", "radd", "iadd", "add_")
def plus(a: Any, b: Any, *, alpha: float = 1) -> Enclosure:
    """The sum of a and alpha b."""
    b = b if alpha == 1 else times(b, alpha)
    if not isinstance(a, Enclosure):
        return shifted(b, fixed(a))
    if not isinstance(b, Enclosure):
        return shifted(a, fixed(b))
    return Enclosure(a.space, add(_aligned(a, b), _aligned(b, a)))


@rule("neg", "negative")
def minus(a: Enclosure) -> Enclosure:
    """The negative."""
    return Enclosure(a.space, Ball(-a.ball.mid, a.ball.rad))


@rule("pos", "positive")
def same(a: Enclosure) -> Enclosure:
    """The same."""
    return a


@rule("sub", "subtract", "isub", "sub_")
def difference(a: Any, b: Any, *, alpha: float = 1) -> Enclosure:
    """The difference a - alpha b."""
    return plus(a, minus(b) if isinstance(b, Enclosure) else -b, alpha=alpha)


@rule("rsub")
def reflected_difference(a: Any, b: Any) -> Enclosure:
    """The difference b - a."""
    return difference(b, a)


@rule("mul", "multiply", "rmul", "imul", "mul_")
def times(a: Any, b: Any) -> Enclosure:
    """The product."""
    if isinstance(a, Enclosure) and isinstance(b, Enclosure):
        return _product(a, b)
    x, factor = (a, b) if isinstance(a, Enclosure) else (b, a)
    return scaled(x, fixed(factor))


@rule("div", "divide", "true_divide", "truediv", "itruediv", "div_")
def quotient(a: Any, b: Any, *, rounding_mode: str | None = None) -> Enclosure:
    """The quotient."""
    if rounding_mode is not None:
        raise NoEnclosureError("no proof goes through a division that rounds")
    if isinstance(b, Enclosure):
        return times(a, elementwise(INVERSE, b))
    return scaled(a, reciprocal(fixed(b)))


@rule("rtruediv", "rdiv")
def reflected_quotient(a: Any, b: Any) -> Enclosure:
    """The quotient b / a."""
    return quotient(b, a)


@rule("reciprocal")
def inverse(a: Enclosure) -> Enclosure:
    """1 / a."""
    return elementwise(INVERSE, a)


@rule("square")
def square(a: Enclosure) -> Enclosure:
    """The square."""
    return elementwise(Power(Fraction(2)), a)


@rule("sqrt")
def root(a: Enclosure) -> Enclosure:
    """The square root."""
    return elementwise(Power(Fraction(1, 2)), a)


@rule("rsqrt")
def inverse_root(a: Enclosure) -> Enclosure:
    """1 over the square root."""
    return elementwise(Power(Fraction(-1, 2)), a)


@rule("pow")
def power(a: Any, exponent: Any) -> Enclosure:
    """To a fixed power; the exponent is the fraction that float64 holds."""
    if isinstance(exponent, Enclosure):
        raise NoEnclosureError("no proof goes through a power whose exponent depends on the inputs")
    value = array(exponent)
    if value.ndim:
        raise NoEnclosureError("no proof goes through a power with a tensor of exponents")
    return elementwise(Power(Fraction(float(value))), a)


def scaled(x: Enclosure, factor: Ball) -> Enclosure:
    """An enclosure times numbers that are the same everywhere."""
    return Enclosure(x.space, multiply(x.ball, factor))


def _product(a: Enclosure, b: Enclosure) -> Enclosure:
    space = a.space
    a, b = (Enclosure(space, _aligned(*pair)) for pair in ((a, b), (b, a)))
    below, top = range(space.low), range(space.low, len(space.indices))
    at = product_rows(space, Rows(*a.ball[: space.low]), Rows(*b.ball[: space.low]), below)
    over = product_rows(space, Rows(*a.over_cell()), Rows(*b.over_cell()), top)
    plain = multiply(a.ball[-1:], b.ball[-1:])
    return Enclosure(space, Ball(*(np.concatenate(part) for part in zip(at, over, plain, strict=True))))


def _aligned(a: Enclosure, b: Enclosure) -> Ball:
    """The ball of a with axes of length 1 in front, as many as b has axes more."""
    missing = b.ndim - a.ndim
    return a.ball if missing <= 0 else a.ball[(slice(None), *(None,) * missing)]


INVERSE = Power(Fraction(-1))
