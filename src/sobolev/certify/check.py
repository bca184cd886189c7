"""A certificate checked by somebody else: mpmath's intervals, and no line of what made it.

The network is read from the certificate, its Taylor coefficients are computed with intervals of many digits at the
centre of a cell and over the cell, without any of the ways by which `certify` is quick or tight. Cells in which that is
not enough are halved.
"""

import ast
import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import mpmath

iv: Any = mpmath.iv
mp: Any = mpmath.mp
_BITS = 120
_DEPTH = 12
"""A cell is halved so often at most."""
_TERMS = 7
"""So many of Taylor's series bound a derivative in one dimension; in more it is 2."""

Index = tuple[int, ...]
Box = list[tuple[float, float]]


def check(certificate: str | Path | dict[str, Any], cells: int = 3, slack: float = 0.01, seed: int = 0) -> list[str]:
    """Look for what is wrong with a certificate.

    Every search's cells must tile its domain without a gap. In the cell with the highest bound and in a random sample,
    the bound is proved again, up to `slack`; so is what is said to be attained.

    Args:
        certificate: as `Certificate.save` wrote it, or its dictionary with the cells.
        cells: how many cells are proved again for each bound.
        slack: relative, by which the second proof may be weaker.
        seed: of the sample.

    Returns:
        What does not hold, one sentence each; nothing if all is well.

    Raises:
        ValueError: the certificate holds no cells, or no network that can be read.
    """
    data = certificate if isinstance(certificate, dict) else json.loads(Path(certificate).read_text(encoding="utf-8"))
    if "parts" not in data:
        raise ValueError("the certificate holds no cells: write it by Certificate.save, or to_dict(cells=True)")
    domain = [tuple(ends) for ends in data["domain"].values()]
    before, iv.prec = iv.prec, _BITS
    try:
        found = []
        for part in data["parts"]:
            boxes = [list(zip(low, high, strict=True)) for low, high in zip(part["low"], part["high"], strict=True)]
            if not covers(part.get("domain", domain), boxes):
                found.append(f"the cells of {part['names'][0]} leave a gap")
        return found + _bounds(data, cells, slack, random.Random(seed))
    finally:
        iv.prec = before


def covers(box: Sequence[tuple[float, float]], boxes: list[Box]) -> bool:
    """Whether boxes fill another one; a plane that none of them crosses parts them, again and again."""
    if len(boxes) <= 1:
        return any(all(c[0] <= a and b <= c[1] for (a, b), c in zip(box, cell, strict=True)) for cell in boxes)
    for axis in range(len(box)):
        order = sorted(boxes, key=lambda cell: cell[axis])
        cuts, reach = [], -math.inf
        for count, (cell, after) in enumerate(pairwise(order), 1):
            reach = max(reach, cell[axis][1])
            if reach <= after[axis][0]:
                cuts.append((abs(count - len(order) / 2), count, reach, after[axis][0]))
        if cuts:
            _, count, left, right = min(cuts)
            parts = [[*box[:axis], ends, *box[axis + 1 :]] for ends in ((box[axis][0], left), (right, box[axis][1]))]
            return left == right and covers(parts[0], order[:count]) and covers(parts[1], order[count:])
    return False


def _bounds(data: dict[str, Any], cells: int, slack: float, chance: random.Random) -> list[str]:
    if data.get("network") is None:
        raise ValueError("the certificate holds no network that can be read: it is no chain of known layers")
    found = []
    (part,) = data["parts"]
    problem = _Problem(data)
    for k, bound in enumerate(data["bounds"]):
        columns = [i for i, order in enumerate(part["orders"]) if order == k]
        if bound["upper"] is None or any(row[c] is None for row in part["upper"] for c in columns):
            continue  # nothing was claimed
        uppers = [max(row[c] for c in columns) for row in part["upper"]]
        if max(uppers) > bound["upper"]:
            found.append(f"{bound['name']}: a cell's bound {max(uppers):.6g} is above {bound['upper']:.6g}")
        worst = max(range(len(uppers)), key=uppers.__getitem__)
        for i in {worst, *chance.sample(range(len(uppers)), min(cells - 1, len(uppers)))}:
            box = list(zip(part["low"][i], part["high"][i], strict=True))
            limit = max(uppers[i] * (1 + slack), bound["upper"] * slack)
            if not problem.below(box, k, limit, _DEPTH):
                found.append(f"{bound['name']}: {uppers[i]:.6g} could not be proved again in the cell {box}")
        if problem.attained(bound["where"], k) < bound["lower"] * (1 - slack):
            found.append(f"{bound['name']}: {bound['lower']:.6g} is not attained at {bound['where']}")
    return found


class _Problem:
    """The network minus its function, in intervals."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.inputs, self.layers = list(data["domain"]), data["network"]
        text = data.get("function")
        tree = None if text is None else ast.parse(text.strip(), mode="eval").body
        self.formulas = [] if tree is None else tree.elts if isinstance(tree, ast.Tuple) else [tree]

    def below(self, box: Box, order: int, limit: float, depth: int) -> bool:
        """Whether no derivative of this order exceeds the limit in the box."""
        if self._largest(box, order) <= limit:
            return True
        if depth == 0:
            return False
        axis = max(range(len(box)), key=lambda i: (box[i][1] - box[i][0]) / (1 + abs(box[i][0])))
        middle = sum(box[axis]) / 2
        halves = [[*box[:axis], ends, *box[axis + 1 :]] for ends in ((box[axis][0], middle), (middle, box[axis][1]))]
        return all(self.below(half, order, limit, depth - 1) for half in halves)

    def attained(self, point: Sequence[float], order: int) -> float:
        """What the largest derivative of this order is at least at a point."""
        outputs = self._series([iv.mpf(x) for x in point], order)
        indices = [index for index in _indices(len(point), order) if sum(index) == order]
        values = [(e.get(i, iv.mpf(0)), math.prod(map(math.factorial, i))) for e in outputs for i in indices]
        return max(_end(abs(value * factor).a) for value, factor in values)

    def _largest(self, box: Box, order: int) -> float:
        """An upper bound of the derivatives of this order, by Taylor's theorem."""
        count = len(box)
        terms = _TERMS if count == 1 else 2
        top = order + terms
        centre = [iv.mpf(sum(ends) / 2) for ends in box]
        reach = [_reach(ends) for ends in box]
        near = self._series(centre, top - 1)
        over = self._series([iv.mpf(list(ends)) for ends in box], top)
        best = 0.0
        for middle, whole in zip(near, over, strict=True):
            for index in _indices(count, order):
                if sum(index) != order:
                    continue
                total = iv.mpf(0)
                for beta in _indices(count, terms):
                    target = tuple(a + b for a, b in zip(index, beta, strict=True))
                    term = (whole if sum(beta) == terms else middle).get(target, iv.mpf(0))
                    weight = math.prod(math.perm(t, i) for t, i in zip(target, index, strict=True))
                    powers = (reach[i] ** n for i, n in enumerate(beta) if n)
                    total += reduce(lambda a, b: a * b, powers, term * weight)
                best = max(best, _end(abs(total).b))
        return best

    def _series(self, point: list[Any], degree: int) -> list[dict[Index, Any]]:
        """The Taylor coefficients of every output about a point, or ranges of them over a box."""
        space = _Space(len(point), degree)
        values = [space.variable(i, x) for i, x in enumerate(point)]
        inputs = dict(zip(self.inputs, values, strict=True))
        for layer in self.layers:
            values = _layer(space, layer, values)
        targets = [_formula(space, node, inputs) for node in self.formulas] or [space.number(0) for _ in values]
        return [space.add(y, space.times(t, space.number(-1))) for y, t in zip(values, targets, strict=True)]


class _Space:
    """Truncated power series with interval coefficients: dictionaries from multi-indices."""

    def __init__(self, inputs: int, degree: int) -> None:
        self.inputs, self.degree, self.zero = inputs, degree, (0,) * inputs

    def number(self, value: Any) -> dict[Index, Any]:
        return {self.zero: iv.mpf(value)}

    def variable(self, i: int, at: Any) -> dict[Index, Any]:
        unit = tuple(int(i == j) for j in range(self.inputs))
        return {self.zero: at, unit: iv.mpf(1)} if self.degree else {self.zero: at}

    def add(self, a: dict, b: dict) -> dict:
        return {index: a.get(index, 0) + b.get(index, 0) for index in {*a, *b}}

    def times(self, a: dict, b: dict) -> dict:
        total: dict[Index, Any] = {}
        for (i, x), (j, y) in product(a.items(), b.items()):
            index = tuple(m + n for m, n in zip(i, j, strict=True))
            if sum(index) <= self.degree:
                total[index] = total.get(index, 0) + x * y
        return total

    def apply(self, outer: Callable[[Any, int], list[Any]], a: dict) -> dict:
        """f(a), from f, f', f''/2, ... at or over its first coefficient."""
        inner = {index: value for index, value in a.items() if sum(index)}
        coefficients = outer(a.get(self.zero, iv.mpf(0)), self.degree + 1)
        total, power = {self.zero: coefficients[0]}, self.number(1)
        for coefficient in coefficients[1:]:
            power = self.times(power, inner)
            total = self.add(total, {index: coefficient * value for index, value in power.items()})
        return total


def _exp(x: Any, count: int) -> list[Any]:
    return [iv.exp(x) / math.factorial(j) for j in range(count)]


def _logistic(x: Any, count: int) -> list[Any]:
    """From σ' = σ (1 - σ), the coefficients one after the other."""
    value = 1 / (1 + iv.exp(-x))
    found, other = [value], [1 / (1 + iv.exp(x))]
    for j in range(count - 1):
        found.append(sum(found[i] * other[j - i] for i in range(j + 1)) / (j + 1))
        other.append(-found[-1])
    return found


def _tanh(x: Any, count: int) -> list[Any]:
    return [2 ** (j + 1) * s - (j == 0) for j, s in enumerate(_logistic(2 * x, count))]


def _silu(x: Any, count: int) -> list[Any]:
    s = _logistic(x, count)
    return [x * s[j] + (s[j - 1] if j else 0) for j in range(count)]


def _softplus(x: Any, count: int) -> list[Any]:
    return [iv.log(1 + iv.exp(x)), *(s / (j + 1) for j, s in enumerate(_logistic(x, count - 1)))][:count]


def _sin(x: Any, count: int, shift: int = 0) -> list[Any]:
    cycle = [iv.sin(x), iv.cos(x), -iv.sin(x), -iv.cos(x)]
    return [cycle[(j + shift) % 4] / math.factorial(j) for j in range(count)]


def _cos(x: Any, count: int) -> list[Any]:
    return _sin(x, count, 1)


def _log(x: Any, count: int) -> list[Any]:
    return [iv.log(x), *((-1) ** (j - 1) / (j * x**j) for j in range(1, count))]


def _inverse(x: Any, count: int) -> list[Any]:
    return [(-1) ** j / x ** (j + 1) for j in range(count)]


_FUNCTIONS = {"exp": _exp, "sigmoid": _logistic, "tanh": _tanh, "silu": _silu, "softplus": _softplus, "sin": _sin}
_FUNCTIONS |= {"cos": _cos, "log": _log}


def _layer(space: _Space, layer: dict[str, Any], values: list[dict]) -> list[dict]:
    if "activation" in layer:
        return [space.apply(_FUNCTIONS[layer["activation"]], value) for value in values]
    if "scale" in layer:
        scale, shift = layer["scale"], layer["shift"]
        factors = [1 / iv.mpf(s) if layer["divide"] else iv.mpf(s) for s in scale]
        if layer["divide"]:
            values = [space.add(v, space.number(-iv.mpf(m))) for v, m in zip(values, shift, strict=True)]
            return [{i: c * f for i, c in v.items()} for v, f in zip(values, factors, strict=True)]
        values = [{i: c * f for i, c in v.items()} for v, f in zip(values, factors, strict=True)]
        return [space.add(v, space.number(m)) for v, m in zip(values, shift, strict=True)]
    rows = []
    for weights, bias in zip(layer["weight"], layer["bias"], strict=True):
        total = dict(space.number(bias))
        for weight, value in zip(weights, values, strict=True):
            for index, coefficient in value.items():
                total[index] = total.get(index, 0) + iv.mpf(weight) * coefficient
        rows.append(total)
    return rows


def _formula(space: _Space, node: ast.AST, names: dict[str, dict]) -> dict:
    """A formula in the names of the inputs."""
    if isinstance(node, ast.Constant):
        return space.number(str(node.value))
    if isinstance(node, ast.Name):
        constants = {"pi": iv.pi, "e": iv.e, "E": iv.e}
        return names[node.id] if node.id in names else {space.zero: +constants[node.id]}
    if isinstance(node, ast.UnaryOp):
        sign = -1 if isinstance(node.op, ast.USub) else 1
        return space.times(_formula(space, node.operand, names), space.number(sign))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        return space.apply(_FUNCTIONS[node.func.id], _formula(space, node.args[0], names))
    if isinstance(node, ast.BinOp):
        a, b = (_formula(space, side, names) for side in (node.left, node.right))
        return _operation(space, node.op, a, b)
    raise ValueError(f"the second proof knows no {ast.unparse(node)!r}")


def _operation(space: _Space, operation: ast.operator, a: dict, b: dict) -> dict:
    if isinstance(operation, ast.Add):
        return space.add(a, b)
    if isinstance(operation, ast.Sub):
        return space.add(a, space.times(b, space.number(-1)))
    if isinstance(operation, ast.Mult):
        return space.times(a, b)
    if isinstance(operation, ast.Div):
        return space.times(a, space.apply(_inverse, b))
    exponent = _end(b[space.zero].a)
    if len(b) == 1 and exponent.is_integer() and exponent == _end(b[space.zero].b):
        power = reduce(space.times, [a] * abs(int(exponent)), space.number(1))
        return power if exponent >= 0 else space.apply(_inverse, power)
    return space.apply(_exp, space.times(b, space.apply(_log, a)))


def _indices(inputs: int, degree: int) -> Iterable[Index]:
    return (index for index in product(range(degree + 1), repeat=inputs) if sum(index) <= degree)


def _end(x: Any) -> float:
    """An end of an interval; rounding it to float64 is far below the slack."""
    return float(mp.mpf(x))


def _reach(ends: tuple[float, float]) -> Any:
    middle = iv.mpf(sum(ends) / 2)
    return iv.mpf(list(ends)) - middle
