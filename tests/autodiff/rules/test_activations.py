import pytest
import torch
from rule_check import assert_rule
from torch import nn

ACTIVATIONS = [nn.SiLU(), nn.Mish(), nn.GELU(), nn.GELU("tanh"), nn.Softplus(), nn.Softplus(2.0), nn.LogSigmoid()]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_networks(activation):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), activation, nn.Linear(8, 8), activation, nn.Linear(8, 2)).double()
    assert_rule(net, torch.randn(5, 3, dtype=torch.float64))
