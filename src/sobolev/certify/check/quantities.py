"""What a certificate bounds: magnitudes and ranges of derivatives, equations, conditions."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import mpmath

from sobolev.certify.check.cover import Box
from sobolev.certify.check.reading import derivative_name, formula, network, tree
from sobolev.certify.check.taylor import Index, Space, Taylor

_TERMS = {1: 5, 2: 2}
"""So many more coefficients than the highest derivative are computed, by the number of free inputs; else 1."""


@dataclass(frozen=True)
class Quantity:
    """One bound, with the search that it comes from.

    Attributes:
        name: of what is bounded.
        part: the search.
        columns: those of its bounds that speak of it; the largest counts.
        upper: claimed to be exceeded nowhere.
        lower: claimed to be attained, if that is claimed.
        where: there.
        fixed: the inputs to which a condition gives values.
        free: the places of the others.
        ranges: over a box, of all numbers of which none may exceed `upper`.
    """

    name: str
    part: Mapping[str, Any]
    columns: Sequence[int]
    upper: float | None
    lower: float | None
    where: Sequence[float] | None
    fixed: frozenset[str]
    free: Sequence[int]
    ranges: Callable[[Box], list[Any]]


def quantities(data: Mapping[str, Any]) -> Iterator[Quantity]:
    """All that a certificate claims.

    Raises:
        ValueError: its network or function cannot be read.
    """
    if data.get("network") is None:
        raise ValueError("the certificate holds no network that can be read: its forward could not be recorded")
    if data.get("unknowns") is None:
        return _derivatives(data)
    return _equations(data)


def _derivatives(data: Mapping[str, Any]) -> Iterator[Quantity]:
    (part,), count = data["parts"], len(data["domain"])
    values = _Errors(data)
    free, nothing = range(count), frozenset[str]()
    for k, bound in enumerate(data["bounds"]):
        columns = [i for i, order in enumerate(part["orders"]) if order == k]
        upper, lower, where = bound["upper"], bound["lower"], bound["where"]
        yield Quantity(bound["name"], part, columns, upper, lower, where, nothing, free, values.magnitudes(k))
    indices = [i for k in range(len(data["bounds"])) for i in _of_order(count, k)]
    for n, (name, ends) in enumerate(data["ranges"].items()):
        outputs = len(data["ranges"]) // len(indices)
        index, output = indices[n // outputs], n % outputs
        for side, sign in enumerate((1, -1)):
            end = ends[1 - side]
            upper = None if end is None else sign * end
            one = values.one(index, output, sign)
            yield Quantity(f"{'-' * side}{name}", part, [2 * n + side], upper, None, None, nothing, free, one)


class _Errors:
    """The derivatives of the network minus its function, in intervals."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._inputs, self._network, self._target = list(data["domain"]), data["network"], data.get("target")
        text = data.get("function")
        self._formulas = [] if text is None or self._target else _formulas(text)

    def magnitudes(self, order: int) -> Callable[[Box], list[Any]]:
        """Of all derivatives of an order."""

        def ranges(box: Box) -> list[Any]:
            return [abs(value) for values in self._all(box, order) for value in values]

        return ranges

    def one(self, index: Index, output: int, sign: int) -> Callable[[Box], list[Any]]:
        """One derivative of one output, or its negative."""
        place = _of_order(len(index), sum(index)).index(index)
        return lambda box: [self._all(box, sum(index))[output][place] * sign]

    def _all(self, box: Box, order: int) -> list[list[Any]]:
        """For each output the ranges of its derivatives of an order."""
        space = Space(box, order + _TERMS.get(len(box), 1))
        inputs = [space.variable(i) for i in range(len(box))]
        names = dict(zip(self._inputs, inputs, strict=True))
        outputs = network(self._network, inputs)
        if self._target:
            outputs = [y - t for y, t in zip(outputs, network(self._target, inputs), strict=True)]
        elif self._formulas:
            outputs = [y - formula(f, names) for y, f in zip(outputs, self._formulas, strict=True)]
        factor = {i: prod(map(_factorial, i)) for i in _of_order(len(box), order)}
        return [[y.tightened().over[i] * factor[i] for i in factor] for y in outputs]


def _formulas(text: str) -> list[ast.expr]:
    node = tree(text.strip())
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _equations(data: Mapping[str, Any]) -> Iterator[Quantity]:
    for bound, part in zip(data["bounds"], data["parts"], strict=True):
        statement = _Statement(data, bound["name"])
        fixed, free = statement.fixed, [i for i, n in enumerate(data["domain"]) if n not in statement.fixed]
        claims = bound["upper"], bound["lower"], bound["where"]
        yield Quantity(bound["name"], part, [0], *claims, fixed, free, statement.ranges)


class _Statement:
    """By how much an equation or a condition is violated, in intervals."""

    def __init__(self, data: Mapping[str, Any], text: str) -> None:
        self._inputs, self._unknowns, self._network = list(data["domain"]), data["unknowns"], data["network"]
        self._tree = tree(text)
        self._calls = [n for n in ast.walk(self._tree) if isinstance(n, ast.Call) and self._derivative(n) is not None]
        fixed = [{n for n in self._inputs if n in self._fixed(call)} for call in self._calls]
        self.fixed = frozenset(set.intersection(*fixed)) if fixed else frozenset()

    def _derivative(self, call: ast.Call) -> tuple[int, Index] | None:
        assert isinstance(call.func, ast.Name)
        return derivative_name(call.func.id, self._inputs, self._unknowns)

    def _fixed(self, call: ast.Call) -> dict[str, float]:
        """The inputs to which a call gives values."""
        pairs = zip(self._inputs, call.args, strict=True)
        numbers = {n: a for n, a in pairs if not (isinstance(a, ast.Name) and a.id == n)}
        space = Space([(0.0, 0.0)], 1)
        return {
            n: float(mpmath.mp.mpf(formula(a, {"": space.number(0)}).near[space.zero].mid)) for n, a in numbers.items()
        }

    def ranges(self, box: Box) -> list[Any]:
        """Over a box."""
        named = [
            derivative_name(n.id, self._inputs, self._unknowns) for n in ast.walk(self._tree) if isinstance(n, ast.Name)
        ]
        orders = [sum(d[1]) for d in [*named, *map(self._derivative, self._calls)] if d]
        free = len(self._inputs) - len(self.fixed)
        space, highest = Space(box, _TERMS.get(max(free, 1), 1)), max(orders)
        names = {n: space.variable(i) for i, n in enumerate(self._inputs)}
        if not self._calls:
            outputs = self._outputs(box, space, highest)
            for node in ast.walk(self._tree):
                found = isinstance(node, ast.Name) and derivative_name(node.id, self._inputs, self._unknowns)
                if found and isinstance(node, ast.Name):
                    names[node.id] = outputs[found[0]].derivative(found[1], space)
        return [abs(formula(self._tree, names, lambda call: self._value(call, box, space, highest)).range)]

    def _value(self, call: ast.Call, box: Box, space: Space, highest: int) -> Taylor | None:
        """A derivative at a part of the boundary."""
        found = self._derivative(call)
        if found is None:
            return None
        fixed = self._fixed(call)
        there = [(fixed[n], fixed[n]) if n in fixed else ends for n, ends in zip(self._inputs, box, strict=True)]
        value = self._outputs(there, space, highest)[found[0]].derivative(found[1], space)
        across = [i for i, n in enumerate(self._inputs) if n in fixed]  # there the value does not depend on these
        parts = ({i: c for i, c in part.items() if not any(i[a] for a in across)} for part in (value.near, value.over))
        return Taylor(space, *parts)

    def _outputs(self, box: Box, space: Space, highest: int) -> list[Taylor]:
        wide = Space(box, space.degree + highest)
        return network(self._network, [wide.variable(i) for i in range(len(box))])


def _of_order(inputs: int, order: int) -> list[Index]:
    """The indices of one order, those of the first inputs first."""
    if inputs == 1:
        return [(order,)]
    return [(k, *rest) for k in range(order, -1, -1) for rest in _of_order(inputs - 1, order - k)]


def _factorial(n: int) -> int:
    return prod(range(1, n + 1))
