"""Taylor mode on random formulas, against their Taylor coefficients by sympy and mpmath."""

import math

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_functions import FORMULAS, series

import sobolev

COORDINATES = st.floats(-1.5, 1.5).map(lambda number: round(number, 3))
DRAWN = given(FORMULAS, st.tuples(COORDINATES, COORDINATES), st.tuples(COORDINATES, COORDINATES), st.integers(0, 6))
LARGEST = 1e4
"""Beyond, a formula loses its digits by itself."""


def check(formula, point, direction, order):
    exact = series(formula, point, direction, max(order, 2))
    scale = max(map(abs, exact))
    assume(scale < LARGEST)
    x, v = (torch.tensor([item], dtype=torch.float64) for item in (point, direction))
    check_derivatives(formula.function, x, v, exact[: order + 1], 1e-9 * (1 + scale))
    check_precision(formula.function, x, v, order)
    check_operators(formula.function, x, v, exact[:3], 1e-9 * (1 + scale))


def check_derivatives(f, x, v, exact, allowed):
    for method in ("taylor", "auto"):
        results = sobolev.derivatives(f, x, len(exact) - 1, v, method=method)
        for k, (ours, coefficient) in enumerate(zip(results, exact, strict=True)):
            assert abs(ours.item() / math.factorial(k) - coefficient) <= allowed, f"order {k} by {method}"


def check_precision(f, x, v, order):
    """Single precision: the digits that it has."""
    x, v = x.float(), v.float()
    truth = sobolev.derivatives(f, x.double(), order, v.double(), method="taylor")
    scale = 1 + max(abs(d.item()) / math.factorial(k) for k, d in enumerate(truth))
    for k, ours in enumerate(sobolev.derivatives(f, x, order, v, method="taylor")):
        assert ours.dtype == torch.float32
        assert abs(ours.item() - truth[k].item()) / math.factorial(k) <= 2e-4 * scale, f"order {k} in single precision"


def check_operators(f, x, v, exact, allowed):
    """Jacobian and Hessian, contracted with the direction; the diagonal and its sum are those of the Hessian."""
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            y, J, H = sobolev.hessian(f, x, method="taylor")
            others = [sobolev.jacobian(f, x, method="taylor")[1]]
            _, _, diagonal = sobolev.hessian_diagonal(f, x, method="taylor")
            _, _, laplacian = sobolev.laplacian(f, x, method="taylor")
        contracted = y.item(), (J @ v[0]).item(), (v[0] @ H[0] @ v[0]).item() / 2
        for k, (ours, coefficient) in enumerate(zip(contracted, exact, strict=True)):
            assert abs(ours - coefficient) <= allowed, f"order {k} of the Hessian under {mode.__name__}"
        tolerance = {"rtol": 1e-9, "atol": 1e-9}
        torch.testing.assert_close(others[0], J, **tolerance)
        torch.testing.assert_close(diagonal, H.diagonal(0, -2, -1), **tolerance)
        torch.testing.assert_close(laplacian, diagonal.sum(-1), **tolerance)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@DRAWN
def test_random_formulas(formula, point, direction, order):
    check(formula, point, direction, order)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@DRAWN
def test_many_random_formulas(formula, point, direction, order):
    check(formula, point, direction, order)
