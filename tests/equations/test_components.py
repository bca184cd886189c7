import itertools

import pytest
import torch

from sobolev import Function
from sobolev.equations.components import Component, component, compute_components

NAMES = {
    "u": (0, 0, 0),
    "du_dx": (0, 1, 0),
    "d1u_dt": (0, 0, 1),
    "d2u_dx2": (0, 2, 0),
    "d2u_dxdt": (0, 1, 1),
    "d2u_dtdx": (0, 1, 1),
    "d3u_dx2dt": (0, 2, 1),
    "d3u_dxdxdx": (0, 3, 0),
    "d10u_dt10": (0, 0, 10),
    "v_1": (1, 0, 0),
    "d2v_1_dx1dt1": (1, 1, 1),
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    unknown, *orders = NAMES[name]
    assert component(name, ("x", "t"), ("u", "v_1")) == Component(unknown, tuple(orders))


@pytest.mark.parametrize(
    "name", ["w", "du", "du_d", "du_dy", "d2u_dx", "du_dx2", "d0u_dx0", "ddu_dx", "u_x", "d2u_dx2t", "x"]
)
def test_what_is_no_name(name):
    assert component(name, ("x", "t"), ("u",)) is None


def test_inputs_that_end_in_digits():
    """dx12 is the second derivative by x1, or the first by x12: the order says which."""
    assert component("d2u_dx12", ("x1", "x12"), ("u",)) == Component(0, (2, 0))
    assert component("du_dx12", ("x1", "x12"), ("u",)) == Component(0, (0, 1))
    assert component("d3u_dx1dx12", ("x1",), ("u",)) == Component(0, (3,))


def test_an_order_too_high_is_refused():
    with pytest.raises(ValueError, match="d11u_dx11 is of order 11; derivatives are computed up to order 10"):
        component("d11u_dx11", ("x",), ("u",))
    with pytest.raises(ValueError, match="mixed derivatives are computed up to order 4"):
        component("d5u_dx4dt", ("x", "t"), ("u",))


def smooth(x):
    first, second = x[:, 0], x[:, 1]
    return torch.stack([first.sin() * (second * 2).exp(), (first * second).tanh()], 1)


@pytest.mark.parametrize("highest, mixed", [(0, False), (1, False), (2, True), (3, False), (3, True), (5, False)])
def test_values_are_those_of_the_exact_derivatives(highest, mixed):
    """Against sympy's, for every derivative up to an order."""
    x = torch.rand(7, 2, dtype=torch.float64)
    orders = [k for k in itertools.product(range(highest + 1), repeat=2) if sum(k) <= highest and (mixed or 0 in k)]
    needed = {Component(u, k) for u in (0, 1) for k in orders}
    exact = Function("sin(x)*exp(2*y), tanh(x*y)").tensors(x, highest)
    found = compute_components(smooth, x, needed)
    assert found.keys() == needed
    for c, values in found.items():
        index = [0] * c.orders[0] + [1] * c.orders[1]
        torch.testing.assert_close(values, exact[c.order][(slice(None), c.unknown, *index)], rtol=1e-9, atol=1e-10)


def test_no_input_is_differentiated_by_in_vain():
    """A time derivative alone costs one pass of order 1."""
    seen = []

    def f(x):
        seen.append(type(x).__name__)
        return x.sum(1, keepdim=True)

    compute_components(f, torch.rand(3, 4), [Component(0, (0, 0, 1, 0)), Component(0, (0, 0, 0, 0))])
    assert seen == ["Jet", "Tensor"]  # the one pass, and the plain call by which every new function is checked
