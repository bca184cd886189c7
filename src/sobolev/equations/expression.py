"""The text of an equation: both sides, with the derivatives and the values at other points it speaks of."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.equations.components import Component, component
from sobolev.functions.differentiable import Program
from sobolev.functions.parser import parse, symbol

_LAPLACIAN = re.compile(r"\blaplacian\(([^()]*)\)")
_TIMES = ("t", "time")
_EQUALS = re.compile(r"(?<![<>=!])==?(?!=)")


class Symbols(NamedTuple):
    """The names that an equation is about."""

    inputs: tuple[str, ...]
    unknowns: tuple[str, ...]

    def component(self, name: str, where: str) -> Component:
        """The derivative of that name.

        Raises:
            ValueError: there is none; the nearest names are given.
        """
        try:
            found = component(name, self.inputs, self.unknowns)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if found is None:
            near = get_close_matches(name, self._examples(), n=2, cutoff=0.5) or self._examples()[:3]
            raise ValueError(
                f"{where}: {name!r} is neither an input ({', '.join(self.inputs)}) nor a derivative of "
                f"{' or '.join(self.unknowns)}; write {' or '.join(near)}"
            )
        return found

    def _examples(self) -> list[str]:
        pairs = [(u, x) for u in self.unknowns for x in self.inputs]
        return [*self.unknowns, *(f"d{u}_d{x}" for u, x in pairs), *(f"d2{u}_d{x}2" for u, x in pairs)]


class Expression:
    """What must be 0: the left side of an equation minus the right side, or a formula alone.

    Args:
        text: such as `d2u_dx2 = -u` or `d2u_dx2 + u`; nothing in it is run.
        where: begins the messages.
        symbols: the inputs and unknowns it may contain.
        extra: other names it may contain, whose values are given as well.

    Attributes:
        formula: the left side minus the right side, a sympy expression.
        components: the derivatives in it, by name.

    Raises:
        ValueError: no formula, or an unknown name.
    """

    def __init__(self, text: str, where: str, symbols: Symbols, extra: Sequence[str] = ()) -> None:
        self.where, self.inputs = where, symbols.inputs
        text = written_out(text, symbols, where)
        try:
            found = set(parse(zero_side(text))[0])
            names, expressions = parse(zero_side(text), sorted(found | set(symbols.inputs) | set(extra)))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if len(expressions) != 1:
            raise ValueError(f"{where} is {len(expressions)} formulas; give several equations as a list, one text each")
        self.formula, self._program = expressions[0], Program(expressions[0])
        self.names = {n for n in names if symbol(n) in expressions[0].free_symbols}
        self._symbols = {n: symbol(n) for n in self.names}
        self.components = {n: symbols.component(n, where) for n in sorted(self.names - {*symbols.inputs, *extra})}
        if not self.components and not extra:
            raise ValueError(f"{where} contains no unknown ({', '.join(symbols.unknowns)})")

    def __call__(self, values: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """The value at every point, (points,), shaped like `like`, from the values of all names."""
        found: Any = self._program({symbol: values[name] for name, symbol in self._symbols.items()})
        return torch.as_tensor(found, dtype=like.dtype, device=like.device).expand_as(like)


def written_out(text: str, symbols: Symbols, where: str) -> str:
    """`laplacian(u)` as the sum of its second derivatives, by all inputs but the time t; `laplacian(u, x, y)` by those.

    Raises:
        ValueError: it is of no unknown, or by no input.
    """

    def summed(found: re.Match[str]) -> str:
        unknown, *by = (name.strip() for name in found[1].split(","))
        by = by or [name for name in symbols.inputs if name not in _TIMES]
        if unknown not in symbols.unknowns or not set(by) <= set(symbols.inputs):
            raise ValueError(
                f"{where}: {found[0]} is no Laplacian; write laplacian({symbols.unknowns[0]}), or with the inputs "
                f"behind it, laplacian({', '.join([symbols.unknowns[0], *symbols.inputs])})"
            )
        return f"({' + '.join(f'd2{unknown}_d{name}2' for name in by) or '0'})"

    return _LAPLACIAN.sub(summed, text)


def zero_side(text: str) -> str:
    """`a = b` as `(a) - (b)`.

    Raises:
        ValueError: more than one sign of equality, or nothing on one side of it.
    """
    sides = [side.strip() for side in _EQUALS.split(text)]
    if len(sides) > 2:
        raise ValueError("there is more than one '='; write one equation with two sides")
    if len(sides) == 2 and not all(sides):
        raise ValueError("there is nothing on one side of '='; write 0 there, or leave '=' out")
    return text if len(sides) == 1 else f"({sides[0]}) - ({sides[1]})"
