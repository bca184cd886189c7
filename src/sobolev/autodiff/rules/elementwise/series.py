"""Quotients, powers, logarithms and exponentials of polynomials of higher degree, coefficient by coefficient.

The chain rule writes 1 / u as a sum of powers of the other coefficients, and these cancel where u is large: of the
sixth derivative of 1 / (1 + x²) no digit is left at x = 3000 in float32. The recurrences below (Griewank & Walther
2008, table 13.2) keep them, and need fewer products.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise.chain import Coefficients, Elementwise, PointwiseLine
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import padded
from sobolev.autodiff.taylor.propagation import compose
from sobolev.autodiff.taylor.space import Space

Recurrence = Callable[[Tensor, Sequence[Tensor], int], list[Tensor]]
"""(coefficients u_1, u_2, ..., (u_0, y_0), order) -> [y_1, ..., y_order]"""


def elementwise(coefficients: Coefficients, recurrence: Recurrence, slope: Callable[[Jet, Jet], Jet]) -> Elementwise:
    """A function by its Taylor coefficients, and by a recurrence where the inner polynomial is of higher degree.

    Args:
        coefficients: see `chain.Coefficients`.
        recurrence: the coefficients of y.
        slope: z, y -> f'(z).
    """

    def push(z: Jet) -> Jet:
        if z.space.order < 3 or len(z.higher) < 2:
            return compose(z, coefficients(z.value, z.space.order))
        value = coefficients(z.value, 0)[0]
        return Jet(z.space, value, torch.stack(recurrence(z.full, [z.value, value], z.space.order)))

    return Elementwise(push, slope, PointwiseLine(coefficients))


def exponential(u: Tensor, values: Sequence[Tensor], order: int) -> list[Tensor]:
    """Y = exp(u): k y_k = Σ j u_j y_(k - j)."""
    y = [values[1]]
    for k in range(1, order + 1):
        y.append(_sum([(j / k) * u[j - 1] * y[k - j] for j in range(1, min(k, len(u)) + 1)]))
    return y[1:]


def logarithm(u: Tensor, values: Sequence[Tensor], order: int) -> list[Tensor]:
    """Y = log(u): u_0 k y_k = k u_k - Σ j y_j u_(k - j)."""
    ratio, y = u / values[0], []
    for k in range(1, order + 1):
        terms = [(-j / k) * y[j - 1] * ratio[k - j - 1] for j in range(max(1, k - len(u)), k)]
        y.append(_sum([ratio[k - 1], *terms] if k <= len(u) else terms))
    return y


def power(exponent: float) -> Recurrence:
    """Y = u^r: u_0 k y_k = Σ ((r + 1) j - k) u_j y_(k - j), which needs an u_0 that is not 0 from degree 2 on."""

    def recurrence(u: Tensor, values: Sequence[Tensor], order: int) -> list[Tensor]:
        ratio, (base, value) = u / values[0], values
        y = [value, exponent * base ** (exponent - 1) * u[0]]
        for k in range(2, order + 1):
            terms = range(1, min(k, len(u)) + 1)
            y.append(_sum([((exponent + 1) * j / k - 1) * ratio[j - 1] * y[k - j] for j in terms]))
        return y[1:]

    return recurrence


def integral(derivative: Callable[[Any], Any]) -> Recurrence:
    """Y' = g(u): k y_k = Σ j u_j g_(k - j)."""

    def recurrence(u: Tensor, values: Sequence[Tensor], order: int) -> list[Tensor]:
        slope = derivative(Jet(Space(order - 1), values[0], u[: order - 1]))
        g = [slope.value, *padded(slope, order - 1)]
        return [
            _sum([(j / k) * u[j - 1] * g[k - j] for j in range(1, min(k, len(u)) + 1)]) for k in range(1, order + 1)
        ]

    return recurrence


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return reduce(torch.add, terms)
