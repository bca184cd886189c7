"""The value of a sympy expression at one point, with many digits, through mpmath."""

import math
from collections.abc import Sequence
from typing import Any

import mpmath
import sympy
from mpmath.libmp import NoConvergence

from sobolev.functions.vocabulary import Choose

_DIGITS = (40, 80, 160, 320)
_AGREEMENT = 1e-18
_NEGLIGIBLE = 1e-30
"""What stays below this with the most digits is zero: its digits never settle."""
_STEP = "1e-30"
_MAX_MAGNITUDE = 4000
"""In bits: beyond it lies no float64, and mpmath would compute for minutes."""
_FAILURES = (ArithmeticError, ValueError, TypeError, NoConvergence)


def constant(expression: Any) -> float:
    """The value of an expression without variables.

    Raises:
        ValueError: it is not a real number that float64 can hold.
    """
    value = _at(expression, {})
    if value is None:
        raise ValueError(f"{str(expression)[:80]} is not a finite real number")
    return value


def precise(expression: Any, symbols: Sequence[sympy.Symbol], point: Sequence[float]) -> float | None:
    """The value at a point, or the limit where the singularity is removable; None where there is neither."""
    value = _at(expression, dict(zip(symbols, map(mpmath.mpf, point), strict=True)))
    return _limit(expression, symbols, point) if value is None else value


def _limit(expression: Any, symbols: Sequence[sympy.Symbol], point: Sequence[float]) -> float | None:
    """What the values close by, on both sides and at two distances, agree on."""
    around = []
    for distance in (-2, -1, 1, 2):
        with mpmath.workdps(_DIGITS[-1]):
            steps = [distance * mpmath.mpf(_STEP) * (1 + abs(a)) / (1 + mpmath.sqrt(i)) for i, a in enumerate(point)]
            moved = {s: mpmath.mpf(a) + step for s, a, step in zip(symbols, point, steps, strict=True)}
        value = _at(expression, moved)
        if value is None:
            return None
        around.append(value)
    middle = (around[1] + around[2]) / 2
    return middle if max(around) - min(around) <= max(1e-14 * abs(middle), 1e-25) else None


def _at(expression: Any, point: dict[Any, Any]) -> float | None:
    """The value at a point, with more and more digits until two in a row agree."""
    last: Any = None
    for digits in _DIGITS:
        with mpmath.workdps(digits):
            try:
                value = _value(expression, dict(point))
            except _FAILURES:
                return None
        if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value):
            return None
        if last is not None and abs(value - last) <= _AGREEMENT * abs(value):
            return _float(value)
        last = value
    return _float(last) if abs(last) < _NEGLIGIBLE else None


def _float(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _value(expression: Any, memo: dict[Any, Any]) -> Any:
    if expression not in memo:
        value = _compute(expression, memo)
        if mpmath.isfinite(value) and value != 0 and abs(mpmath.mag(value)) > _MAX_MAGNITUDE:
            raise OverflowError
        memo[expression] = value
    return memo[expression]


def _compute(expression: Any, memo: dict[Any, Any]) -> Any:
    if expression.is_Rational:
        return mpmath.mpf(int(expression.p)) / int(expression.q)
    if not expression.args:
        return expression._to_mpmath(mpmath.mp.prec)
    if isinstance(expression, Choose):
        condition, a, b = expression.args
        return _value(a if _value(condition, memo) >= 0 else b, memo)
    values = [_value(argument, memo) for argument in expression.args]
    if expression.is_Add:
        return mpmath.fsum(values)
    if expression.is_Mul:
        return mpmath.fprod(values)
    if isinstance(expression, sympy.Pow):
        return values[0] ** values[1]
    if isinstance(expression, sympy.exp):
        return mpmath.exp(values[0])
    if isinstance(expression, sympy.log):
        return mpmath.log(values[0])
    return expression.meaning.mpmath(*values)
