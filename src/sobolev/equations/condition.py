"""Boundary and initial conditions, such as `u(x, 0) = sin(pi*x)`, at the points where they hold."""

import ast
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.equations.components import Component
from sobolev.equations.expression import Expression, Symbols, zero_side
from sobolev.functions.parser import parse
from sobolev.functions.precise import constant
from sobolev.functions.syntax import as_typed, syntax_tree

Domain = Mapping[str, tuple[float, float]]


_PLACE = "value_of_call_{}"
"""What stands in the formula in place of each call."""


class Call(NamedTuple):
    """A derivative at a part of the boundary: `du_dx(0, t)`."""

    text: str
    component: Component
    fixed: dict[str, float]
    """The inputs that have a value; the others are free."""


class Condition:
    """An equation between values of the unknowns, their derivatives and the inputs, at fixed or free inputs.

    Args:
        text: such as `u(0) = 1`, `du_dx(0, t) + u(0, t) = 2`, `u(0, t) = u(1, t)`.
        symbols: the names it may contain.
        domain: of the inputs.
        samples: how many points stand for free inputs.
        coefficients: names of numbers that are learnt.
        boundary: columns (rows,) of points of the boundary, by name: where a condition holds in which all inputs are
            free. It may contain the names of columns that are no inputs, normals or values for example.

    Attributes:
        calls: what it says something about.
        expression: the condition with `places` in place of the calls.
        points: (calls, rows, inputs), float64.
        on_boundary: whether it holds at the points of the boundary.

    Raises:
        ValueError: it speaks of no unknown, of points outside the domain, or of unknown names.
    """

    def __init__(
        self,
        text: str,
        symbols: Symbols,
        domain: Domain,
        samples: int,
        coefficients: Sequence[str] = (),
        boundary: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.text, self.where = text, f"the condition {text!r}"
        try:
            replaced, self.calls = self._calls(zero_side(text), symbols)
        except ValueError as error:
            message = str(error)
            raise ValueError(message if self.where in message else f"{self.where}: {message}") from None
        columns = boundary if boundary and not any(call.fixed for call in self.calls) else {}
        beside = {name: column for name, column in columns.items() if name not in symbols.inputs}
        self.expression = Expression(replaced, self.where, symbols, [*_places(len(self.calls)), *coefficients, *beside])
        self._inputs, free = symbols.inputs, self._free(symbols, domain)
        if columns:
            base = torch.stack([columns[name] for name in free], 1)
        else:
            base = _samples([domain[name] for name in free], samples)
        self.on_boundary = bool(columns)
        self.points = torch.stack([self._at(call, free, base) for call in self.calls])
        self._base = dict(zip(free, base.T, strict=True)) | beside

    def __call__(
        self, values: Sequence[Tensor], coefficients: Mapping[str, Tensor] | None = None
    ) -> Float64[Tensor, " rows"]:
        """By how much it is violated at each of its points, given the value of each call there."""
        like = values[0]
        inputs = {name: column.to(like) for name, column in self._base.items()}
        return self.expression(
            {**inputs, **(coefficients or {}), **dict(zip(_places(len(values)), values, strict=True))}, like
        )

    @property
    def places(self) -> list[str]:
        """The names that stand for the calls in the expression."""
        return _places(len(self.calls))

    def _calls(self, text: str, symbols: Symbols) -> tuple[str, list[Call]]:
        """The text with a name in place of each call of an unknown, and the calls."""
        text = as_typed(text)
        replaced, calls = text.strip().encode(), []
        nodes = [n for n in ast.walk(syntax_tree(text)) if isinstance(n, ast.Call) and self._is_unknown(n, symbols)]
        if not nodes:
            raise ValueError(f"says nothing about {symbols.unknowns[0]}; write {_example(symbols)}")
        for node in sorted(nodes, key=lambda n: -n.col_offset):  # from the end, so that the places stay right
            source = replaced[node.col_offset : node.end_col_offset].decode()
            before, behind = replaced[: node.col_offset], replaced[node.end_col_offset :]
            replaced = before + _PLACE.format(len(calls)).encode() + behind
            calls.append(self._call(node, source, symbols))
        return replaced.decode(), calls

    def _is_unknown(self, node: ast.Call, symbols: Symbols) -> bool:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        starts = (f"{mark}{u}" for u in symbols.unknowns for mark in ("", "d", *(f"d{k}" for k in range(2, 100))))
        return name in symbols.unknowns or any(name.startswith(f"{start}_") for start in starts)

    def _call(self, node: ast.Call, source: str, symbols: Symbols) -> Call:
        assert isinstance(node.func, ast.Name)
        found = symbols.component(node.func.id, self.where)
        if len(node.args) != len(symbols.inputs):
            raise ValueError(f"{source} has {len(node.args)} argument(s); write {_example(symbols)}")
        fixed = {}
        for name, argument in zip(symbols.inputs, node.args, strict=True):
            if not (isinstance(argument, ast.Name) and argument.id == name):
                fixed[name] = self._number(ast.unparse(argument), name, source)
        return Call(source, found, fixed)

    def _number(self, text: str, name: str, source: str) -> float:
        try:
            _, (expression,) = parse(text, ())
            return constant(expression)
        except ValueError:
            raise ValueError(f"{text!r} in {source} is neither a number nor {name}, which means every {name}") from None

    def _free(self, symbols: Symbols, domain: Domain) -> list[str]:
        """The inputs that take all their values; those with a value must lie in the domain."""
        for call in self.calls:
            for name, value in call.fixed.items():
                low, high = domain[name]
                if not low <= value <= high:
                    raise ValueError(f"{self.where}: {name} = {value:g} lies outside its domain [{low:g}, {high:g}]")
        free = [name for name in symbols.inputs if any(name not in call.fixed for call in self.calls)]
        for name in self.expression.names & (set(symbols.inputs) - set(free)):
            raise ValueError(f"{self.where}: {name} has a value in {self.calls[0].text}; write that value for it")
        return free

    def _at(self, call: Call, free: list[str], base: Tensor) -> Tensor:
        """The points (rows, inputs) of a call."""
        columns = [
            base.new_full((len(base),), call.fixed[name]) if name in call.fixed else base[:, free.index(name)]
            for name in self._inputs
        ]
        return torch.stack(columns, 1)


def _places(count: int) -> list[str]:
    return [_PLACE.format(i) for i in range(count)]


def _example(symbols: Symbols) -> str:
    return f"{symbols.unknowns[0]}({', '.join([*symbols.inputs[:-1], '0'])}) = 1"


def _samples(intervals: list[tuple[float, float]], count: int) -> Float64[Tensor, "rows free"]:
    """Points that fill the intervals evenly, with the ends where there is one; a single row where there is none."""
    if not intervals:
        return torch.zeros(1, 0, dtype=torch.float64)
    low, high = torch.tensor(intervals, dtype=torch.float64).T
    if len(intervals) == 1:
        unit = torch.linspace(0, 1, count, dtype=torch.float64)[:, None]
    else:
        unit = torch.quasirandom.SobolEngine(len(intervals), scramble=True, seed=0).draw(count, dtype=torch.float64)
    return low + (high - low) * unit
