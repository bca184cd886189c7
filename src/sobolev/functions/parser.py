"""From the text of a formula to sympy expressions, through a whitelist: nothing in the text is ever run."""

import ast
import math
import re
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any
from unicodedata import normalize

import sympy

from sobolev.functions.precise import constant
from sobolev.functions.syntax import as_typed, check_names, short, syntax_tree
from sobolev.functions.vocabulary import ALIASES, CALLS, CONSTANTS, Choose

_MAX_DEPTH = 60
_MAX_EXPONENT = 1000
_MAX_DIGITS = 400
"""A constant with more digits than this is no float64; sympy would compute with all of them."""
_DECIMAL_COMMA = re.compile(r"\d,\d")

_OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: sympy.Pow,
}
_FUNCTIONS = (*CALLS, *ALIASES, "where")


def parse(text: str, variables: Sequence[str] | None = None) -> tuple[tuple[str, ...], tuple[sympy.Expr, ...]]:
    """Read a formula.

    Args:
        text: one formula, or several separated by commas.
        variables: the names that are inputs, in their order; by default the names in the formula that are
            neither constants nor functions, in alphabetical order.

    Returns:
        The variables and one expression per output.

    Raises:
        ValueError: anything that is not a formula of these variables, with the reason.
    """
    text = as_typed(text)
    tree = syntax_tree(text)
    nodes = tree.elts if isinstance(tree, ast.Tuple) else [tree]
    if not nodes:
        raise ValueError(f"the formula {short(text)} is empty; write one such as 'x**2'")
    if variables is None:
        variables = sorted(_free_names(tree))
    check_names(variables)
    _say_constants(tree, variables)
    reader = _Reader(text, variables)
    expressions = tuple(reader.read(node, 0) for node in nodes)
    if len(nodes) > 1 and _DECIMAL_COMMA.search(text) and not all(found.free_symbols for found in expressions):
        raise ValueError(
            f"{short(text)}: the comma parts formulas, of which one would be a number alone; write decimals with a "
            "point, 1.5*x, or a blank behind the comma if a constant output is meant"
        )
    return tuple(variables), expressions


def _say_constants(tree: ast.expr, variables: Sequence[str]) -> None:
    """Warn where E or e may be meant for something else than Euler's number, which mostly is the base of a power."""
    bases = {id(node.left) for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in bases}
    for name in sorted(names & {"E", "e"} - set(variables)):
        warnings.warn(
            f"{name} is read as Euler's number, 2.718...; write exp(1) if that is meant, list {name!r} among the "
            "variables or name it otherwise if not",
            stacklevel=3,
        )


def symbol(name: str) -> sympy.Symbol:
    """The symbol of a variable; not declared real, for sympy would then rewrite sqrt(x**2) and the like."""
    return sympy.Symbol(name)


def _free_names(tree: ast.expr) -> set[str]:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}
    return {name for name in names if name not in CONSTANTS and name not in _FUNCTIONS}


class _Reader:
    """Turns whitelisted nodes into sympy expressions, and refuses the others."""

    def __init__(self, text: str, variables: Sequence[str]) -> None:
        self.text = text
        self.names = {**CONSTANTS, **{normalize("NFKC", name): symbol(name) for name in variables}}

    def read(self, node: ast.AST, depth: int) -> sympy.Expr:
        """The expression of a node; `depth` levels lie above it."""
        if depth > _MAX_DEPTH:
            raise ValueError(f"the formula {short(self.text)} is nested too deeply ({_MAX_DEPTH} levels)")
        reader = getattr(self, f"_read_{type(node).__name__.lower()}", None)
        if reader is None:
            raise ValueError(f"{self._source(node)} cannot be part of a formula{_refusal(node)}")
        return self._finite(reader(node, depth + 1), node)

    def _source(self, node: ast.AST) -> str:
        return short(ast.get_source_segment(self.text.strip(), node) or self.text)

    def _finite(self, expression: Any, node: ast.AST) -> sympy.Expr:
        if expression.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
            raise ValueError(f"{self._source(node)} is not a finite real number")
        if expression.is_Rational and max(abs(expression.p), expression.q) >= 10**_MAX_DIGITS:
            raise ValueError(f"{self._source(node)} is a number too large to compute with")
        if not expression.is_Rational and not expression.free_symbols:
            constant(expression)
        return expression

    def _read_constant(self, node: ast.Constant, _: int) -> sympy.Expr:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise ValueError(f"{self._source(node)} is no number; a formula holds only numbers and names")
        if isinstance(node.value, float) and not math.isfinite(node.value):
            raise ValueError(f"{self._source(node)} is a number too large to compute with")
        return sympy.Rational(str(node.value)) if abs(node.value) < 1e308 else sympy.Integer(int(node.value))

    def _read_name(self, node: ast.Name, _: int) -> sympy.Expr:
        if node.id in self.names:
            return self.names[node.id]
        if node.id in _FUNCTIONS:
            raise ValueError(
                f"{node.id!r} is a function: write {node.id}(...), or list it among the variables if it is one"
            )
        raise ValueError(f"the formula {short(self.text)} has an unknown name {node.id!r}{self._nearest(node.id)}")

    def _nearest(self, name: str, names: Sequence[str] | None = None) -> str:
        known = list(self.names) if names is None else list(names)
        near = get_close_matches(name, known, n=3, cutoff=0.5)
        if near or names is None:
            return f"; did you mean {' or '.join(near)}?" if near else f"; there are: {', '.join(known)}"
        return "; a product is written with *, f*(x), and the functions are those of torch: sin, exp, log, sqrt, ..."

    def _read_unaryop(self, node: ast.UnaryOp, depth: int) -> sympy.Expr:
        if not isinstance(node.op, ast.USub | ast.UAdd):
            raise ValueError(f"{self._source(node)} cannot be part of a formula; use + - * / **")
        operand = self.read(node.operand, depth)
        return -operand if isinstance(node.op, ast.USub) else operand

    def _read_binop(self, node: ast.BinOp, depth: int) -> sympy.Expr:
        if isinstance(node.op, ast.BitXor):
            raise ValueError(f"{self._source(node)}: '^' is no power here, write **")
        operation = _OPERATIONS.get(type(node.op))
        if operation is None:
            raise ValueError(f"{self._source(node)} cannot be part of a formula; use + - * / **")
        left, right = self.read(node.left, depth), self.read(node.right, depth)
        if isinstance(node.op, ast.Pow):
            return self._power(left, right, node)
        return operation(left, right)

    def _power(self, base: Any, exponent: Any, node: ast.AST) -> sympy.Expr:
        if exponent.is_Rational and abs(exponent) > _MAX_EXPONENT:
            raise ValueError(f"{self._source(node)}: the exponent is larger than {_MAX_EXPONENT}")
        if base.is_Rational and exponent.is_Rational and not exponent.is_Integer and exponent.q > _MAX_EXPONENT:
            base = sympy.Float(base, 30)  # an exact root would have to be factored
        return sympy.Pow(base, exponent)

    def _read_call(self, node: ast.Call, depth: int) -> sympy.Expr:
        if isinstance(node.func, ast.Attribute):
            raise ValueError(f"{self._source(node)}: functions are written without a prefix: sin(x), not np.sin(x)")
        if not isinstance(node.func, ast.Name):
            raise ValueError(f"{self._source(node)} is no call of a function; write products with *, as 2*(x + 1)")
        name = ALIASES.get(node.func.id, node.func.id)
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise ValueError(f"{self._source(node)}: give the arguments one after the other, as in atan2(y, x)")
        if name == "where":
            return self._where(node, depth)
        if name not in CALLS:
            nearest = self._nearest(name, _FUNCTIONS)
            raise ValueError(f"{self._source(node)} calls an unknown function {node.func.id!r}{nearest}")
        return self._call(name, node, depth)

    def _call(self, name: str, node: ast.Call, depth: int) -> sympy.Expr:
        fewest, most, build = CALLS[name]
        if len(node.args) < fewest or (most is not None and len(node.args) > most):
            count = f"{fewest} or more" if most is None else f"{fewest}"
            raise ValueError(f"{self._source(node)}: {name} takes {count} argument(s), not {len(node.args)}")
        return build(*(self.read(argument, depth) for argument in node.args))

    def _where(self, node: ast.Call, depth: int) -> sympy.Expr:
        if len(node.args) != 3:
            raise ValueError(f"{self._source(node)}: write where(condition, a, b), as in where(x > 0, x, 0)")
        condition, yes, no = node.args
        return self._choice(condition, self.read(yes, depth), self.read(no, depth), depth)

    def _read_ifexp(self, node: ast.IfExp, depth: int) -> sympy.Expr:
        return self._choice(node.test, self.read(node.body, depth), self.read(node.orelse, depth), depth)

    def _choice(self, condition: ast.expr, yes: sympy.Expr, no: sympy.Expr, depth: int) -> sympy.Expr:
        """`yes` where the condition holds, else `no`."""
        if depth > _MAX_DEPTH or not isinstance(condition, ast.Compare | ast.BoolOp):
            raise ValueError(f"{self._source(condition)} is no condition; write one such as x > 0 or 0 < x < 1")
        if isinstance(condition, ast.BoolOp):
            return self._combined(condition, yes, no, depth)
        result = yes
        terms = [self.read(term, depth) for term in (condition.left, *condition.comparators)]
        for a, operator, b in reversed(list(zip(terms, condition.ops, terms[1:], strict=False))):
            result = self._compared(a, operator, b, result, no, condition)
        return result

    def _combined(self, condition: ast.BoolOp, yes: sympy.Expr, no: sympy.Expr, depth: int) -> sympy.Expr:
        both = isinstance(condition.op, ast.And)
        result = yes if both else no
        for part in reversed(condition.values):
            chosen = (result, no) if both else (yes, result)
            result = self._choice(part, *chosen, depth + 1)
        return result

    def _compared(self, a: Any, operator: ast.cmpop, b: Any, yes: Any, no: Any, node: ast.AST) -> Any:
        if isinstance(operator, ast.GtE):
            return Choose(a - b, yes, no)
        if isinstance(operator, ast.LtE):
            return Choose(b - a, yes, no)
        if isinstance(operator, ast.Gt):
            return Choose(b - a, no, yes)
        if isinstance(operator, ast.Lt):
            return Choose(a - b, no, yes)
        raise ValueError(f"{self._source(node)}: compare with <, <=, > or >=")


def _refusal(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return "; functions are written without a prefix: sin(x), not np.sin(x)"
    return "; it holds numbers, names, + - * / **, functions such as sin(x) and where(x > 0, a, b)"
