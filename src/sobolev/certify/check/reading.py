"""What a certificate says of its network, its function, its equations and conditions, computed with series."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mpmath
import numpy as np

from sobolev.certify.check.functions import FUNCTIONS, divided, exponential, logarithm, raised
from sobolev.certify.check.taylor import Space, Taylor, lower_end, upper_end

iv: Any = mpmath.iv

_ALIASES = {"ln": "log", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh"}
_ALIASES |= {"arccosh": "acosh", "arctanh": "atanh", "Abs": "abs", "Max": "max", "Min": "min"}


def network(steps: Sequence[Mapping[str, Any]], inputs: Sequence[Taylor]) -> list[Taylor]:
    """The outputs of a recorded forward."""
    space = inputs[0].space
    values: list[Any] = [_array(inputs, (1, len(inputs)))]
    for step in steps:
        operands = [values[o["value"]] if "value" in o else _constant(space, o["constant"]) for o in step["operands"]]
        values.append(np.asarray(_step(step, operands), dtype=object))
    return list(values[-1].ravel())


def _step(step: Mapping[str, Any], operands: list[Any]) -> Any:
    name = step["operation"]
    if name == "linear":
        return _linear(operands[0], *(o["constant"] for o in step["operands"][1:]))
    if name == "gather":
        flat = np.concatenate([o.ravel() for o in operands])
        return flat[np.array(step["index"], dtype=int)].reshape(step["shape"])
    if name == "sum":
        return np.sum(operands[0], axis=tuple(step["axes"]), keepdims=step["keepdim"])
    if name in _BINARY:
        return np.frompyfunc(_BINARY[name], 2, 1)(*operands)
    if name == "pow":
        return np.frompyfunc(lambda x: raised(x, step["exponent"]), 1, 1)(operands[0])
    if name == "softplus":
        beta = iv.mpf(step["beta"])
        return np.frompyfunc(lambda x: FUNCTIONS[name](x.scaled(beta)).scaled(1 / beta), 1, 1)(operands[0])
    if name not in FUNCTIONS:
        raise ValueError(f"the certificate's network calls {name!r}, which cannot be read")
    return np.frompyfunc(FUNCTIONS[name], 1, 1)(operands[0])


_BINARY: dict[str, Callable[[Taylor, Taylor], Taylor]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": divided,
}


def _linear(x: Any, weight: list[list[float]], bias: list[float]) -> Any:
    """Inputs times the transposed weights, plus the bias, over the last axis."""
    rows = [[_weighted(row, w, b) for w, b in zip(weight, bias, strict=True)] for row in x.reshape(-1, x.shape[-1])]
    return _array([value for row in rows for value in row], (*x.shape[:-1], len(weight)))


def _weighted(row: Sequence[Taylor], weights: Sequence[float], bias: float) -> Taylor:
    space = row[0].space
    near, over = {space.zero: iv.mpf(bias)}, {space.zero: iv.mpf(bias)}
    for weight, value in zip(map(iv.mpf, weights), row, strict=True):
        for total, part in ((near, value.near), (over, value.over)):
            for index, coefficient in part.items():
                term = weight * coefficient
                total[index] = total[index] + term if index in total else term
    return Taylor(space, near, over)


def _constant(space: Space, values: Any) -> Any:
    numbers = np.asarray(values, dtype=np.float64)
    return _array([space.number(float(v)) for v in numbers.ravel()], numbers.shape)


def _array(values: Sequence[Taylor], shape: tuple[int, ...]) -> Any:
    """An array of objects, which numpy would otherwise look into."""
    found = np.empty(len(values), dtype=object)
    found[:] = list(values)
    return found.reshape(shape)


def tree(text: str) -> ast.expr:
    """A formula, or the difference of both sides of an equation."""
    sides = [side.strip() for side in re.split(r"(?<![<>=!])==?(?!=)", text)]
    return ast.parse(sides[0] if len(sides) == 1 else f"({sides[0]}) - ({sides[1]})", mode="eval").body


def formula(
    node: ast.AST, names: Mapping[str, Taylor], calls: Callable[[ast.Call], Taylor | None] | None = None
) -> Taylor:
    """A formula of series by name; `calls` knows functions besides the usual ones."""
    space = next(iter(names.values())).space
    walk = lambda part: formula(part, names, calls)  # noqa: E731
    if isinstance(node, ast.Constant):
        return space.number(str(node.value))
    if isinstance(node, ast.Name):
        if node.id in names:
            return names[node.id]
        return space.number(+{"pi": iv.pi, "e": iv.e, "E": iv.e}[node.id])
    if isinstance(node, ast.UnaryOp):
        return -walk(node.operand) if isinstance(node.op, ast.USub) else walk(node.operand)
    if isinstance(node, ast.BinOp):
        return _operation(node.op, walk(node.left), walk(node.right))
    if isinstance(node, ast.IfExp):
        return _where(node.test, walk(node.body), walk(node.orelse), walk)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        known = calls(node) if calls else None
        return known or _call(_ALIASES.get(node.func.id, node.func.id), node.args, walk)
    raise ValueError(f"a formula cannot be read: {ast.unparse(node)}")


def _call(name: str, arguments: Sequence[ast.expr], walk: Callable[[ast.AST], Taylor]) -> Taylor:
    if name == "where":
        return _where(arguments[0], walk(arguments[1]), walk(arguments[2]), walk)
    values = [walk(a) for a in arguments]
    zero = values[0].space.number(0)
    if name in ("abs", "relu"):
        return _chosen(values[0], values[0], -values[0] if name == "abs" else zero)
    if name in ("max", "min"):
        best = values[0]
        for other in values[1:]:
            best = _chosen(best - other if name == "max" else other - best, best, other)
        return best
    if name not in FUNCTIONS:
        raise ValueError(f"a formula cannot be read: it calls {name}")
    return FUNCTIONS[name](values[0])


def _operation(operator: ast.operator, a: Taylor, b: Taylor) -> Taylor:
    if isinstance(operator, ast.Pow):
        return _power(a, b)
    return _BINARY[{ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}[type(operator)]](a, b)


def _power(a: Taylor, b: Taylor) -> Taylor:
    space, exponent = a.space, b.over.get(a.space.zero, iv.mpf(0))
    if any(i != space.zero for i in b.over):
        return (a.apply(logarithm) * b).apply(exponential)
    if lower_end(exponent) == upper_end(exponent) and lower_end(exponent).is_integer():
        return raised(a, int(lower_end(exponent)))
    return a.apply(logarithm).scaled(exponent).apply(exponential)


def _where(test: ast.AST, yes: Taylor, no: Taylor, walk: Callable[[ast.AST], Taylor]) -> Taylor:
    """`yes` where the comparison holds; several are joined by `and`."""
    if isinstance(test, ast.BoolOp):
        both = isinstance(test.op, ast.And)
        result = yes if both else no
        for part in reversed(test.values):
            result = _where(part, result, no, walk) if both else _where(part, yes, result, walk)
        return result
    assert isinstance(test, ast.Compare)
    result, terms = yes, [walk(term) for term in (test.left, *test.comparators)]
    for a, operator, b in reversed(list(zip(terms, test.ops, terms[1:], strict=False))):
        larger = isinstance(operator, ast.Gt | ast.GtE)
        result = _chosen(a - b if larger else b - a, result, no)
    return result


def _chosen(condition: Taylor, yes: Taylor, no: Taylor) -> Taylor:
    """One of the two where the sign is sure in the whole box; else only the value is between both."""
    values, space = condition.range, yes.space
    if lower_end(values) > 0 or lower_end(values) == 0:
        return yes
    if upper_end(values) < 0:
        return no
    a, b = yes.range, no.range
    unknown = dict.fromkeys(space.indices, iv.mpf(["-inf", "inf"]))
    return Taylor(space, unknown, unknown | {space.zero: iv.mpf([min(a.a, b.a), max(a.b, b.b)])})


def derivative_name(name: str, inputs: Sequence[str], unknowns: Sequence[str]) -> tuple[int, tuple[int, ...]] | None:
    """The unknown and how often it is differentiated by each input, from `u`, `du_dx`, `d3u_dxdy2`."""
    for number, unknown in enumerate(unknowns):
        if name == unknown:
            return number, (0,) * len(inputs)
        match = re.fullmatch(rf"d(\d*){re.escape(unknown)}_(\w+)", name)
        orders = match and _orders(match[2], int(match[1] or 1), tuple(inputs))
        if orders:
            return number, orders
    return None


def _orders(text: str, total: int, inputs: tuple[str, ...]) -> tuple[int, ...] | None:
    if not text:
        return (0,) * len(inputs) if total == 0 else None
    for i, name in enumerate(inputs):
        for digits in range(2, -1, -1):
            match = re.match(rf"d{re.escape(name)}(\d{{{digits}}})", text)
            order = int(match[1] or 1) if match else 0
            rest = _orders(text[match.end() :], total - order, inputs) if match and 0 < order <= total else None
            if rest:
                return tuple(k + order * (j == i) for j, k in enumerate(rest))
    return None
