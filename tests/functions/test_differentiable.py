import pytest
import torch

from sobolev import Function
from sobolev.functions.differentiable import Program
from sobolev.functions.parser import parse, symbol

FORMULAS = [
    "x**2*y - 3*x/y + 0.1",
    "sin(x)*exp(-y) + sqrt(y)",
    "where(x > y, x**2, y)**3",
    "tanh(x*y)**2 + tanh(x*y) + Phi(x)",
    "y**x + 2**x + x**-2",
    "max(x, y, 1)*softplus(x) + pi",
    "log(1 + x**2)/atan2(y, x)",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_values_and_gradients_are_the_formulas(formula):
    """Against the exact values and derivatives of `Function`, which computes them from sympy's derivatives."""
    x = (torch.rand(20, 2, dtype=torch.float64) + 0.3).requires_grad_()
    found = Program(parse(formula, ("x", "y"))[1][0])({symbol("x"): x[:, 0], symbol("y"): x[:, 1]})
    value, jacobian = Function(formula, ("x", "y")).jacobian(x.detach())
    torch.testing.assert_close(found[:, None], value, rtol=1e-13, atol=1e-13)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(gradient[:, None], jacobian, rtol=1e-11, atol=1e-11)


def test_a_constant_is_a_number_and_single_precision_stays():
    assert Program(parse("2*pi", ())[1][0])({}) == pytest.approx(6.283185307179586)
    x = torch.ones(3)
    assert Program(parse("sin(x)/3 + 1", ("x",))[1][0])({symbol("x"): x}).dtype == torch.float32
