"""Nested reverse mode through normalisations: derivatives and gradients of losses on them are those of Taylor mode."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import sobolev
from sobolev.autodiff.taylor.tape import graph_of

X = torch.linspace(-1, 1, 6, dtype=torch.float64)[:, None]


class Normalized(nn.Module):
    def __init__(self, normalize):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.normalize = nn.Linear(1, 8), nn.Linear(8, 1), normalize
        self.scale = nn.Parameter(torch.rand(8))
        self.double()

    def forward(self, x):
        return self.last(self.normalize(self.first(x).tanh() * self.scale))


NORMALIZATIONS = {
    "LayerNorm": nn.LayerNorm(8),
    "without weights": nn.LayerNorm(8, elementwise_affine=False),
    "function": lambda x: functional.layer_norm(x, (8,)),
    "torch.layer_norm": lambda x: torch.layer_norm(x, (8,), eps=1e-3),
    "two axes": lambda x: functional.layer_norm(x.reshape(-1, 2, 4), (2, 4)).flatten(1),
    "InstanceNorm1d": lambda x: functional.instance_norm(x.reshape(-1, 2, 4)).flatten(1),
    "with weights": nn.Sequential(nn.Unflatten(1, (2, 4)), nn.InstanceNorm1d(2, affine=True), nn.Flatten()),
    "GroupNorm": nn.GroupNorm(2, 8),
}


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_third_derivatives_and_gradients_of_a_loss_on_second_ones(name):
    network = Normalized(NORMALIZATIONS[name])
    weights = [*network.parameters()]
    found, gradients = [], []
    for method in ("reverse", "taylor"):
        *rows, last = sobolev.derivatives(network, X, 3, method=method)
        found.append((*rows, last.detach()))
        gradients.append(
            torch.autograd.grad(rows[2].square().sum(), weights, allow_unused=True, materialize_grads=True)
        )
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_values_are_pytorchs_own(name):
    network = Normalized(NORMALIZATIONS[name]).float()
    y, _ = sobolev.derivatives(network, X.float(), 1, method="reverse")
    assert torch.equal(y, network(X.float()))


SEEN_FROM_C = {
    "traced": lambda network: torch.jit.trace(network, X),
    "exported": lambda network: torch.export.export(network, (X,)).module(),
    "aten": lambda network: Normalized(lambda x: torch.ops.aten.native_layer_norm(x, [8], None, None, 1e-5)[0]),
}


class OfTensorsAlone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        assert type(x) is torch.Tensor
        return self.network(x)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("kind", SEEN_FROM_C)
def test_normalisations_that_python_does_not_see(kind, order):
    """Third derivatives by PyTorch itself are wrong, and gradients of a loss on second ones."""
    network = Normalized(nn.LayerNorm(8, elementwise_affine=False))
    found = []
    for f in (network, OfTensorsAlone(SEEN_FROM_C[kind](network))):
        last = sobolev.derivatives(f, X, order)[-1]
        gradients = torch.autograd.grad(last.square().sum(), [*f.parameters()], allow_unused=True)
        found.append([last.detach(), *(gradient for gradient in gradients if gradient is not None)])
    torch.testing.assert_close(*found)


def test_pytorchs_own_backward_passes_are_used_elsewhere():
    network = Normalized(nn.LayerNorm(8))
    sobolev.jacobian(network, X, method="reverse")
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    assert any("LayerNormBackward" in node.name() for node in graph_of(gradient))


def test_instance_norm_of_an_evaluated_module_is_an_affine_map():
    norm = nn.Sequential(nn.Unflatten(1, (2, 4)), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten()).double()
    network = Normalized(norm.eval())
    torch.testing.assert_close(*(sobolev.derivatives(network, X, 2, method=method) for method in ("reverse", "taylor")))
