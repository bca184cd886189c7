"""Weights lent and given back; a change is noticed."""

import pytest
import torch
from torch import nn

from sobolev.monitor.weights import fingerprint, lent_weights


@pytest.mark.parametrize("network", [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), nn.LSTM(2, 3), nn.Linear(2, 2)])
def test_half_precision_is_lent_in_single_and_given_back(network):
    tied = nn.ModuleList([network.bfloat16().eval(), network])
    before = [*network.parameters(), *network.buffers()]
    names = list(tied.state_dict())
    with lent_weights(tied):
        assert all(p.dtype == torch.float32 for p in network.parameters())
        network(torch.rand(4, 2))
    assert all(a is b for a, b in zip(before, [*network.parameters(), *network.buffers()], strict=True))
    assert list(tied.state_dict()) == names
    network(torch.rand(4, 2).bfloat16())


def test_single_precision_stays_where_it_is():
    network = nn.Linear(2, 2)
    weight = network.weight
    with lent_weights(network):
        assert network.weight is weight


def test_weights_are_given_back_after_an_error():
    network = nn.Linear(2, 2).half()
    with pytest.raises(RuntimeError), lent_weights(network):
        raise RuntimeError
    assert network.weight.dtype == torch.float16


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_change_is_noticed(dtype):
    network = nn.Linear(3, 3).to(dtype)
    before = fingerprint(network)
    assert fingerprint(network) == before
    network.weight.data[1, 1] += 0.5
    assert fingerprint(network) != before
