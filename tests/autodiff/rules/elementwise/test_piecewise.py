import mpmath
import pytest
import torch
from rule_check import assert_rule
from torch import nn
from torch.nn import functional

import sobolev
from sobolev.autodiff import reverse
from sobolev.autodiff.taylor import operators as taylor

X = torch.linspace(-7.7, 7.9, 24, dtype=torch.float64).reshape(8, 3)
B = torch.linspace(-3, 3, 3, dtype=torch.float64)

ACTIVATIONS = [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(0.2), nn.PReLU(), nn.PReLU(3),
    nn.RReLU().eval(), nn.ELU(), nn.ELU(0.7, inplace=True), nn.CELU(0.5), nn.SELU(), nn.Hardtanh(-2, 3),
    nn.Hardsigmoid(), nn.Hardswish(), nn.Hardshrink(), nn.Softshrink(), nn.Threshold(0.3, 2.0)]  # fmt: skip

EXPRESSIONS = {
    "clamp": lambda x: torch.clamp(x, -2, 3) + x.clamp(min=0.1) + x.clip(max=B) + x.clamp_min(1) + x.clamp_max(-1),
    "clamp between jets": lambda x: torch.clamp(x.sin(), min=x.cos(), max=x + 2) + torch.clamp(B, min=-B, max=x.exp()),
    "abs": lambda x: abs(x) + x.abs() * x,
    "maximum": lambda x: torch.maximum(x, x.sin()) + torch.minimum(x * x, B) + torch.max(x, x**3) + torch.fmin(B, x),
    "where": lambda x: torch.where(x > 0, x.exp(), -x) + torch.where(x < 1, 2.0, x) + x.where(x > B, B),
    "where broadcasts": lambda x: torch.where(torch.tensor([True, False, True]), x[:, :1] ** 2, x).sin(),
    "masked_fill": lambda x: (
        x.masked_fill(x > 1, 3.0).exp() + x.masked_fill(torch.eye(8, 3).bool(), -torch.inf).sigmoid()
    ),
    "modulo": lambda x: x % 1.7 + torch.fmod(x * x, 2.1) + torch.remainder(x, B + 4) + x.frac() * x,
    "signs": lambda x: (
        x.sign() * x**2 + torch.copysign(x, -x) + torch.copysign(B, x) + torch.floor(x) * x + x.nan_to_num()
    ),
}


def scaled(f):
    return lambda x: f(x * 1.3 + 0.01) * x


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations(activation):
    net = nn.Sequential(nn.Linear(3, 3), activation, nn.Linear(3, 2)).double()
    if "Hardsigmoid" in str(activation):  # PyTorch has no second derivative: the same function, in two pieces
        reference = nn.Sequential(net[0], nn.Hardtanh(-3, 3), net[2]).double()
        ours, theirs = (
            taylor.hessian(net, X),
            taylor.hessian(lambda x: net[2](reference[1](net[0](x)) / 6 + 0.5), X),
        )
        torch.testing.assert_close(ours, theirs)
        return
    assert_rule(net, X)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(scaled(EXPRESSIONS[name]), X)


@pytest.mark.parametrize(
    "f",
    [
        torch.relu,
        functional.elu,
        functional.celu,
        functional.selu,
        functional.hardtanh,
        functional.relu6,
        torch.abs,
        functional.leaky_relu,
        functional.hardswish,
    ],
)
def test_kinks_take_the_side_of_pytorch(f):
    x = torch.tensor([[-3.0], [-1], [0], [1], [3], [6]], dtype=torch.float64)
    _, slope = taylor.jacobian(f, x.requires_grad_())
    (expected,) = torch.autograd.grad(f(x).sum(), x)
    torch.testing.assert_close(slope.reshape(-1, 1), expected)


def test_elu_is_accurate_far_out():
    x = torch.tensor([[-80.0], [-1e-6], [1000.0]])
    _, *derivatives = taylor.derivatives(functional.elu, x, 6, torch.ones_like(x))
    expected = [float(mpmath.exp(z)) for z in x[:2, 0].tolist()]
    for order, d in enumerate(derivatives, start=1):
        assert d[:2, 0].tolist() == pytest.approx(expected, rel=1e-6)
        assert d[2, 0] == (1 if order == 1 else 0)


def test_what_where_does_not_take_may_be_infinite():
    x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    _, d1, d2 = taylor.derivatives(lambda x: torch.where(x > 0, x.log(), x**2), x, 2, torch.ones_like(x))
    assert d1.tolist() == [[0.0], [0.5]]
    assert d2.tolist() == [[2.0], [-0.25]]


@pytest.mark.parametrize("function", [torch.fmax, torch.fmin])
def test_the_extreme_that_is_a_number(function):
    """Of equal ones the first, as in PyTorch."""
    x = torch.tensor([[1.0, torch.nan, 2.0]], dtype=torch.float64)
    other = torch.tensor([1.0, 3.0, torch.nan], dtype=torch.float64)
    y, J = sobolev.jacobian(lambda x: function(x, other), x, method="taylor")
    assert y.tolist() == [[1, 3, 2]]
    assert J.diagonal(0, 1, 2).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("function", [functional.elu, functional.celu, functional.selu])
def test_curvature_at_the_seam_of_exponential_units_is_that_of_pytorch(function):
    x = torch.zeros(1, 1, dtype=torch.float64)
    for ours, theirs in zip(sobolev.hessian(function, x, method="taylor"), reverse.hessian(function, x), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_bounds_that_are_reached():
    """As PyTorch has it: of two bounds that are tensors, x itself counts, of a maximum half of each."""
    x = torch.zeros(1, 1)
    assert taylor.jacobian(lambda x: torch.clamp(x, min=torch.zeros_like(x), max=x.exp()), x)[1].item() == 1
    assert taylor.jacobian(lambda x: torch.clamp(x, min=x * 0, max=x**2), x)[1].item() == 1
    infinite = lambda x: torch.where(x > 1, x, torch.inf)  # noqa: E731
    assert taylor.jacobian(lambda x: torch.maximum(x + torch.inf, 3 * x + torch.inf), x)[1].item() == 2
    assert taylor.jacobian(lambda x: torch.minimum(infinite(x), infinite(x * 2)), x)[1].item() == 0
