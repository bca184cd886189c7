import pytest
import torch
from cases import Products
from rule_check import assert_rule
from torch import nn

import sobolev

X = torch.linspace(-1, 1, 6 * 5, dtype=torch.float64).reshape(6, 5).sin()


NETWORKS = {
    "tanh": nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)),
    "silu, two outputs": nn.Sequential(nn.Linear(5, 8), nn.SiLU(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 2)),
    "linear": nn.Linear(5, 1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_hessian_of_few_outputs(name):
    assert_rule(NETWORKS[name].double(), X)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_hessian_in_every_grad_mode(name, mode):
    network = NETWORKS[name].double()
    with mode():
        found = sobolev.hessian(network, X, method="taylor")
    for a, b in zip(found, sobolev.hessian(network, X, method="reverse"), strict=True):
        torch.testing.assert_close(a.clone().detach(), b.detach())


def test_products_of_jets():
    torch.manual_seed(0)
    assert_rule(Products().double(), X)


def test_rows_that_change_places_are_not_mixed_up():
    square = X[:5]
    assert_rule(lambda x: torch.tanh(x.transpose(0, 1) * 2).transpose(0, 1).reshape(5, 1, 5).exp(), square)
