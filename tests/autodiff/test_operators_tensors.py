import pytest
import sympy
import torch
from cases import formulas, tower
from torch import nn

from sobolev.autodiff.operators import derivative_tensors


@pytest.mark.parametrize("method", ["auto", "taylor", "reverse"])
@pytest.mark.parametrize(("inputs", "outputs", "order"), [(1, 1, 5), (1, 3, 4), (2, 2, 4), (3, 1, 3)])
def test_every_entry_of_every_order_agrees_with_sympy(method, inputs, outputs, order):
    network = nn.Sequential(nn.Linear(inputs, 3), nn.Tanh(), nn.Linear(3, outputs)).double()
    points = torch.randn(7, inputs, dtype=torch.float64)
    variables = sympy.symbols(f"x:{inputs}")
    expected = tower(formulas(network, variables), variables, points, order)
    found = derivative_tensors(network, points, order, method=method)
    assert len(found) == order + 1
    for tensor, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(tensor, torch.from_numpy(exact.copy()), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("chunk_size", ["auto", None, 1, 4])
def test_blocks_of_rows_change_nothing(chunk_size):
    network, points = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double(), torch.randn(9, 2).double()
    whole = derivative_tensors(network, points, 3, method="reverse", chunk_size=None)
    for tensor, other in zip(derivative_tensors(network, points, 3, chunk_size=chunk_size), whole, strict=True):
        torch.testing.assert_close(tensor, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", range(4))
def test_several_axes_of_inputs_and_outputs(order):
    """f(x) = (sum of x)³ for x (batch, 2, 3), to outputs (batch, 2): x.sum()³ and its half."""

    def f(x):
        cube = x.sum((1, 2)) ** 3
        return torch.stack([cube, cube / 2], dim=1)

    x = torch.randn(4, 2, 3, dtype=torch.float64)
    total = x.sum((1, 2))
    exact = [total**3, 3 * total**2, 6 * total, torch.full_like(total, 6)][order]
    tensor = derivative_tensors(f, x, order)[order]
    assert tensor.shape == (4, 2, *(2, 3) * order)
    expected = torch.stack([exact, exact / 2], dim=1).reshape(4, 2, *(1, 1) * order).expand(tensor.shape)
    torch.testing.assert_close(tensor, expected)


def test_no_rows_give_no_rows():
    shapes = [tuple(tensor.shape) for tensor in derivative_tensors(nn.Linear(2, 3), torch.zeros(0, 2), 2)]
    assert shapes == [(0, 3), (0, 3, 2), (0, 3, 2, 2)]


def test_under_no_grad_no_graph_is_kept_and_else_the_weights_train():
    network, points = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)), torch.randn(9, 2)
    with torch.no_grad():
        assert not any(tensor.requires_grad for tensor in derivative_tensors(network, points, 3))
    assert torch.autograd.grad(derivative_tensors(network, points, 3)[3].square().sum(), network[0].weight)[0].any()
