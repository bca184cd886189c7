import math

import mpmath
import pytest
import torch
from exact import assert_exact
from rule_check import assert_rule

import sobolev

INSIDE = (0.2 + torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))) / 1.3

EXPRESSIONS = {
    "sinc": lambda x: torch.sinc(x * 2),
    "xlogy": lambda x: torch.xlogy(x, x**2) + torch.special.xlog1py(x, x) + torch.xlogy(torch.zeros(3), x - 5),
    "logit": lambda x: torch.logit(x) + torch.special.logit(x, eps=0.3) * x,
    "entr": lambda x: torch.special.entr(x),
    "degrees": lambda x: torch.rad2deg(x.sin()) + torch.deg2rad(x**2),
    "logaddexp2": lambda x: torch.logaddexp2(x, x**2) + torch.ldexp(x, torch.tensor(3)),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], INSIDE)


FUNCTIONS = {
    "spherical_bessel_j0": (torch.special.spherical_bessel_j0, mpmath.sinc, [0.0, 1e-4, 1.0, 3.9, 4.1, 50.0]),
    "sinc": (torch.sinc, lambda x: mpmath.sincpi(x), [0.0, 1e-4, 0.32, 1.27, 1.28, 2.5]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_order_at_ordinary_and_special_points(name):
    assert_exact(*FUNCTIONS[name])


def test_entropy_near_zero_does_not_overflow():
    _, first, second = sobolev.derivatives(torch.special.entr, torch.tensor([1e-30]), 2, method="taylor")
    torch.testing.assert_close(first.item(), -1 + 30 * math.log(10), rtol=1e-6, atol=0)
    torch.testing.assert_close(second.item(), -1e30, rtol=1e-6, atol=0)


def test_x_log_x_is_zero_at_zero():
    assert sobolev.derivatives(lambda x: torch.xlogy(x, x), torch.zeros(1), 1, method="taylor")[0] == 0


@pytest.mark.parametrize("function", [torch.sinc, torch.special.spherical_bessel_j0])
def test_the_value_has_a_gradient(function):
    """PyTorch's own of `spherical_bessel_j0` has none."""
    x = torch.tensor([[0.0], [0.5], [7.0]], dtype=torch.float64, requires_grad=True)
    value, slope = sobolev.derivatives(function, x, 1, method="taylor")
    torch.testing.assert_close(torch.autograd.grad(value.sum(), x)[0], slope)


@pytest.mark.parametrize("function", [torch.xlogy, torch.special.xlog1py])
def test_a_learnt_factor_of_zero_gets_its_gradient(function):
    x, factor = torch.tensor([[0.5], [2.0]], dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    _, slope, curvature = sobolev.derivatives(lambda x: function(factor.requires_grad_(), x), x, 2, method="taylor")
    (gradient,) = torch.autograd.grad((slope + curvature).sum(), factor)
    shifted = x if function is torch.xlogy else 1 + x
    torch.testing.assert_close(gradient, (1 / shifted - 1 / shifted**2).sum())
