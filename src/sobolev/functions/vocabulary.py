"""The functions a formula may call: their derivative rule, and how torch and mpmath compute them.

None evaluates itself: sympy only differentiates, so that no formula makes it factor or expand for minutes.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import mpmath
import sympy
import torch
from torch import Tensor


class Meaning(NamedTuple):
    """How one function is differentiated and computed."""

    derivatives: tuple[Callable[..., Any], ...]
    """By each argument, as a formula in the arguments."""
    torch: Callable[..., Tensor]
    mpmath: Callable[..., Any]
    ulps: float = 8
    """How far torch's value may be off, in units of 2^-53; large: mpmath computes every row."""


_INEXACT = 1e10


class Choose(sympy.Function):
    """`Choose(c, a, b)`: a where c >= 0, else b. Differentiated branch by branch: a jump in c has no delta."""

    nargs = 3

    def _eval_derivative(self, s: sympy.Symbol) -> Any:
        condition, a, b = cast("Any", self.args)
        a, b = a.diff(s), b.diff(s)
        return a if a == b else Choose(condition, a, b)


def _gamma(x: Tensor) -> Tensor:
    negative = (x < 0) & (torch.floor(x) % 2 != 0)
    return torch.where(negative, -1.0, 1.0) * torch.exp(torch.lgamma(x))


def _normal(x: Tensor) -> Tensor:
    return torch.special.erfc(x * -math.sqrt(0.5)) / 2


def _cbrt(x: Tensor) -> Tensor:
    root = torch.sign(x) * x.abs().pow(1 / 3)
    return torch.where(root == 0, root, root - (root * root * root - x) / (3 * root * root))  # one Newton step


def _mp_cbrt(x: Any) -> Any:
    return mpmath.sign(x) * mpmath.cbrt(abs(x))


def _mp_lgamma(x: Any) -> Any:
    return mpmath.log(abs(mpmath.gamma(x)))


def _mp_softplus(x: Any) -> Any:
    return mpmath.log1p(mpmath.exp(-abs(x))) + max(x, 0)


def _polygamma(order: Any, x: Tensor) -> Tensor:
    if order == 1:  # torch's own trigamma is good to seven digits only
        return torch.special.zeta(torch.full_like(x, 2.0), x)
    return torch.special.polygamma(int(order), x)


_FUNCTIONS: dict[str, Meaning] = {
    "sin": Meaning((lambda x: COS(x),), torch.sin, mpmath.sin),
    "cos": Meaning((lambda x: -SIN(x),), torch.cos, mpmath.cos),
    "tan": Meaning((lambda x: COS(x) ** -2,), torch.tan, mpmath.tan),
    "asin": Meaning((lambda x: ((1 - x) * (1 + x)) ** sympy.Rational(-1, 2),), torch.asin, mpmath.asin),
    "acos": Meaning((lambda x: -(((1 - x) * (1 + x)) ** sympy.Rational(-1, 2)),), torch.acos, mpmath.acos),
    "atan": Meaning((lambda x: 1 / (1 + x**2),), torch.atan, mpmath.atan),
    "atan2": Meaning((lambda y, x: x / (x**2 + y**2), lambda y, x: -y / (x**2 + y**2)), torch.atan2, mpmath.atan2),
    "sinh": Meaning((lambda x: CLASSES["cosh"](x),), torch.sinh, mpmath.sinh),
    "cosh": Meaning((lambda x: CLASSES["sinh"](x),), torch.cosh, mpmath.cosh),
    "tanh": Meaning((lambda x: CLASSES["cosh"](x) ** -2,), torch.tanh, mpmath.tanh),  # 1 - tanh² would cancel
    "asinh": Meaning((lambda x: (1 + x**2) ** sympy.Rational(-1, 2),), torch.asinh, mpmath.asinh),
    "acosh": Meaning(
        (lambda x: (x - 1) ** sympy.Rational(-1, 2) * (x + 1) ** sympy.Rational(-1, 2),), torch.acosh, mpmath.acosh
    ),
    "atanh": Meaning((lambda x: 1 / ((1 - x) * (1 + x)),), torch.atanh, mpmath.atanh),
    "log1p": Meaning((lambda x: 1 / (1 + x),), torch.log1p, mpmath.log1p),
    "expm1": Meaning((lambda x: sympy.exp(x),), torch.expm1, mpmath.expm1),
    "cbrt": Meaning((lambda x: CLASSES["cbrt"](x) ** -2 / 3,), _cbrt, _mp_cbrt),
    "erf": Meaning((lambda x: 2 * sympy.exp(-(x**2)) / sympy.sqrt(sympy.pi),), torch.erf, mpmath.erf),
    "erfc": Meaning((lambda x: -2 * sympy.exp(-(x**2)) / sympy.sqrt(sympy.pi),), torch.special.erfc, mpmath.erfc),
    "Phi": Meaning((lambda x: sympy.exp(-(x**2) / 2) / sympy.sqrt(2 * sympy.pi),), _normal, mpmath.ncdf),
    "gamma": Meaning((lambda x: CLASSES["gamma"](x) * POLYGAMMA(0, x),), _gamma, mpmath.gamma),
    "lgamma": Meaning((lambda x: POLYGAMMA(0, x),), torch.lgamma, _mp_lgamma),
    "polygamma": Meaning(
        (lambda *_: sympy.nan, lambda n, x: POLYGAMMA(n + 1, x)), _polygamma, lambda n, x: mpmath.psi(int(n), x)
    ),
    "j0": Meaning((lambda x: -CLASSES["j1"](x),), torch.special.bessel_j0, partial(mpmath.besselj, 0), _INEXACT),
    "j1": Meaning(
        (lambda x: CLASSES["j0"](x) - CLASSES["j1"](x) / x,),
        torch.special.bessel_j1,
        partial(mpmath.besselj, 1),
        _INEXACT,
    ),
    "i0": Meaning((lambda x: CLASSES["i1"](x),), torch.special.i0, partial(mpmath.besseli, 0)),
    "i1": Meaning((lambda x: CLASSES["i0"](x) - CLASSES["i1"](x) / x,), torch.special.i1, partial(mpmath.besseli, 1)),
    "sigmoid": Meaning(
        (lambda x: CLASSES["sigmoid"](x) * CLASSES["sigmoid"](-x),),
        torch.sigmoid,
        lambda x: 1 / (1 + mpmath.exp(-x)),
    ),
    "softplus": Meaning(
        (lambda x: CLASSES["sigmoid"](x),),
        lambda x: torch.log1p(torch.exp(-x.abs())) + x.clamp(min=0),
        _mp_softplus,
    ),
}


def _function(name: str, meaning: Meaning) -> Any:
    def fdiff(self: Any, argindex: int = 1) -> Any:
        return meaning.derivatives[argindex - 1](*self.args)

    members = {"fdiff": fdiff, "nargs": len(meaning.derivatives), "meaning": meaning}
    return type(name, (sympy.Function,), members)


CLASSES: dict[str, Any] = {name: _function(name, meaning) for name, meaning in _FUNCTIONS.items()}
"""The sympy class of each name; it carries its `meaning`."""
SIN, COS, POLYGAMMA = CLASSES["sin"], CLASSES["cos"], CLASSES["polygamma"]


def _extreme(sign: int, *arguments: Any) -> Any:
    best = arguments[0]
    for other in arguments[1:]:
        best = Choose(sign * (best - other), best, other)
    return best


def _sign(x: sympy.Expr, at_zero: sympy.Expr, below: sympy.Expr) -> Any:
    return Choose(x, Choose(-x, at_zero, sympy.Integer(1)), below)


_HALF = sympy.Rational(1, 2)
CALLS: dict[str, tuple[int, int | None, Callable[..., Any]]] = {
    **{name: (len(m.derivatives), len(m.derivatives), CLASSES[name]) for name, m in _FUNCTIONS.items()},
    "exp": (1, 1, sympy.exp),
    "log": (1, 1, sympy.log),
    "log10": (1, 1, lambda x: sympy.log(x) / sympy.log(10)),
    "log2": (1, 1, lambda x: sympy.log(x) / sympy.log(2)),
    "sqrt": (1, 1, lambda x: sympy.Pow(x, _HALF)),
    "abs": (1, 1, lambda x: Choose(x, x, -x)),
    "relu": (1, 1, lambda x: Choose(x, x, sympy.Integer(0))),
    "sign": (1, 1, lambda x: _sign(x, sympy.Integer(0), sympy.Integer(-1))),
    "heaviside": (1, 1, lambda x: _sign(x, _HALF, sympy.Integer(0))),
    "max": (2, None, partial(_extreme, 1)),
    "min": (2, None, partial(_extreme, -1)),
    "digamma": (1, 1, lambda x: POLYGAMMA(0, x)),
}
"""What a formula may call: the fewest and the most arguments, and what the call becomes."""
del CALLS["polygamma"]  # only as a derivative of gamma: its first argument must be a number

ALIASES = {
    "Abs": "abs",
    "Heaviside": "heaviside",
    "Max": "max",
    "Min": "min",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "ln": "log",
    "loggamma": "lgamma",
}
CONSTANTS = {"pi": sympy.pi, "E": sympy.E, "e": sympy.E}
