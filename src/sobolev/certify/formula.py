"""A formula on enclosures: sympy's tree of it, walked once for each batch of cells."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import sympy

from sobolev.certify import elementary
from sobolev.certify.balls import Ball, ends, exact
from sobolev.certify.enclosure import Enclosure, constant
from sobolev.certify.functions import LOGISTIC, Power
from sobolev.certify.pairs import Pair, rational_pair
from sobolev.certify.rules import NoEnclosureError
from sobolev.certify.rules.activations import COS, EXP, LOG, NORMAL, SIN, SOFTPLUS, erf, erfc, tanh
from sobolev.certify.rules.arithmetic import INVERSE, plus, scaled, times
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
    """One of the two in cells where the sign of the condition is sure; nothing in the others."""
    low, high = ends(condition.over_cell()[0])
    first, second = low >= 0, high < 0
    mid = np.where(first, a.ball.mid, b.ball.mid)
    rad = np.where(first, a.ball.rad, np.where(second, b.ball.rad, np.inf))
    return Enclosure(a.space, Ball(mid, rad))


def _function(expression: Any) -> Callable[[Enclosure], Enclosure]:
    name = type(expression).__name__
    if name not in FUNCTIONS:
        raise NoEnclosureError(f"no proof goes through {name} in a formula; there are {', '.join(sorted(FUNCTIONS))}")
    return FUNCTIONS[name]


def _sinh(x: Enclosure) -> Enclosure:
    return scaled(plus(elementwise(EXP, x), scaled(elementwise(EXP, _negative(x)), exact(-1.0))), exact(0.5))


def _cosh(x: Enclosure) -> Enclosure:
    return scaled(plus(elementwise(EXP, x), elementwise(EXP, _negative(x))), exact(0.5))


def _negative(x: Enclosure) -> Enclosure:
    return scaled(x, exact(-1.0))


def _tan(x: Enclosure) -> Enclosure:
    return times(elementwise(SIN, x), elementwise(INVERSE, elementwise(COS, x)))


FUNCTIONS: dict[str, Callable[[Enclosure], Enclosure]] = {
    "sin": lambda x: elementwise(SIN, x),
    "cos": lambda x: elementwise(COS, x),
    "tan": _tan,
    "exp": lambda x: elementwise(EXP, x),
    "expm1": lambda x: plus(elementwise(EXP, x), -1.0),
    "log": lambda x: elementwise(LOG, x),
    "log1p": lambda x: elementwise(LOG, plus(x, 1.0)),
    "cbrt": lambda x: elementwise(Power(Fraction(1, 3)), x),
    "tanh": tanh,
    "sinh": _sinh,
    "cosh": _cosh,
    "sigmoid": lambda x: elementwise(LOGISTIC, x),
    "softplus": lambda x: elementwise(SOFTPLUS, x),
    "Phi": lambda x: elementwise(NORMAL, x),
    "erf": erf,
    "erfc": erfc,
}
"""By the names that formulas use."""
