"""The oracle of a function of one number: mpmath, to 60 digits."""

from typing import Any, NamedTuple

import mpmath
import pytest
import torch

from sobolev.autodiff.taylor import operators as taylor


class Series(NamedTuple):
    """What has (number, order) -> Taylor coefficients, where mpmath would take long."""

    coefficients: Any


def assert_exact(function, exact, points, order=10, rtol=1e-9, atol=1e-12, dtype=torch.float64, lowest=0):
    """All derivatives up to an order agree with those of `exact`, an mpmath function.

    Args:
        function: of tensors.
        exact: of an mpmath number; or a `Series`.
        points: the numbers to look at.
        order: the highest derivative.
        rtol: relative to each derivative.
        atol: relative to the largest derivative at the point.
        dtype: of the points.
        lowest: the first order to look at.
    """
    x = torch.tensor(points, dtype=dtype).unsqueeze(1)
    results = taylor.derivatives(function, x, order, torch.ones_like(x))
    for row, point in enumerate(x[:, 0].tolist()):
        with mpmath.workdps(60):
            number = mpmath.mpf(point)
            series = isinstance(exact, Series)
            coefficients = exact.coefficients(number, order) if series else mpmath.taylor(exact, number, order)
            expected = [float(c * mpmath.factorial(k)) for k, c in enumerate(coefficients)]
        scale = max(map(abs, expected))
        found = [d[row, 0].item() for d in results]
        assert found[lowest:] == pytest.approx(expected[lowest:], rel=rtol, abs=atol * scale), f"at {point}"


def bessel(function, n, sign, scaled=False):
    """The Taylor coefficients of Y_n (sign 1) or K_n (sign -1), n = 0 or 1, by Bessel's differential equation.

    Scaled, those of exp(x) K_n.
    """

    def coefficients(x, order):
        zero, one = (function(m, x) for m in (0, 1))
        c = [zero, -one] if n == 0 else [one, sign * zero - one / x]
        for k in range(order - 1):
            rest = (2 * k + 1) * (k + 1) * x * c[k + 1] + (k * k + sign * x * x - n * n) * c[k]
            rest += sum(sign * f * c[k - i] for i, f in ((1, 2 * x), (2, 1)) if k >= i)
            c.append(-rest / (x * x * (k + 2) * (k + 1)))
        if not scaled:
            return c
        products = [[c[j] / mpmath.factorial(k - j) for j in range(k + 1)] for k in range(order + 1)]
        return [mpmath.exp(x) * sum(terms) for terms in products]

    return Series(coefficients)
