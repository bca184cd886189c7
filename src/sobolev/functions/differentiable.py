"""Sympy expressions as torch operations, so that gradients flow to whatever their symbols stand for."""

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add, mul
from typing import Any

import sympy
import torch
from torch import Tensor

from sobolev.functions.precise import constant
from sobolev.functions.vocabulary import Choose


class Program:
    """An expression, ready to be computed many times; what it contains more than once is computed once.

    Args:
        expression: as `sobolev.functions.parser.parse` makes it.
    """

    def __init__(self, expression: sympy.Expr) -> None:
        self._result, self._numbers = expression, {}
        self._steps: dict[Any, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self._add(expression)

    def __call__(self, values: Mapping[sympy.Symbol, Tensor]) -> Tensor | float:
        """The value in the precision of the tensors given for the symbols; a number where there is no symbol."""
        known: dict[Any, Any] = {**self._numbers, **values}
        for result, (operation, arguments) in self._steps.items():
            known[result] = operation(*(known[argument] for argument in arguments))
        return known[self._result]

    def _add(self, expression: Any) -> None:
        """The steps to an expression, after those to its parts."""
        if not expression.free_symbols:
            self._numbers[expression] = constant(expression)
        elif expression not in self._steps and not expression.is_Symbol:
            operation, arguments = _operation(expression)
            for argument in arguments:
                self._add(argument)
            self._steps[expression] = operation, arguments


def _operation(expression: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What computes an expression, and from which parts."""
    if expression.is_Add or expression.is_Mul:
        combine = add if expression.is_Add else mul
        return lambda *terms: reduce(combine, terms), expression.args
    if expression.is_Pow and expression.exp.is_Integer:
        exponent = int(expression.exp)
        return lambda base: base**exponent, (expression.base,)
    if isinstance(expression, Choose):
        return _tensors(lambda condition, a, b: torch.where(condition >= 0, a, b)), expression.args
    named = {sympy.exp: torch.exp, sympy.log: torch.log, sympy.Pow: torch.pow}
    return _tensors(named.get(type(expression)) or expression.meaning.torch), expression.args


def _tensors(operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """With numbers among the arguments made tensors like the others."""

    def apply(*arguments: Any) -> Tensor:
        like = next(argument for argument in arguments if isinstance(argument, Tensor))
        return operation(*(torch.as_tensor(a, dtype=like.dtype, device=like.device) for a in arguments))

    return apply
