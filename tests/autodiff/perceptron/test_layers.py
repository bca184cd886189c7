"""The short way through a chain of layers gives the digits of the long one, and touches nothing that is not its own."""

import pytest
import torch
from torch import nn

import sobolev
from sobolev.autodiff.perceptron.layers import is_plain
from sobolev.autodiff.taylor.registry import METHODS, RULES

ACTIVATIONS = [nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Mish(), nn.Softplus(), nn.SiLU(True)]
OPERATORS = [sobolev.jacobian, sobolev.hessian, sobolev.hessian_diagonal, sobolev.laplacian]


def _chain(activation: nn.Module, inputs: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 16), activation, nn.Linear(16, 16), activation, nn.Linear(16, 2))


def _layer_by_layer(network: nn.Sequential):
    def forward(x):
        for layer in network:
            x = layer(x)
        return x

    return forward


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@pytest.mark.parametrize("order", [1, 2, 4])
def test_same_digits_along_a_direction(activation: nn.Module, order: int) -> None:
    network, x = _chain(activation), 4 * torch.randn(50, 1)
    with torch.no_grad():
        short = sobolev.derivatives(network, x, order, method="taylor")
        long = sobolev.derivatives(_layer_by_layer(network), x, order, method="taylor")
    assert is_plain(network)
    for a, b in zip(short, long, strict=True):
        torch.testing.assert_close(a, b, rtol=3e-6, atol=3e-7 * float(b.abs().max()))


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("activation", ACTIVATIONS[:3], ids=repr)
def test_same_numbers_of_several_inputs(activation: nn.Module, operator) -> None:
    network, x = _chain(activation, 5), torch.randn(20, 5)
    with torch.no_grad():
        short, long = operator(network, x), operator(_layer_by_layer(network), x)
        expected = operator(network.double(), x.double(), method="reverse")
    for a, b, exact in zip(short, long, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(a.double(), exact, rtol=1e-4, atol=1e-5)


class _Residual(nn.Module):
    """Uses its input after a function of it."""

    def forward(self, x):
        y = torch.tanh(x)
        return x * y + x


def test_a_layer_of_the_user_in_between_keeps_its_input() -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(1, 8), _Residual(), nn.Linear(8, 1), _Residual()), torch.randn(30, 1)
    with torch.no_grad():
        found = sobolev.derivatives(network, x, 2, method="taylor")
    expected = sobolev.derivatives(network.double(), x.double(), 2, method="reverse")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)


def test_neither_points_nor_weights_change() -> None:
    network, x = nn.Sequential(nn.Tanh(), nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1), nn.Tanh()), torch.randn(30, 1)
    before = [t.clone() for t in (x, *network.parameters())]
    with torch.no_grad():
        first = sobolev.derivatives(network, x, 2)
        again = sobolev.derivatives(network, x, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, (x, *network.parameters()), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_hooks_are_called() -> None:
    network, x = _chain(nn.Tanh()), torch.randn(7, 1)
    with torch.no_grad():
        plain = sobolev.derivatives(network, x, 2)
        network[1].register_forward_hook(lambda module, arguments, output: 2 * output)
        hooked = sobolev.derivatives(network, x, 2)
        network.register_forward_hook(lambda module, arguments, output: 3 * output)
        twice = sobolev.derivatives(network, x, 2)
    expected = sobolev.derivatives(network.double(), x.double(), 2, method="reverse")
    assert not torch.allclose(plain[2], hooked[2])
    assert not is_plain(network)
    for a, b, exact in zip(hooked, twice, expected, strict=True):
        torch.testing.assert_close(3 * a, b)
        torch.testing.assert_close(b.double(), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("operator", [sobolev.hessian, sobolev.laplacian], ids=lambda f: f.__name__)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("closing", [[], [nn.Tanh()]], ids=["linear", "tanh"])
def test_a_perceptron_with_several_outputs(operator, outputs: int, closing: list[nn.Module]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(7, 9), nn.SiLU(), nn.Linear(9, 11), nn.Tanh(), nn.Linear(11, outputs), *closing)
    network, x = network.double(), torch.randn(13, 7, dtype=torch.float64)
    with torch.no_grad():
        found = operator(network, x, chunk_size=5)
    for a, b in zip(found, operator(network, x, method="reverse"), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_hessian_of_a_linear_chain_is_zero() -> None:
    network, x = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 2)), torch.randn(6, 5)
    with torch.no_grad():
        y, J, H = sobolev.hessian(network, x)
        trace = sobolev.laplacian(network, x)[2]
    assert H.shape == (6, 2, 5, 5)
    assert trace.shape == (6, 2)
    assert not H.any()
    assert not trace.any()
    torch.testing.assert_close(y, network(x).detach())
    torch.testing.assert_close(J, (network[1].weight @ network[0].weight).detach().expand(6, 2, 5))


def test_an_instance_with_a_forward_of_its_own_is_called() -> None:
    network, x = _chain(nn.Tanh(), 4), torch.randn(7, 4)
    plain = network[0].forward
    network[0].forward = lambda x: 2 * plain(x)
    with torch.no_grad():
        found = sobolev.hessian(network, x)
    expected = sobolev.hessian(lambda x: network(x), x, method="reverse")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-4, atol=1e-5)
    network.forward = lambda x: 3 * nn.Sequential.forward(network, x)
    assert not is_plain(network)


def test_our_own_perceptron_takes_the_short_way() -> None:
    network, x = sobolev.MLP(6, 1, (9, 8)).double(), torch.randn(5, 6, dtype=torch.float64)
    assert is_plain(network)
    with torch.no_grad():
        found = sobolev.hessian(network, x)
    for a, b in zip(found, sobolev.hessian(network, x, method="reverse"), strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "operator", [sobolev.derivatives, sobolev.hessian, sobolev.laplacian], ids=lambda f: f.__name__
)
def test_a_rule_of_ones_own_is_used_in_a_chain(operator, monkeypatch) -> None:
    network, x = _chain(nn.Tanh()), torch.randn(5, 1)
    constant = lambda x: 0 * x + x.value.tanh()  # noqa: E731
    monkeypatch.setitem(RULES, torch.tanh, constant)
    monkeypatch.setitem(METHODS, "tanh", constant)
    with torch.no_grad():
        y, first, *_ = operator(network, x, method="taylor")
    assert not first.any()
    torch.testing.assert_close(y, network(x).detach())


class _Wrapped(nn.Module):
    def __init__(self, chain: nn.Module) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, x):
        return self.chain(x.sin()) + x


def test_a_forward_that_somebody_gave_to_all_chains_is_called(monkeypatch) -> None:
    monkeypatch.setattr(nn.Sequential, "forward", lambda self, x: 3 * x * x)
    for network in (_Wrapped(_chain(nn.Tanh())), _chain(nn.Tanh())):
        found = sobolev.derivatives(network, torch.ones(2, 1), method="taylor")
        torch.testing.assert_close(found, sobolev.derivatives(network, torch.ones(2, 1), method="reverse"))
