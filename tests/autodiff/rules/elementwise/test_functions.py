import math

import mpmath
import pytest
import torch
from rule_check import assert_rule

import sobolev

EVERYWHERE = [
    "exp",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "sigmoid",
    "atan",
    "asinh",
    "erf",
    "erfc",
    "expm1",
    "exp2",
    "square",
]
POSITIVE = ["log", "sqrt", "rsqrt", "log1p", "log2", "log10", "reciprocal"]
INSIDE_ONE = ["asin", "acos", "atanh"]


def points(low, high):
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(6, 3, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_entire_functions(name):
    assert_rule(getattr(torch, name), points(-1.4, 1.4))


@pytest.mark.parametrize("name", POSITIVE)
def test_functions_of_positive_numbers(name):
    assert_rule(getattr(torch, name), points(0.3, 3))


@pytest.mark.parametrize("name", INSIDE_ONE)
def test_functions_between_minus_one_and_one(name):
    assert_rule(getattr(torch, name), points(-0.8, 0.8))


def test_acosh():
    assert_rule(torch.acosh, points(1.2, 4))


def test_inner_jet_of_full_degree():
    assert_rule(lambda x: torch.tanh(torch.exp(torch.sin(x))), points(-2, 2), orders=(1, 2, 3, 6))


def test_arcsine_near_one_has_all_digits():
    point = torch.tensor([0.9999], dtype=torch.float64)
    exact = mpmath.taylor(mpmath.asin, mpmath.mpf(point.item()), 8)
    for order, ours in enumerate(sobolev.derivatives(torch.asin, point, 8, method="taylor")):
        assert math.isclose(ours.item(), exact[order] * mpmath.factorial(order), rel_tol=1e-11)


@pytest.mark.parametrize("function", [torch.asin, torch.atanh])
def test_curvature_near_zero_has_all_digits(function):
    x = torch.tensor([1e-12, -1e-3])
    second = sobolev.derivatives(function, x, 2, method="taylor")[2]
    exact = sobolev.derivatives(function, x.double(), 2, method="reverse")[2]
    torch.testing.assert_close(second.double(), exact, rtol=1e-6, atol=0)
