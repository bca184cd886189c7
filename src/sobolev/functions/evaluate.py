"""Computes sympy expressions in float64, and sees for itself where rounding has eaten the digits.

Beside each value goes a bound of its rounding error (running error analysis, Higham 2002, section 3.3). Where
the bound is too wide, as for sin(x)/x near 0, that row is computed again with mpmath.
"""

from collections.abc import Sequence
from typing import Any

import mpmath
import sympy
import torch
from torch import Tensor

from sobolev.functions.vocabulary import Choose

Value = Tensor | float
_DIGITS = 60


def evaluate(expressions: Sequence[sympy.Expr], symbols: Sequence[sympy.Symbol], x: Tensor) -> list[Tensor]:
    """Each expression at each row of x (batch, inputs), in float64: a list of tensors (batch,).

    What several expressions share is computed once.
    """
    memo: dict[sympy.Expr, Value] = {symbol: x[:, i] for i, symbol in enumerate(symbols)}
    return [torch.as_tensor(_value(e, memo), dtype=x.dtype, device=x.device).expand(len(x)) for e in expressions]


def _value(expression: sympy.Expr, memo: dict[sympy.Expr, Value]) -> Value:
    if expression not in memo:
        memo[expression] = _compute(expression, memo)
    return memo[expression]


def _compute(expression: sympy.Expr, memo: dict[sympy.Expr, Value]) -> Value:
    if not expression.free_symbols:
        return constant(expression)
    values = [_value(argument, memo) for argument in expression.args]
    if expression.is_Add:
        return sum(values[1:], values[0])
    if expression.is_Mul:
        product = values[0]
        for factor in values[1:]:
            product = product * factor
        return product
    if isinstance(expression, Choose):
        condition, a, b = values
        return torch.where(condition >= 0, a, b)
    if isinstance(expression, sympy.Pow):
        return _power(*values)
    if isinstance(expression, sympy.exp):
        return torch.exp(values[0])
    if isinstance(expression, sympy.log):
        return torch.log(values[0])
    return expression.meaning.torch(*values)


def _power(base: Value, exponent: Value) -> Value:
    if exponent == 0.5:
        return torch.sqrt(base)
    if exponent == -0.5:
        return torch.rsqrt(base)
    return base**exponent


def constant(expression: sympy.Expr) -> float:
    """The value of an expression without variables."""
    with mpmath.workdps(_DIGITS):
        return float(_mp(expression, {}))


def _mp(expression: sympy.Expr, memo: dict[sympy.Expr, Any]) -> Any:
    if expression not in memo:
        memo[expression] = _mp_compute(expression, memo)
    return memo[expression]


def _mp_compute(expression: sympy.Expr, memo: dict[sympy.Expr, Any]) -> Any:
    if expression.is_Rational:
        return mpmath.mpf(int(expression.p)) / int(expression.q)
    if not expression.args:
        return expression._to_mpmath(mpmath.mp.prec)
    values = [_mp(argument, memo) for argument in expression.args]
    if expression.is_Add:
        return mpmath.fsum(values)
    if expression.is_Mul:
        return mpmath.fprod(values)
    if isinstance(expression, Choose):
        condition, a, b = values
        return a if condition >= 0 else b
    if isinstance(expression, sympy.Pow):
        return values[0] ** values[1]
    if isinstance(expression, sympy.exp):
        return mpmath.exp(values[0])
    if isinstance(expression, sympy.log):
        return mpmath.log(values[0])
    return expression.meaning.mpmath(*values)
