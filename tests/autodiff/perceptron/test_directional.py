"""A perceptron along one direction: the short way gives the numbers and the gradients of nested reverse mode."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

import sobolev
from sobolev.autodiff.perceptron import directional

ACTIVATIONS = [nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Mish()]


@pytest.fixture(params=[400_000, 1], ids=["one block", "blocks"])
def _blocks(request, monkeypatch):
    monkeypatch.setattr(directional, "cached_numbers", lambda _: request.param)
    monkeypatch.setattr(directional, "FEWEST_ROWS", 4)


def _network(activation: nn.Module, inputs: int = 2, outputs: int = 2, last: bool = False, bias: bool = True):
    layers = [nn.Linear(inputs, 5, bias=bias), activation, nn.Linear(5, 4), activation, nn.Linear(4, outputs)]
    return nn.Sequential(*layers, *[activation] * last).double()


def _loss(network, x, direction, order, method):
    results = sobolev.derivatives(network, x, order, direction, method=method)
    return sum(((k + 1) * result.sin()).sum() for k, result in enumerate(results))


def _both(network, x, direction, order, wanted, **options):
    """The gradients by Taylor mode, then by nested reverse mode."""
    return [
        torch.autograd.grad(_loss(network, x, direction, order, method), wanted, **options)
        for method in ("taylor", "reverse")
    ]


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("last", [False, True], ids=["linear at the end", "activation at the end"])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_values_and_gradients(activation, order, last):
    network, x = _network(activation, last=last, bias=False), 2 * torch.randn(11, 2).double()
    for direction in (torch.randn(2).double(), torch.randn(11, 2).double()):
        with torch.no_grad():
            found = sobolev.derivatives(network, x, order, direction, method="taylor")
        torch.testing.assert_close(found, sobolev.derivatives(network, x, order, direction, method="reverse"))
        torch.testing.assert_close(*_both(network, x, direction, order, list(network.parameters())))


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("activation", ACTIVATIONS[1:3], ids=repr)
def test_gradients_to_points_and_directions(activation):
    network, x = _network(activation), torch.randn(11, 2).double().requires_grad_()
    for shape in ((2,), (11, 2)):
        direction = torch.randn(shape).double().requires_grad_()
        torch.testing.assert_close(*_both(network, x, direction, 2, [x, direction]))


@pytest.mark.usefixtures("_blocks")
def test_frozen_layers_and_a_layer_used_twice():
    shared = nn.Linear(5, 5)
    network = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), shared, nn.SiLU(), shared, nn.Tanh(), nn.Linear(5, 1)).double()
    network[0].weight.requires_grad_(False)
    network[6].requires_grad_(False)
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert len(wanted) == 3
    torch.testing.assert_close(*_both(network, torch.randn(9, 2).double(), torch.ones(2).double(), 2, wanted))


@pytest.mark.parametrize("activation", ACTIVATIONS[:3], ids=repr)
def test_the_gradient_has_a_gradient(activation):
    network, x = _network(activation, 1, 1), torch.randn(6, 1).double()
    weights = list(network.parameters())
    first = _both(network, x, None, 2, weights, create_graph=True)
    torch.testing.assert_close(*first)
    squares = [sum((g**2).sum() for g in gradients) for gradients in first]
    torch.testing.assert_close(*[torch.autograd.grad(square, weights) for square in squares])


def test_weights_of_somebody_else():
    network, x = _network(nn.Tanh(), 1, 1), torch.randn(6, 1).double()
    others = {name: torch.randn_like(p).requires_grad_() for name, p in network.named_parameters()}

    def gradients(method):
        def f(x):
            return functional_call(network, others, (x,))

        return torch.autograd.grad(_loss(f, x, None, 2, method), list(others.values()))

    torch.testing.assert_close(gradients("taylor"), gradients("reverse"))


def test_no_rows_far_out_and_a_single_row():
    network = _network(nn.Tanh(), 1, 1)
    with torch.no_grad():
        assert [len(result) for result in sobolev.derivatives(network, torch.zeros(0, 1).double())] == [0, 0, 0]
        for x in (torch.full((1, 1), 0.3), torch.tensor([[-300.0], [0.1], [300.0]])):
            found, exact = (sobolev.derivatives(network, x.double(), method=m) for m in ("taylor", "reverse"))
            torch.testing.assert_close(found, tuple(result.detach() for result in exact))
    loss = _loss(network, torch.zeros(0, 1).double(), None, 2, "taylor")
    assert all(not gradient.any() for gradient in torch.autograd.grad(loss, list(network.parameters())))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss = _loss(network, torch.ones(3, 1).double(), None, 2, "taylor")
        with torch.no_grad():
            network[2].weight.mul_(2)
        loss.backward()
