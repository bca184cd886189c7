"""Computes sympy expressions in float64, and sees for itself where rounding has eaten the digits.

Beside each value goes a bound of its rounding error (running error analysis, Higham, "Accuracy and Stability of
Numerical Algorithms", 2002, section 3.3). Where the bound is too wide, as for sin(x)/x near 0, the row is computed
again with mpmath.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import sympy
import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.functions.precise import constant, precise
from sobolev.functions.vocabulary import Choose

_EPSILON = 2.0**-53
_ULPS = 4
"""What powers, exp and log are trusted to, in units of _EPSILON."""
_TOLERANCE = 1e-12
_FAILURES = 100
"""After so many rows in a row without a precise value the rest is taken for undefined."""


class _Bounded(NamedTuple):
    """A value and the bound of its absolute rounding error, (batch,) or one number."""

    value: Tensor
    error: Tensor


def evaluate(
    expressions: Sequence[sympy.Expr], symbols: Sequence[sympy.Symbol], x: Float64[Tensor, "batch inputs"]
) -> list[Float64[Tensor, " batch"]]:
    """Each expression at each row of x (batch, inputs), in float64: a list of tensors (batch,).

    What several expressions share is computed once. A removable singularity gets its limit.
    """
    zero = x.new_zeros(())
    memo: dict[Any, _Bounded] = {symbol: _Bounded(x[:, i], zero) for i, symbol in enumerate(symbols)}
    return [_repaired(expression, symbols, x, _value(expression, memo, zero)) for expression in expressions]


def _repaired(expression: sympy.Expr, symbols: Sequence[sympy.Symbol], x: Tensor, bounded: _Bounded) -> Tensor:
    """With the rows that float64 got wrong computed again."""
    value, error = (part.expand(len(x)) for part in bounded)
    doubtful = ~(error <= _TOLERANCE * value.abs())
    if not doubtful.any():
        return value
    value, failures = value.clone(), 0
    for row in doubtful.nonzero()[:, 0].tolist():
        better = precise(expression, symbols, x[row].tolist())
        failures = failures + 1 if better is None else 0
        if better is not None:
            value[row] = better
        if failures == _FAILURES:
            break
    return value


def _value(expression: Any, memo: dict[Any, _Bounded], zero: Tensor) -> _Bounded:
    if expression not in memo:
        if expression.free_symbols:
            arguments = [_value(argument, memo, zero) for argument in expression.args]
            memo[expression] = _compute(expression, arguments)
        else:
            number = zero + constant(expression)
            memo[expression] = _Bounded(number, zero if _exact(expression) else number.abs() * _EPSILON)
    return memo[expression]


def _exact(number: Any) -> bool:
    """Whether float64 holds this constant without rounding."""
    return bool(number.is_Rational and number.q & (number.q - 1) == 0 and abs(number.p) < 1 << 53)


def _compute(expression: Any, arguments: list[_Bounded]) -> _Bounded:
    if expression.is_Add:
        return reduce(_sum, arguments)
    if expression.is_Mul:
        return reduce(_product, arguments)
    if isinstance(expression, Choose):
        return _chosen(*arguments)
    meaning = getattr(expression, "meaning", None)
    return _applied(_operation(expression), arguments, _ULPS if meaning is None else meaning.ulps)


def _sum(a: _Bounded, b: _Bounded) -> _Bounded:
    value = a.value + b.value
    with torch.no_grad():
        return _Bounded(value, a.error + b.error + _EPSILON * value.abs())


def _product(a: _Bounded, b: _Bounded) -> _Bounded:
    value = a.value * b.value
    with torch.no_grad():
        spread = a.value.abs() * b.error + b.value.abs() * a.error + a.error * b.error
        return _Bounded(value, spread + _EPSILON * value.abs())


def _chosen(condition: _Bounded, a: _Bounded, b: _Bounded) -> _Bounded:
    first = condition.value >= 0
    with torch.no_grad():
        unsure = (condition.value.abs() <= condition.error) & (condition.error > 0)
        error = torch.where(first, a.error, b.error).masked_fill(unsure, torch.inf)
    return _Bounded(torch.where(first, a.value, b.value), error)


def _applied(operation: Callable[..., Tensor], arguments: list[_Bounded], ulps: float) -> _Bounded:
    """The error is how far the value moves when each argument moves by its own."""
    values = [argument.value for argument in arguments]
    value = operation(*values)
    with torch.no_grad():
        error = ulps * _EPSILON * value.abs()
        for i, argument in enumerate(arguments):
            if not argument.error.any():
                continue
            for end in (argument.value + argument.error, argument.value - argument.error):
                error = error + (operation(*values[:i], end, *values[i + 1 :]) - value).abs()
    return _Bounded(value, error)


def _operation(expression: Any) -> Callable[..., Tensor]:
    if isinstance(expression, sympy.exp):
        return torch.exp
    if isinstance(expression, sympy.log):
        return torch.log
    if not isinstance(expression, sympy.Pow):
        return expression.meaning.torch
    shortcut = _POWERS.get(expression.exp)
    return torch.pow if shortcut is None else lambda base, _: shortcut(base)


_POWERS = {
    sympy.Integer(2): torch.square,
    sympy.Integer(-1): torch.reciprocal,
    sympy.Rational(1, 2): torch.sqrt,
    sympy.Rational(-1, 2): torch.rsqrt,
}
"""Quicker than the general power, and rounded once."""
