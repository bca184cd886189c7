"""A formula as a source of exact derivatives: sympy differentiates, torch computes."""

import itertools
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.functions.syntax import as_typed

if TYPE_CHECKING:
    import sympy


class FormulaSource:
    """Values and derivatives of the expressions of a formula.

    Args:
        text: the formula.
        variables: the inputs; None takes the names in the formula, alphabetically.
    """

    def __init__(self, text: str, variables: tuple[str, ...] | None) -> None:
        from sobolev.functions.parser import parse, symbol

        self.name = as_typed(text).strip()
        self.inputs, expressions = parse(text, variables)
        if not self.inputs:
            raise ValueError(f"the formula {self.name!r} has no variable; list them: variables=['x']")
        self.outputs = len(expressions)
        self._symbols = [symbol(name) for name in self.inputs]
        self._known: dict[tuple[int, ...], tuple[sympy.Expr, ...]] = {(): expressions}

    def tensors(self, x: Float64[Tensor, "batch inputs"], order: int) -> list[Float64[Tensor, "batch outputs *inputs"]]:
        """The derivative tensors of orders 0 to `order` at x (batch, inputs), float64."""
        from sobolev.functions.evaluate import evaluate

        indices = [
            index
            for k in range(order + 1)
            for index in itertools.combinations_with_replacement(range(len(self.inputs)), k)
        ]
        expressions = [expression for index in indices for expression in self._derivative(index)]
        columns = iter(evaluate(expressions, self._symbols, x))
        values = {index: torch.stack([next(columns) for _ in range(self.outputs)], 1) for index in indices}
        return [self._full(values, k) for k in range(order + 1)]

    def _derivative(self, index: tuple[int, ...]) -> "tuple[sympy.Expr, ...]":
        """The derivative by the variables in `index`, which is sorted; each comes from the one an order lower."""
        if index not in self._known:
            lower, last = self._derivative(index[:-1]), self._symbols[index[-1]]
            self._known[index] = tuple(_differentiated(expression, last) for expression in lower)
        return self._known[index]

    def _full(self, values: dict[tuple[int, ...], Tensor], order: int) -> Tensor:
        """The symmetric tensor (batch, outputs, in, ..., in) from its distinct entries."""
        size = len(self.inputs)
        entries = [values[tuple(sorted(index))] for index in itertools.product(range(size), repeat=order)]
        return torch.stack(entries, -1).reshape(*entries[0].shape, *(size,) * order)


def _differentiated(expression: Any, symbol: "sympy.Symbol") -> "sympy.Expr":
    """By sympy; powers by their own rule, since sympy's goes through the logarithm, and imports tensors for it."""
    if expression.is_Pow and expression.exp.is_Number:
        base, exponent = expression.args
        return exponent * base ** (exponent - 1) * _differentiated(base, symbol)
    return expression.diff(symbol)
