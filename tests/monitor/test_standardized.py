"""Derivatives of the network inside a Regressor, against those of the module itself."""

import pytest
import torch
from cases import Plain
from torch import nn

from sobolev import MLP, Regressor
from sobolev.autodiff.operators import derivative_tensors
from sobolev.monitor.standardized import network_inside, scaled_tensors


class Halved(Regressor):
    def forward(self, x):
        return self.network(x) / 2


def regressor(inputs, outputs, kind=Regressor):
    torch.manual_seed(0)
    module = kind(MLP(inputs=inputs, outputs=outputs, hidden=(16, 16))).double().eval()
    x = 3 + 5 * torch.rand(20, inputs, dtype=torch.float64)
    module.network.fit(x, 100 * torch.rand(20, outputs, dtype=torch.float64) + 7)
    return module, x


@pytest.mark.parametrize(
    ("inputs", "outputs", "order"), [(1, 1, 3), (1, 2, 2), (3, 1, 2), (3, 2, 3), (5, 1, 1), (2, 2, 0)]
)
def test_the_same_as_of_the_module(inputs, outputs, order):
    module, x = regressor(inputs, outputs)
    inside = network_inside(module)
    assert inside is module.network
    with torch.no_grad():
        found = scaled_tensors(inside, x, order, method="auto", chunk_size="auto")
        expected = derivative_tensors(module, x, order)
    assert len(found) == order + 1
    for tensor, right in zip(found, expected, strict=True):
        torch.testing.assert_close(tensor, right, rtol=1e-11, atol=1e-11)


def test_a_call_that_does_more_is_left_alone():
    module, _ = regressor(1, 1)
    assert network_inside(regressor(1, 1, Halved)[0]) is None
    assert network_inside(Plain()) is None
    assert network_inside(Regressor(nn.Linear(1, 1), standardize=False)) is None
    module.network.register_forward_hook(lambda *_: None)
    assert network_inside(module) is None
