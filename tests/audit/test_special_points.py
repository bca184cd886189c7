"""Of many points those are looked at where something inside the function is 0 or a case of its own."""

import pytest
import torch
from torch import nn

import sobolev
from sobolev.audit.modules import modules_behind
from sobolev.audit.special_points import special_points

PLACE = 131


def grid(count, dtype=torch.float64):
    return torch.linspace(-1, 1, count, dtype=dtype)[:, None]


def of_distance(g):
    return lambda c: lambda x: g((x - c).abs())


def guarded_quotient(c):
    def f(x):
        at = x == c
        return torch.where(at, 1.0, torch.sin(x - c) / torch.where(at, 1.0, x - c))

    return f


EVEN = [
    of_distance(lambda r: torch.log(torch.cosh(r))),
    of_distance(lambda r: 1 - torch.cos(r)),
    of_distance(lambda r: (1 + r + r**2 / 3) * torch.exp(-r)),
]
"""Smooth at c, where autograd is wrong."""


def of_two_sides(c):
    return lambda x: torch.relu(x - c) ** 2 + torch.relu(c - x) ** 2


@pytest.mark.parametrize("count", [201, 2001])
@pytest.mark.parametrize("make", EVEN)
def test_one_of_many_points_where_autograd_is_wrong(make, count):
    x = grid(count)
    found = sobolev.audit(make(float(x[PLACE])), x)
    assert [finding.kind for finding in found.findings] == ["once-differentiable"] and found.method == "taylor"
    assert sobolev.audit(make(float(x[PLACE]) + 1e-4), x).findings == ()


@pytest.mark.parametrize("count", [201, 2001])
@pytest.mark.parametrize("make", [guarded_quotient, of_two_sides])
def test_one_of_many_points_where_every_method_is_wrong(make, count):
    x = grid(count)
    found = sobolev.audit(make(float(x[PLACE])), x)
    assert not found.trustworthy and [finding.kind for finding in found.findings] == ["once-differentiable"]


def test_one_of_many_points_where_the_derivative_is_not_finite():
    x, y = torch.meshgrid(torch.linspace(-1, 1, 41), torch.linspace(0, 2, 31), indexing="ij")
    x = torch.stack([x.flatten(), y.flatten()], 1).double()
    centre = x[777]
    found = sobolev.audit(lambda x: torch.exp(-torch.linalg.vector_norm(x - centre, dim=1)), x)
    assert "non-finite" in [finding.kind for finding in found.findings]


def test_what_float32_alone_meets_is_no_loss_of_digits():
    x = grid(201, torch.float32)
    assert 0.3 in x
    found = sobolev.audit(lambda x: torch.log(torch.cosh((x - 0.3).abs())), x)
    (finding,) = found.findings
    assert "at 1 of" in finding.message and "x = 0.3" in finding.message and "digits" not in finding.message


def test_what_float32_alone_meets_is_no_error_where_taylor_mode_is_right():
    x = grid(201, torch.float32)
    found = sobolev.audit(lambda x: torch.exp(-(torch.linalg.vector_norm(x - 0.3, dim=-1) ** 2)), x)
    (finding,) = found.findings
    assert found.trustworthy and found.method == "taylor"
    assert finding.kind == "dtype" and "at 1 of" in finding.message and "method='taylor'" in finding.message


def test_zeros_of_cut_off_parts_do_not_count():
    model = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1)).double()
    assert special_points(model, grid(1000), modules_behind(model), 4) == []


def test_the_rarest_come_first():
    x, y = torch.meshgrid(torch.linspace(-1, 1, 101), torch.linspace(0, 2, 61), indexing="ij")
    points, place = torch.stack([x.flatten(), y.flatten()], 1), 40 * 61 + 13

    def f(x):
        return torch.linalg.vector_norm(x - points[place], dim=1)

    assert special_points(f, points, {}, 2)[0] == place


def test_of_very_many_points_some_are_looked_at():
    calls = []

    def f(x):
        calls.append(len(x))
        return torch.tanh(x @ torch.ones(x.shape[1], 500, dtype=x.dtype))

    special_points(f, torch.rand(100_000, 3), {}, 4)
    assert sum(calls) < 3000


def test_points_of_a_class_of_somebodys_own():
    class Own(torch.Tensor):
        pass

    x = grid(300)
    assert special_points(lambda x: (x.as_subclass(Own) - float(grid(300)[PLACE])).abs(), x, {}, 1) == [PLACE]
