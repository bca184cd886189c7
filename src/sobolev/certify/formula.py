"""A formula on enclosures: sympy's tree of it, walked once for each batch of cells."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial, reduce
from typing import Any

import numpy as np
import sympy

from sobolev.certify import elementary
from sobolev.certify.balls import Ball, between, ends
from sobolev.certify.double_double import Pair, rational_pair
from sobolev.certify.enclosure import Enclosure, constant
from sobolev.certify.functions import LOGISTIC, Power
from sobolev.certify.rules import NoEnclosureError, compositions
from sobolev.certify.rules.activations import ATAN, COS, EXP, LOG, NORMAL, SIN, SOFTPLUS, erf, erfc, tanh
from sobolev.certify.rules.arithmetic import plus, times
from sobolev.certify.rules.kinds import elementwise
from sobolev.functions.vocabulary import Choose


class Formula:
    """An expression of some names, ready to be enclosed.

    Args:
        expression: as `sobolev.functions.parser.parse` makes it.

    Raises:
        NoEnclosureError: it contains a function for which nothing is proved.
    """

    def __init__(self, expression: sympy.Expr) -> None:
        self.expression = expression
        for part in sympy.preorder_traversal(expression):
            if part.args and not isinstance(part, sympy.Add | sympy.Mul | sympy.Pow | Choose):
                _function(part)

    def __call__(self, values: Mapping[sympy.Symbol, Enclosure]) -> Enclosure:
        """Its enclosure from those of the names in it, at least one."""
        like = next(iter(values.values()))
        return self._walk(self.expression, dict(values), like)

    def _walk(self, expression: Any, memo: dict[Any, Enclosure], like: Enclosure) -> Enclosure:
        if expression not in memo:
            memo[expression] = self._enclosed(expression, memo, like)
        return memo[expression]

    def _enclosed(self, expression: Any, memo: dict[Any, Enclosure], like: Enclosure) -> Enclosure:
        if not expression.args:
            ball, fine = _number(expression)
            axes = (None,) * like.ndim
            return constant(like.space, ball[axes], fine[axes])
        parts = [self._walk(part, memo, like) for part in expression.args]
        if isinstance(expression, sympy.Add):
            return reduce(plus, parts)
        if isinstance(expression, sympy.Mul):
            return reduce(times, parts)
        if isinstance(expression, sympy.Pow):
            return _power(parts[0], expression.exp, parts[1])
        if isinstance(expression, Choose):
            return _chosen(*parts)
        return _function(expression)(parts[0])


def _number(expression: Any) -> tuple[Ball, Pair]:
    """A number as a ball, and in twice the precision."""
    if expression.is_Rational or expression.is_Float:
        value = Fraction(str(expression))
        return elementary.rational(value), rational_pair(value)
    if expression not in _NUMBERS:
        raise NoEnclosureError(f"no proof knows the number {expression}")
    return _NUMBERS[expression]


_NUMBERS = {
    sympy.pi: (elementary.PI, Pair(np.array(3.141592653589793), np.array(1.2246467991473532e-16), np.array(3e-33))),
    sympy.E: (elementary.E, Pair(np.array(2.718281828459045), np.array(1.4456468917292502e-16), np.array(3e-33))),
}


def _power(base: Enclosure, exponent: Any, enclosed: Enclosure) -> Enclosure:
    if exponent.is_Rational:
        return elementwise(Power(Fraction(int(exponent.p), int(exponent.q))), base)
    return elementwise(EXP, times(elementwise(LOG, base), enclosed))


def _chosen(condition: Enclosure, a: Enclosure, b: Enclosure) -> Enclosure:
    """One of the two in cells where the sign of the condition is sure; in others what both have in common.

    At the centre it is that of the two which is chosen there, over the cell the value is one of both; the derivatives
    over the cell are not bounded.
    """
    low, high = ends(condition.over_cell()[0])
    centre_low, centre_high = ends(condition.ball[0])
    sure, first = (low >= 0) | (high < 0), centre_low >= 0
    mid = np.where(first, a.ball.mid, b.ball.mid)
    rad = np.where(first, a.ball.rad, b.ball.rad)
    rad[: a.space.low] = np.where(first | (centre_high < 0), rad[: a.space.low], np.inf)
    rad[a.space.low :] = np.where(sure, rad[a.space.low :], np.inf)
    (low, high), (other_low, other_high) = ends(a.ball[-1]), ends(b.ball[-1])
    either = between(np.minimum(low, other_low), np.maximum(high, other_high))
    mid[-1], rad[-1] = np.where(sure, mid[-1], either.mid), np.where(sure, rad[-1], either.rad)
    return Enclosure(a.space, Ball(mid, rad))


def _function(expression: Any) -> Callable[[Enclosure], Enclosure]:
    name = type(expression).__name__
    if name not in FUNCTIONS:
        reason = f": {REFUSED[name]}" if name in REFUSED else ""
        raise NoEnclosureError(
            f"no proof goes through {name} in a formula{reason}; there are {', '.join(sorted(FUNCTIONS))}"
        )
    return FUNCTIONS[name]


FUNCTIONS: dict[str, Callable[[Enclosure], Enclosure]] = {
    "sin": partial(elementwise, SIN),
    "cos": partial(elementwise, COS),
    "tan": compositions.tangent,
    "asin": compositions.arcsine,
    "acos": compositions.arccosine,
    "atan": partial(elementwise, ATAN),
    "exp": partial(elementwise, EXP),
    "expm1": compositions.exponential_minus_one,
    "log": partial(elementwise, LOG),
    "log1p": compositions.logarithm_of_one_plus,
    "cbrt": partial(elementwise, Power(Fraction(1, 3))),
    "tanh": tanh,
    "sinh": compositions.hyperbolic_sine,
    "cosh": compositions.hyperbolic_cosine,
    "asinh": compositions.area_sine,
    "acosh": compositions.area_cosine,
    "atanh": compositions.area_tangent,
    "sigmoid": partial(elementwise, LOGISTIC),
    "softplus": partial(elementwise, SOFTPLUS),
    "Phi": partial(elementwise, NORMAL),
    "erf": erf,
    "erfc": erfc,
}
"""By the names that formulas use."""
REFUSED = {
    "atan2": "it jumps where its first argument changes sign: write atan(y/x) where x is positive",
    "gamma": "no enclosure of the gamma function between points is known here",
    "lgamma": "no enclosure of the gamma function between points is known here",
    "polygamma": "no enclosure of the gamma function's derivatives between points is known here",
    **dict.fromkeys(("j0", "j1", "i0", "i1"), "no enclosure of Bessel functions between points is known here"),
}
"""The other names of formulas, and why."""
