"""+ - * / and whole powers."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from sobolev.certify import double_double
from sobolev.certify.balls import Ball, add, multiply, reciprocal
from sobolev.certify.double_double import Pair
from sobolev.certify.enclosure import Enclosure, shifted
from sobolev.certify.functions import Power
from sobolev.certify.registry import NoEnclosureError, rule
from sobolev.certify.rules.kinds import array, elementwise, fixed_beside
from sobolev.certify.rules.series import Rows, product_pairs, product_rows

_OPERATORS = ("add", "sub", "mul", "truediv", "pow", "matmul")
_IN_PLACE = ("add", "sub", "mul", "div", "pow", "neg", "exp", "sin", "cos", "tanh", "sigmoid", "square", "sqrt")


@rule("add", "radd")
def plus(a: Any, b: Any, *, alpha: float = 1) -> Enclosure:
    """The sum of a and alpha b."""
    b = b if alpha == 1 else times(b, alpha)
    if not isinstance(a, Enclosure):
        return shifted(b, fixed_beside(b, a))
    if not isinstance(b, Enclosure):
        return shifted(a, fixed_beside(a, b))
    _check_alike(a, b)
    return Enclosure(a.space, add(a.ball, b.ball), _both(a.fine, b.fine, double_double.add))


@rule("neg", "negative")
def minus(a: Enclosure) -> Enclosure:
    """The negative."""
    return Enclosure(a.space, Ball(-a.ball.mid, a.ball.rad), None if a.fine is None else double_double.negative(a.fine))


@rule("pos", "positive")
def same(a: Enclosure) -> Enclosure:
    """The same."""
    return a


@rule("sub", "subtract")
def difference(a: Any, b: Any, *, alpha: float = 1) -> Enclosure:
    """The difference a - alpha b."""
    return plus(a, minus(b) if isinstance(b, Enclosure) else -b, alpha=alpha)


@rule("rsub")
def reflected_difference(a: Any, b: Any) -> Enclosure:
    """The difference b - a."""
    return difference(b, a)


@rule("mul", "multiply", "rmul")
def times(a: Any, b: Any) -> Enclosure:
    """The product."""
    if isinstance(a, Enclosure) and isinstance(b, Enclosure):
        return _product(a, b)
    x, factor = (a, b) if isinstance(a, Enclosure) else (b, a)
    return scaled(x, fixed_beside(x, factor))


@rule("div", "divide", "true_divide", "truediv")
def quotient(a: Any, b: Any, *, rounding_mode: str | None = None) -> Enclosure:
    """The quotient."""
    if rounding_mode is not None:
        raise NoEnclosureError("no proof goes through a division that rounds")
    if isinstance(b, Enclosure):
        return times(a, elementwise(INVERSE, b))
    divisor = fixed_beside(a, b)
    return scaled(a, reciprocal(divisor), double_double.reciprocal(double_double.exact_pair(divisor.mid)))


@rule("rtruediv", "rdiv")
def reflected_quotient(a: Any, b: Any) -> Enclosure:
    """The quotient b / a."""
    return quotient(b, a)


@rule(*(f"{name}_" for name in _IN_PLACE), *(f"i{name}" for name in _OPERATORS), "__setitem__")
def in_place(*_: Any, **__: Any) -> Enclosure:
    """Refused: what else shares the memory would not be seen."""
    raise NoEnclosureError("no proof follows an operation in place; write y = y + ... for y += ...")


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
        fine = double_double.multiply(x.fine, precise or Pair(factor.mid, 0 * factor.mid, factor.rad))
    return Enclosure(x.space, multiply(x.ball, factor), fine)


def _product(a: Enclosure, b: Enclosure) -> Enclosure:
    _check_alike(a, b)
    space = a.space
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


def _check_alike(a: Enclosure, b: Enclosure) -> None:
    """Refuse to broadcast the cells of one against another axis of the other."""
    if a.ndim != b.ndim:
        raise NoEnclosureError(
            f"no proof combines results with {a.ndim} and {b.ndim} axes, which mixes samples; keep the axis of columns"
        )


INVERSE = Power(Fraction(-1))
