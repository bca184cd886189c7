"""The oracle of a function of one number: mpmath, to 60 digits."""

import mpmath
import pytest
import torch

from sobolev.autodiff import taylor


def assert_exact(function, exact, points, order=10, rtol=1e-9, atol=1e-12, dtype=torch.float64):
    """All derivatives up to an order agree with those of `exact`, an mpmath function.

    Args:
        function: of tensors.
        exact: of an mpmath number.
        points: the numbers to look at.
        order: the highest derivative.
        rtol: relative to each derivative.
        atol: relative to the largest derivative at the point.
        dtype: of the points.
    """
    x = torch.tensor(points, dtype=dtype).unsqueeze(1)
    results = taylor.derivatives(function, x, order, torch.ones_like(x))
    for row, point in enumerate(x[:, 0].tolist()):
        with mpmath.workdps(60):
            coefficients = mpmath.taylor(exact, mpmath.mpf(point), order)
            expected = [float(c * mpmath.factorial(k)) for k, c in enumerate(coefficients)]
        scale = max(map(abs, expected))
        found = [d[row, 0].item() for d in results]
        assert found == pytest.approx(expected, rel=rtol, abs=atol * scale), f"at {point}"
