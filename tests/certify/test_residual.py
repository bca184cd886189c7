"""How far networks violate equations and conditions: never more than is proved, and not much less."""

import math

import pytest
import torch
from torch import nn

import sobolev
from sobolev.equations import Problem

BURGERS = "du_dt + u*du_dx = 0.01/pi*d2u_dx2"


def _net(inputs: int, outputs: int = 1) -> nn.Module:
    torch.manual_seed(1)
    return sobolev.MLP(inputs, outputs, [20, 20], activation="tanh").double().requires_grad_(False)


@pytest.mark.filterwarnings("ignore:no condition holds")
def test_an_equation_and_its_conditions():
    net, box = _net(2), {"t": (0, 1), "x": (-1, 1)}
    conditions = ["u(0, x) = -sin(pi*x)", "u(t, -1) = 0", "u(t, 1) = u(t, -1)", "du_dx(t, 1) = 3"]
    certificate = sobolev.certify(net, domain=box, residual=BURGERS, conditions=conditions)
    problem = Problem([BURGERS], conditions, box, condition_samples=2000)
    x = torch.rand(20_000, 2, dtype=torch.float64) * torch.tensor([1.0, 2.0]) - torch.tensor([0.0, 1.0])
    with torch.no_grad():
        sampled = [*problem.residuals(net, x), *problem.violations(net, x[:1])]
    assert certificate.complete and len(certificate.upper) == 5
    for violation, upper, lower in zip(sampled, certificate.upper, certificate.lower, strict=True):
        largest = float(violation.abs().max())
        assert 0.9 * lower <= largest <= upper * (1 + 1e-12)
        assert upper <= 1.02 * lower * (1 + 1e-12)


def test_a_solution_is_proved_to_be_one():
    class Heat(nn.Module):
        def forward(self, x):
            return torch.exp(-(math.pi**2) * x[:, 1:]) * torch.sin(math.pi * x[:, :1])

    certificate = sobolev.certify(
        Heat(),
        domain={"x": (0, 1), "t": (0, 0.5)},
        residual="du_dt = d2u_dx2",
        conditions=["u(x, 0) = sin(pi*x)", "u(0, t) = 0", "u(1, t) = 0"],
        seconds=2,
    )
    assert max(certificate.upper) < 0.1  # of terms near 10; what is left is time


def test_a_system_of_one_input_with_values_at_points():
    net, box = _net(1, 2), {"t": (0, 2)}
    equations, conditions = ["du_dt = v", "dv_dt = -sin(u)"], ["u(0) = 1", "dv_dt(2) = 0"]
    certificate = sobolev.certify(net, domain=box, residual=equations, conditions=conditions, unknowns=("u", "v"))
    t = torch.linspace(0, 2, 5001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        (u, v), (du, dv) = (part.unbind(1) for part in sobolev.derivatives(net, t, 1))
    truths = [(du - v).abs().max(), (dv + u.sin()).abs().max(), (u[0] - 1).abs(), dv[-1].abs()]
    assert certificate.upper == pytest.approx(tuple(map(float, truths)), rel=0.021)
    assert all(float(truth) <= upper for truth, upper in zip(truths, certificate.upper, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"residual": "du_dt = z"}, "'z' is neither"),
        ({"residual": "du_dt", "conditions": "u(7, x) = 0"}, "outside its domain"),
        ({"residual": "du_dt", "function": "x"}, "not both"),
    ],
)
def test_mistakes_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        sobolev.certify(_net(2), domain={"t": (0, 1), "x": (-1, 1)}, **arguments)


def test_a_face_that_is_a_range_elsewhere_is_refused():
    with pytest.raises(TypeError, match="t is fixed in"):
        sobolev.certify(_net(2), domain={"t": (0, 1), "x": (-1, 1)}, conditions="du_dt(0, x) = u(t, x)")
