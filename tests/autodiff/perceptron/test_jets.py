"""Perceptrons that are part of a function: the short ways give the numbers of nested reverse mode."""

import pytest
import torch
from torch import nn

import sobolev
from sobolev.autodiff.perceptron import jets as perceptron_jets
from sobolev.autodiff.taylor import operators as taylor


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    """Also where they do not pay."""
    monkeypatch.setattr(perceptron_jets, "_MANY_DIRECTIONS", 2)
    monkeypatch.setattr(taylor, "_FEW_NUMBERS", 0)


OPERATORS = [sobolev.jacobian, sobolev.hessian, sobolev.hessian_diagonal, sobolev.laplacian]


def chain(inputs, outputs=1):
    torch.manual_seed(0)
    layers = nn.Linear(inputs, 6), nn.Tanh(), nn.Linear(6, 5), nn.SiLU(), nn.Linear(5, outputs)
    return nn.Sequential(*layers).double()


ONE, TWO, OTHER = chain(6), chain(6, 2), chain(3)
MATRIX = torch.linspace(-1, 1, 36, dtype=torch.float64).reshape(6, 6).sin()
FUNCTIONS = {
    "wrapped": lambda x: ONE(x),
    "standardized": lambda x: 3 * ONE((x - 1) / MATRIX[0]) + 2,
    "of a linear map": lambda x: ONE(x @ MATRIX),
    "two outputs": lambda x: TWO(x) * ONE(x),
    "twice": lambda x: ONE(x) * ONE(2 * x),
    "one in the other": lambda x: ONE(MATRIX[0] * TWO(x)[:, :1]),
    "of something bent": lambda x: ONE(torch.sin(x)),
    "of some inputs": lambda x: OTHER(x[:, :3]) + x[:, 4:5] ** 2,
    "of inputs that change places": lambda x: ONE(x.flip(1)) * OTHER(x[:, 3:]),
    "exponent": lambda x: torch.exp(-ONE(x).square()) / (1 + TWO(x).square().sum(1, keepdim=True)),
    "of sequences": lambda x: OTHER(x.reshape(-1, 3)).reshape(-1, 2).prod(1, keepdim=True),
}


@pytest.mark.parametrize("rows", [4, 1])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_inside_a_function(name, operator, mode, rows):
    x = torch.linspace(-2, 2, 6 * rows, dtype=torch.float64).reshape(rows, 6).cos()
    with mode():
        found = operator(FUNCTIONS[name], x, method="taylor")
    for a, b in zip(found, operator(FUNCTIONS[name], x, method="reverse"), strict=True):
        torch.testing.assert_close(a.clone().detach(), b.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("inputs", [2, 3, 5])
def test_no_layer_is_a_jet(operator, inputs, monkeypatch):
    ways = []

    def counted(way):
        return lambda *given: ways.append(way) or way(*given)

    for name in ("_of_many_inputs", "_value"):
        monkeypatch.setattr(perceptron_jets, name, counted(getattr(perceptron_jets, name)))
    model = sobolev.Standardized(sobolev.MLP(inputs, hidden=[8, 8])).double()
    x = torch.randn(7, inputs, dtype=torch.float64)
    with torch.no_grad():
        found = operator(model, x, method="taylor")
    assert ways or (operator is sobolev.jacobian and inputs < 4)
    for a, b in zip(found, operator(model, x, method="reverse"), strict=True):
        torch.testing.assert_close(a, b)
