"""+ - * / and whole powers."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from sobolev.certify import pairs
from sobolev.certify.balls import Ball, add, multiply, reciprocal
from sobolev.certify.enclosure import Enclosure, shifted
from sobolev.certify.functions import Power
from sobolev.certify.pairs import Pair
from sobolev.certify.registry import NoEnclosureError, rule
from sobolev.certify.rules.kinds import array, elementwise, fixed
from sobolev.certify.rules.series import Rows, product_pairs, product_rows


@rule("add", "radd", "iadd", "add_")
def plus(a: Any, b: Any, *, alpha: float = 1) -> Enclosure:
    """The sum of a and alpha b."""
    b = b if alpha == 1 else times(b, alpha)
    if not isinstance(a, Enclosure):
        return shifted(b, fixed(a))
    if not isinstance(b, Enclosure):
        return shifted(a, fixed(b))
    left, right = _aligned(a, b), _aligned(b, a)
    fine = _both(left.fine, right.fine, pairs.add)
    return Enclosure(a.space, add(left.ball, right.ball), fine)


@rule("neg", "negative")
def minus(a: Enclosure) -> Enclosure:
    """The negative."""
    return Enclosure(a.space, Ball(-a.ball.mid, a.ball.rad), None if a.fine is None else pairs.negative(a.fine))


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
    divisor = fixed(b)
    return scaled(a, reciprocal(divisor), pairs.reciprocal(pairs.exact_pair(divisor.mid)))


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


def scaled(x: Enclosure, factor: Ball, precise: Pair | None = None) -> Enclosure:
    """An enclosure times numbers that are the same everywhere; `precise` are these in twice the precision."""
    fine = None
    if x.fine is not None:
        fine = pairs.multiply(x.fine, precise or Pair(factor.mid, 0 * factor.mid, factor.rad))
    return Enclosure(x.space, multiply(x.ball, factor), fine)


def _product(a: Enclosure, b: Enclosure) -> Enclosure:
    space = a.space
    a, b = _aligned(a, b), _aligned(b, a)
    below, top = range(space.low), range(space.low, len(space.indices))
    at = product_rows(space, Rows(*a.ball[: space.low]), Rows(*b.ball[: space.low]), below)
    over = product_rows(space, Rows(*a.over_cell()), Rows(*b.over_cell()), top)
    plain = multiply(a.ball[-1:], b.ball[-1:])
    fine = _both(a.fine, b.fine, partial(product_pairs, space))
    return Enclosure(space, Ball(*(np.concatenate(part) for part in zip(at, over, plain, strict=True))), fine)


def _both(a: Pair | None, b: Pair | None, operation: Callable[[Pair, Pair], Pair]) -> Pair | None:
    """In twice the precision as far as both are."""
    if a is None or b is None:
        return None
    rows = min(len(a.high), len(b.high))
    return operation(a[:rows], b[:rows])


def _aligned(a: Enclosure, b: Enclosure) -> Enclosure:
    """With axes of length 1 in front, as many as b has axes more."""
    missing = b.ndim - a.ndim
    return a if missing <= 0 else a.mapped(lambda part: part[(slice(None), *(None,) * missing)])


INVERSE = Power(Fraction(-1))
