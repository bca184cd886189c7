"""Rules of smooth functions of each element."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise import series
from sobolev.autodiff.rules.elementwise.chain import Coefficients, apply, pointwise
from sobolev.autodiff.taylor.propagation import padded_rows, tower
from sobolev.autodiff.taylor.registry import rule


def elementwise(*functions: Callable | str) -> Callable[[Coefficients], Coefficients]:
    """Register a function by its Taylor coefficients f, f', f''/2!, ... at (x, up to an order)."""

    def register(coefficients: Coefficients) -> Coefficients:
        function = pointwise(coefficients)
        rule(*functions)(lambda x: apply(function, x))
        return coefficients

    return register


def primitive(function: Callable, derivative: Callable[[Any], Any], *names: Callable | str) -> None:
    """Register a function by its derivative, written in torch functions that have rules themselves."""

    def coefficients(x: Tensor, order: int) -> list[Tensor]:
        return [function(x), *integrated(derivative, x, order)]

    smooth = series.elementwise(coefficients, series.integral(derivative), lambda z, _: derivative(z))
    rule(function, *names)(lambda x: apply(smooth, x))


def coefficients_of(function: Callable[[Any], Any], x: Tensor, order: int) -> list[Tensor]:
    """Coefficients 0, ..., order at x of a function that is written in torch functions."""
    if order == 0:
        return [function(x)]
    y = function(tower(x, order))
    return [y.value, *padded_rows(y, order)]


def integrated(derivative: Callable[[Any], Any], x: Tensor, order: int) -> list[Tensor]:
    """Coefficients 1, ..., order at x of a function whose derivative is written in torch functions."""
    if order == 0:
        return []
    return [c / k if k > 1 else c for k, c in enumerate(coefficients_of(derivative, x, order - 1), start=1)]


def _exp(x: Tensor, order: int) -> list[Tensor]:
    """eˣ / k!."""
    value = torch.exp(x)
    return [value if k < 2 else value / math.factorial(k) for k in range(order + 1)]


def _log(x: Tensor, order: int) -> list[Tensor]:
    """Log x, then -(-1/x)^k / k."""
    ratio = -x.reciprocal()
    powers = [-ratio]
    for _ in range(order - 1):
        powers.append(powers[-1] * ratio)
    return [torch.log(x), *(power / k for k, power in enumerate(powers, start=1))][: order + 1]


EXP = series.elementwise(_exp, series.exponential, lambda _, y: y)
LOG = series.elementwise(_log, series.logarithm, lambda z, _: torch.reciprocal(z))  # pyright: ignore
rule("exp")(lambda x: apply(EXP, x))
rule("log")(lambda x: apply(LOG, x))


def _cycle(values: list[Tensor], order: int) -> list[Tensor]:
    return [values[k % len(values)] / math.factorial(k) for k in range(order + 1)]


@elementwise("sin")
def sin(x: Tensor, order: int) -> list[Tensor]:
    """Sin, cos, -sin, -cos."""
    s, c = torch.sin(x), torch.cos(x)
    return _cycle([s, c, -s, -c], order)


@elementwise("cos")
def cos(x: Tensor, order: int) -> list[Tensor]:
    """Cos, -sin, -cos, sin."""
    s, c = torch.sin(x), torch.cos(x)
    return _cycle([c, -s, -c, s], order)


@elementwise("sinh")
def sinh(x: Tensor, order: int) -> list[Tensor]:
    """Sinh, cosh."""
    return _cycle([torch.sinh(x), torch.cosh(x)], order)


@elementwise("cosh")
def cosh(x: Tensor, order: int) -> list[Tensor]:
    """Cosh, sinh."""
    return _cycle([torch.cosh(x), torch.sinh(x)], order)


def _distance(x: Any) -> Any:
    """1 - x², with all digits near 0 and near 1."""
    return torch.where(torch.lt(torch.abs(x), 0.5), 1 - x * x, (1 - x) * (1 + x))


primitive(torch.asin, lambda x: torch.rsqrt(_distance(x)), "asin", "arcsin")
primitive(torch.acos, lambda x: -torch.rsqrt(_distance(x)), "acos", "arccos")
primitive(torch.atan, lambda x: 1 / (1 + x * x), "atan", "arctan")
primitive(torch.asinh, lambda x: torch.rsqrt(1 + x * x), "asinh", "arcsinh")
primitive(torch.acosh, lambda x: torch.rsqrt(x - 1) * torch.rsqrt(x + 1), "acosh", "arccosh")
primitive(torch.atanh, lambda x: 1 / _distance(x), "atanh", "arctanh")
primitive(torch.erf, lambda x: 2 / math.sqrt(math.pi) * torch.exp(-x * x), "erf", torch.special.erf)
primitive(torch.erfc, lambda x: -2 / math.sqrt(math.pi) * torch.exp(-x * x), "erfc", torch.special.erfc)
primitive(torch.expm1, torch.exp, "expm1", torch.special.expm1)
primitive(torch.log1p, lambda x: 1 / (1 + x), "log1p", torch.special.log1p)
primitive(torch.log2, lambda x: 1 / (math.log(2) * x), "log2")
primitive(torch.log10, lambda x: 1 / (math.log(10) * x), "log10")
primitive(torch.exp2, lambda x: math.log(2) * torch.exp2(x), "exp2", torch.special.exp2)
