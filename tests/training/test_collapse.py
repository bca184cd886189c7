import pytest
import torch
from torch import nn

from sobolev import MLP
from sobolev.training.collapse import collapse

X = torch.linspace(-2, 2, 100)[:, None]


def constant(value=0.0):
    layer = nn.Linear(1, 1)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, value)
    return layer


def dead():
    network = MLP(hidden=(8,), activation="relu", output_activation="relu")
    nn.init.constant_(network[2].bias, -100.0)
    return network


def test_a_dead_final_relu_is_named():
    said = collapse(dead(), X, X**2)
    assert said is not None and "collapsed: the output" in said and "Behind 3 (ReLU)" in said


def test_the_output_that_collapsed_is_named():
    network = nn.Linear(1, 3)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0], [0.0], [1.0]]))
    said = collapse(network, X, torch.cat([X, X**2, X**3], 1))
    assert said is not None and "output 1 of the network" in said


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_diverged_network_is_told_from_a_constant_one(value):
    said = collapse(constant(value), X, X)
    assert said is not None and "diverged" in said


def test_derivative_labels_stand_in_for_values():
    said = collapse(constant(), X, X * torch.nan, [2 * X[..., None]])
    assert said is not None
    assert collapse(constant(), X, X * torch.nan, [0 * X[..., None]]) is None


@pytest.mark.parametrize("targets", [0 * X, 0 * X + 7, 7 + 1e-6 * X, X * torch.nan, X[:0]])
def test_what_is_constant_or_unknown_may_stay_so(targets):
    assert collapse(constant(), X[: len(targets)], targets) is None


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_a_network_that_varies_is_left_alone(scale):
    assert collapse(nn.Tanh(), X, 20 * X.sin()) is None
    assert collapse(constant(), X, scale * X) is not None


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 1)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    collapse(network, X, X)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(layer.training and not layer._forward_hooks for layer in network)
