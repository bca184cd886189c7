"""Nested reverse mode, the second opinion, against sympy."""

import pytest
import sympy
import torch
from cases import formulas, tower
from torch import nn

import sobolev
from sobolev.autodiff import reverse
from sobolev.errors import UntrustworthyDerivativeError

X = sympy.symbols("x:2")
WEIGHT = nn.Parameter(torch.ones(1))


def weighted_without_graph(x):
    """Has a graph, to its weights."""
    return WEIGHT * x.detach()


@pytest.fixture
def case():
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    points = torch.randn(6, 2, dtype=torch.float64)
    return network, points, [torch.from_numpy(t.copy()) for t in tower(formulas(network, X), X, points, 3)]


def close(found, expected):
    for tensor, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(tensor, exact, rtol=1e-10, atol=1e-12)


def test_the_operators_agree_with_sympy(case):
    network, points, (y, J, H, _) = case
    diagonal = H.diagonal(dim1=2, dim2=3)
    close(reverse.jacobian(network, points), (y, J))
    close(reverse.hessian(network, points), (y, J, H))
    close(reverse.hessian_diagonal(network, points), (y, J, diagonal))
    close(reverse.laplacian(network, points), (y, J, diagonal.sum(-1)))


def test_directional_derivatives_agree_with_sympy(case):
    network, points, (y, J, H, third) = case
    v = torch.randn(6, 2, dtype=torch.float64)
    expected = (
        y,
        torch.einsum("noi,ni->no", J, v),
        torch.einsum("noij,ni,nj->no", H, v, v),
        torch.einsum("noijk,ni,nj,nk->no", third, v, v, v),
    )
    close(reverse.derivatives(network, points, 3, v), expected)


def test_gradients_flow_to_weights_points_and_direction(case):
    network, points, _ = case
    points, v = points[:2].requires_grad_(), torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, v: reverse.derivatives(network, x, 2, v)[2], (points, v))
    weight = network[0].weight
    assert torch.autograd.grad(reverse.laplacian(network, points)[2].sum(), weight)[0].any()


@pytest.mark.parametrize(
    "f", [lambda x: 3 * x + 1, lambda x: x.detach() * 0 + 2, lambda x: x], ids=["linear", "constant", "identity"]
)
def test_a_derivative_of_zero_is_no_error(f):
    x = torch.randn(4, 1)
    assert (reverse.hessian(f, x)[2] == 0).all()


@pytest.mark.parametrize(
    "f",
    [lambda x: x.detach() ** 2, torch.no_grad()(torch.sin), weighted_without_graph],
    ids=["detach", "no_grad", "weights"],
)
def test_a_lost_graph_is_no_derivative_of_zero(f):
    with pytest.raises(UntrustworthyDerivativeError, match="no graph"):
        reverse.jacobian(f, torch.randn(4, 1))


def test_a_function_may_write_to_its_argument():
    x = torch.randn(4, 1, dtype=torch.float64)
    before = x.clone()
    found = reverse.hessian(lambda z: z.add_(1).square(), x)
    close(found, ((x + 1) ** 2, 2 * (x + 1)[:, :, None], torch.full((4, 1, 1, 1), 2.0, dtype=torch.float64)))
    assert torch.equal(x, before)


def test_results_of_a_function_without_weights_carry_no_graph():
    x = torch.rand(4, 3, dtype=torch.float64)
    for operator in (reverse.hessian, reverse.laplacian, sobolev.hessian):
        assert not any(tensor.requires_grad for tensor in operator(lambda z: z.sin().prod(1), x))
        assert all(tensor.requires_grad for tensor in operator(lambda z: WEIGHT * z.sin().prod(1), x))
    assert all(tensor.requires_grad for tensor in reverse.hessian(torch.sin, x.clone().requires_grad_()))


@pytest.mark.parametrize("options", [{}, {"retain_graph": False}, {"create_graph": False, "allow_unused": True}])
def test_derivatives_inside_the_function_keep_their_graph(options):
    def forces(x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.clone().requires_grad_()
            energy = x.sin().prod(1)
            (gradient,) = torch.autograd.grad(energy.sum(), x, **options)
        return torch.cat([energy[:, None], -gradient], 1)

    x = torch.rand(4, 3, dtype=torch.float64)
    y, J, H = sobolev.hessian(lambda z: z.sin().prod(1), x, method="taylor")
    found = sobolev.jacobian(forces, x)
    close(found, (torch.cat([y[:, None], -J], 1), torch.cat([J[:, None], -H], 1)))


@pytest.mark.parametrize("last", [nn.Tanh(), nn.LayerNorm(12)], ids=["tanh", "layer norm"])
def test_many_outputs_at_once_are_as_one_by_one(last, monkeypatch):
    network = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 12), last).double()
    points, direction = torch.randn(5, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    found = []
    for many in (8, 100):
        monkeypatch.setattr(reverse, "_MANY", many)
        tower = reverse.derivatives(network, points, 3, direction)
        loss = sum(level.square().sum() for level in tower)
        found.append([*tower, *torch.autograd.grad(loss, list(network.parameters()))])
    close(found[0], found[1])


@pytest.mark.parametrize("operator", ["jacobian", "hessian", "hessian_diagonal", "laplacian"])
@pytest.mark.parametrize("last", [nn.Tanh(), nn.LayerNorm(12)], ids=["tanh", "layer norm"])
def test_many_outputs_input_by_input_are_as_one_by_one(operator, last, monkeypatch):
    network = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 12), last).double()
    points, found = torch.randn(4, 3, dtype=torch.float64), []
    for many in (8, 100):
        monkeypatch.setattr(reverse, "_MANY", many)
        results = getattr(reverse, operator)(network, points)
        gradients = torch.autograd.grad(sum(part.square().sum() for part in results), list(network.parameters()))
        found.append([*results, *gradients])
    close(found[0], found[1])


@pytest.mark.parametrize("operator", ["jacobian", "hessian", "hessian_diagonal"])
def test_a_jacobian_of_few_inputs_takes_a_pass_for_each_of_these(operator, monkeypatch):
    calls, grad = [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **options: calls.append(1) or grad(*args, **options))
    getattr(reverse, operator)(lambda x: (x[:, :1] * x[:, 1:] * torch.arange(200.0)).sin(), torch.randn(3, 2))
    assert len(calls) < 10


def test_a_function_of_many_outputs_of_which_one_is_constant():
    x = torch.rand(3, 1, dtype=torch.float64)
    found = reverse.derivatives(
        lambda z: torch.cat([z.sin().expand(-1, 8), torch.ones_like(z)], 1), x, 2, torch.ones(1, 1)
    )
    assert (found[1][:, 8] == 0).all() and torch.equal(found[2][:, 3:4], -x.sin())
