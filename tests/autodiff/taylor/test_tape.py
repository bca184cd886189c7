import math

import pytest
import torch
from cases import Products
from rule_check import assert_rule
from torch import nn
from torch.utils.checkpoint import checkpoint

import sobolev
from sobolev.autodiff import algorithms
from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor
from sobolev.autodiff.taylor.hessian_contributions import NotCollapsibleError
from sobolev.autodiff.taylor.tape import Tape


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    """Reverse passes, also where they do not pay."""
    monkeypatch.setattr(algorithms, "_FEW_NUMBERS", 0)


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


WEIGHT = torch.linspace(-1, 1, 5 * 8, dtype=torch.float64).reshape(5, 8).cos()
LAYER = nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 1)).double()

ATTENTION = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu").double().eval()  # the batch is its second axis
RECURRENT = nn.GRU(1, 4, batch_first=True).double()
BILINEAR = nn.Bilinear(5, 5, 3).double()


def _gram(x):
    return x[:, :4].reshape(len(x), 2, 2) @ torch.tanh(x[:, 1:]).reshape(len(x), 2, 2)


COLLAPSED = {
    "attention": lambda x: ATTENTION((x[:, :, None] * WEIGHT).transpose(0, 1))[..., 0].mean(0),
    "recurrent": lambda x: RECURRENT(x[:, :, None])[0][:, -1].sum(1),
    "bilinear": lambda x: torch.tanh(BILINEAR(x, torch.sin(x))).sum(1),
    "products of matrices": lambda x: torch.sin(_gram(x)).sum((1, 2)),
    "einsum": lambda x: torch.einsum("bi,ij,bj->b", torch.tanh(x), WEIGHT[:, :5], x),
    "einsum over sequences": lambda x: torch.einsum("sb,tb->bst", x.T, torch.sin(x.T)).tanh().sum((1, 2)),
    "a product with a network": lambda x: (x**2).sum(1, keepdim=True) * LAYER(x),
    "columns": lambda x: x[:, 0] * torch.exp(x[:, 1]) + x[:, 2] ** 3,
    "softmax": lambda x: (torch.softmax(x @ WEIGHT, 1) * torch.sin(x @ WEIGHT)).sum(1),
    "logsumexp": lambda x: torch.logsumexp(x @ WEIGHT, 1),
    "norm": lambda x: x.norm(dim=1) / (1 + x.square().sum(1)),
    "standard deviation": lambda x: x.std(1),
    "radial": lambda x: torch.exp(-(x[:, None] - WEIGHT.T).square().sum(2)).sum(1),
    "convolution": lambda x: torch.tanh(nn.functional.conv1d(x[:, None], WEIGHT.T[:2, None, :3])).square().mean((1, 2)),
    "batch in the middle": lambda x: torch.tanh((x @ WEIGHT)[None] * torch.arange(3.0)[:, None, None]).prod(0).sum(1),
    "batch and units in one axis": lambda x: torch.sin(x.reshape(-1)).reshape(len(x), -1).square().sum(1),
    "units and batch in one axis": lambda x: torch.sin(x.T.reshape(-1)).reshape(-1, len(x)).square().sum(0),
    "batch last": lambda x: torch.exp(torch.sin(x.T)).prod(0),
    "a tensor like x": lambda x: torch.stack([torch.ones_like(x), x, x.new_full(x.shape, 2) * x * x], 2).prod(1).sum(1),
    "another precision": lambda x: torch.sin(x.to(torch.complex128).real * x.double()).sum(1),
    "two outputs": lambda x: torch.cat([LAYER(x) * x[:, :1], torch.exp(x[:, 1:2] * x[:, 2:3])], 1),
}


@pytest.mark.parametrize("rows", [6, 5, 1])
@pytest.mark.parametrize("name", COLLAPSED)
@pytest.mark.parametrize(("operator", "long"), [("hessian", "_pushed_hessian"), ("jacobian", "_pushed_jacobian")])
def test_any_function_that_can_be_followed_is_collapsed(operator, long, name, rows, monkeypatch):
    """Where the batch is, is found out by numbers; five rows of five inputs can be told apart, too."""
    monkeypatch.setattr(taylor, long, lambda *_: pytest.fail("inputs were carried along"))
    differentiate = getattr(sobolev, operator)
    found = differentiate(COLLAPSED[name], X[:rows], method="taylor")
    for a, b in zip(found, differentiate(COLLAPSED[name], X[:rows], method="reverse"), strict=True):
        torch.testing.assert_close(a.detach(), b.detach())


@pytest.mark.parametrize("operator", [sobolev.jacobian, sobolev.hessian])
def test_weights_of_a_followed_function_are_trained(operator):
    """Against central differences of the loss."""
    f = COLLAPSED["a product with a network"]

    def loss():
        return operator(f, X, method="taylor")[-1].square().mean()

    weight = LAYER[0].weight
    (gradient,) = torch.autograd.grad(loss(), [weight])
    step = 1e-5 * WEIGHT.T
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            weight.add_(sign * step)
        values.append(loss().detach())
    with torch.no_grad():
        weight.add_(step)
    slope = (values[0] - values[1]) / 2e-5
    torch.testing.assert_close((gradient * WEIGHT.T).sum(), slope, rtol=1e-6, atol=1e-9)


def test_of_very_many_inputs_pairs_are_not_carried_along(monkeypatch):
    """Where what an operation adds cannot be told, as all is rounding: they would take gigabytes."""

    def rounding(*_):
        raise NotCollapsibleError

    monkeypatch.setattr(Tape, "hessian", rounding)
    monkeypatch.setattr(taylor, "_pushed_hessian", lambda *_: pytest.fail("pairs were carried along"))
    x = torch.linspace(-1, 1, 2 * 101, dtype=torch.float64).reshape(2, 101)
    _, _, H = sobolev.hessian(lambda x: x.square().sum(1).square(), x)
    r2 = x.square().sum(1)[:, None, None]
    torch.testing.assert_close(H, 8 * x[:, :, None] * x[:, None] + 4 * r2 * torch.eye(101, dtype=x.dtype))
    with pytest.raises(NoRuleError, match="by 101 inputs could not be put together"):
        sobolev.hessian(lambda x: x.square().sum(1).square(), x, method="taylor")


def test_what_is_left_out_may_be_infinite():
    """There 0 times infinity would enter; the pairs of inputs know nothing of it."""
    points = torch.tensor([[0.0, 1, 2, 3, 4], [1, 2, 3, 4, 5]], dtype=torch.float64)
    for f in (
        lambda x: torch.sqrt(x)[:, 1:].prod(1),
        lambda x: torch.sqrt(x)[:, 1:].sum(1),
        lambda x: torch.where(x > 0.5, torch.log(x), x).square().sum(1),
        lambda x: torch.where(x > 0.5, torch.log(x), x).sum(1),
    ):
        _, J, H = sobolev.hessian(f, points, method="taylor")
        assert J.isfinite().all() and H.isfinite().all()
        torch.testing.assert_close(sobolev.jacobian(f, points, method="taylor")[1], J)
        inside = sobolev.hessian(f, points[1:], method="reverse")[2]
        torch.testing.assert_close(H[1:].detach(), inside.detach())


def _partly_without_gradients(x):
    bent = torch.tanh(x)
    with torch.no_grad():
        weight = bent @ WEIGHT
    return (weight * (x @ WEIGHT)).sum(1)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_a_path_without_gradients_is_differentiated_all_the_same(mode):
    """The derivative is that of the function, which does not know about graphs; its Hessian by hand."""
    with mode():
        H = sobolev.hessian(_partly_without_gradients, X, method="taylor")[2].detach()
    slope, bend = 1 - torch.tanh(X) ** 2, -2 * torch.tanh(X) * (1 - torch.tanh(X) ** 2)
    mixed = slope[:, :, None] * (WEIGHT @ WEIGHT.T)
    exact = mixed + mixed.mT + torch.diag_embed(bend * (X @ WEIGHT @ WEIGHT.T))
    torch.testing.assert_close(H, exact)


def test_detached_tensors_are_followed():
    H = sobolev.hessian(lambda x: (x.detach() * x * x).sum(1), X, method="taylor")[2]
    torch.testing.assert_close(H, torch.diag_embed(6 * X))


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return (self.calls * torch.tanh(x @ WEIGHT)).sum(1).exp()


@pytest.mark.parametrize("f", [Counting(), lambda x: (torch.rand(()) * torch.tanh(x @ WEIGHT)).sum(1).exp()])
def test_functions_that_change_from_call_to_call_are_not_mixed_up(f):
    """All that is returned belongs to one call: y = exp(c s), s = Σ tanh, of which c is found from y."""
    y, J, H = (t.detach() for t in sobolev.hessian(f, X))
    value = torch.tanh(X @ WEIGHT)
    slope, bend = 1 - value**2, -2 * value * (1 - value**2)
    c = (y.log() / value.sum(1))[:, None]
    first, second = slope @ WEIGHT.T, torch.einsum("iu,ru,ju->rij", WEIGHT, bend, WEIGHT)
    torch.testing.assert_close(J, y[:, None] * c * first)
    torch.testing.assert_close(
        H, y[:, None, None] * (c[:, :, None] ** 2 * first[:, :, None] * first[:, None] + c[:, :, None] * second)
    )


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("wrap", [lambda network: network, sobolev.Standardized], ids=["alone", "inside"])
def test_slopes_keep_their_digits_far_out(wrap, mode):
    """There PyTorch's own gradient of tanh, 1 - tanh², is 0 in float32."""
    network = nn.Sequential(nn.Linear(4, 1, bias=False), nn.Tanh())
    nn.init.ones_(network[0].weight)
    with mode():
        J = sobolev.jacobian(wrap(network), torch.full((3, 4), 3.0), method="taylor")[1]
    torch.testing.assert_close(J, torch.full_like(J, 4 * math.exp(-24)), rtol=1e-5, atol=0)


def test_more_outputs_than_pay_for_a_reverse_pass():
    f, x = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 5)).double(), X.repeat(100, 1)
    with torch.no_grad():
        found, expected = (sobolev.jacobian(f, x, method=method) for method in ("taylor", "reverse"))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("operator", [sobolev.jacobian, sobolev.hessian])
def test_a_graph_is_there_for_somebody(operator, trained):
    """Results of a frozen network can be turned into numpy arrays."""
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1)).requires_grad_(trained)
    x = torch.randn(3, 5)
    assert all(result.requires_grad == trained for result in operator(network, x, method="taylor"))
    assert all(result.requires_grad for result in operator(network, x.clone().requires_grad_(), method="taylor"))


@pytest.mark.parametrize("operator", [sobolev.jacobian, sobolev.hessian])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_checkpoints_inside_a_function(operator, mode):
    """Their backward pass calls the function again, outside ours."""
    network = NETWORKS["tanh"].double()

    def f(x):
        return checkpoint(network, x, use_reentrant=False)

    with mode():
        found = operator(f, X, method="taylor")
    for a, b in zip(found, operator(network, X, method="reverse"), strict=True):
        torch.testing.assert_close(a.detach(), b.detach())
