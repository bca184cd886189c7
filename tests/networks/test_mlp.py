import pytest
import torch
from torch import nn

from sobolev import MLP
from sobolev.networks.mlp import activation_named


def test_layers_are_numbered_as_a_reader_counts_them():
    network = MLP(2, 3, hidden=(8, 4), activation="tanh", output_activation="relu")
    kinds = [type(layer).__name__ for layer in network]
    assert kinds == ["Linear", "Tanh", "Linear", "Tanh", "Linear", "ReLU"]
    assert network(torch.zeros(5, 2)).shape == (5, 3)


@pytest.mark.parametrize("name", ["silu", "SiLU", "leaky_relu", "LogSigmoid", "softplus"])
def test_any_spelling_of_an_activation(name):
    assert type(activation_named(name)).__name__.lower() == name.lower().replace("_", "")


@pytest.mark.parametrize(("name", "hint"), [("sillu", "silu"), ("multiheadattention", "embed_dim")])
def test_an_unknown_activation_is_refused_with_a_hint(name, hint):
    with pytest.raises(ValueError, match=hint):
        MLP(activation=name)


def test_a_width_below_one_is_refused():
    with pytest.raises(ValueError, match="below 1"):
        MLP(inputs=0)


def test_a_slice_of_layers_is_a_plain_sequential():
    features = MLP(hidden=(8,))[:-1]
    assert type(features) is nn.Sequential and features(torch.zeros(2, 1)).shape == (2, 8)
