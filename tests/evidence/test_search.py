"""What the search learns, on functions with derivatives by sympy."""

import pytest
import torch

import sobolev
from sobolev.evidence.labels import standardized
from sobolev.evidence.search import network, search
from sobolev.networks.surrogate import Surrogate


def learnt(formula, rows, noise=0.0, low=-1.0, high=1.0):
    """The network of the last stage, the function, and points to compare them at."""
    function = sobolev.Function(formula)
    generator = torch.Generator().manual_seed(3)
    inputs = len(function.inputs)
    x = low + (high - low) * torch.rand(rows, inputs, generator=generator, dtype=torch.float64)
    y = function(x)
    y = y + noise * y.std() * torch.randn(y.shape, generator=generator, dtype=torch.float64)
    found = sobolev.Standardized(Surrogate()).double().fit(x, y)
    scales = found.input_mean, found.input_scale, found.output_mean, found.output_scale
    stages = list(search(standardized(x, (y,), *scales)))
    found.network = network(stages[-1].fits)
    points = low + (high - low) * torch.rand(200, inputs, generator=generator, dtype=torch.float64)
    return found, function, points, stages


def relative(found, truth):
    return float((found - truth).norm() / truth.norm())


@pytest.mark.parametrize(
    ("formula", "rows", "bound"),
    [("exp(-x*y)*sin(3*x+z)", 200, 2e-2), ("tanh(4*x-3*y)", 200, 1e-2), ("x**2+y*z", 60, 1e-9)],
)
def test_hessians_of_clean_functions(formula, rows, bound):
    found, function, points, _ = learnt(formula, rows)
    with torch.no_grad():
        assert relative(sobolev.hessian(found, points)[2], function.hessian(points)[2]) < bound


@pytest.mark.parametrize(("rows", "end"), [(150, 15.0), pytest.param(500, 50.0, marks=pytest.mark.slow)])
def test_many_periods_from_few_points(rows, end):
    found, function, points, _ = learnt("sin(x)", rows, low=-end, high=end)
    inside = points[points.abs()[:, 0] < 0.98 * end]
    with torch.no_grad():
        for got, wanted in zip(sobolev.derivatives(found, inside), function.derivatives(inside, 2), strict=True):
            assert relative(got, wanted) < 1e-6


@pytest.mark.parametrize("rows", [120, pytest.param(300, marks=pytest.mark.slow)])
def test_noise_is_estimated_and_not_learnt(rows):
    found, function, points, stages = learnt("sin(2*x)+x*y", rows, noise=0.1)
    with torch.no_grad():
        assert relative(found(points), function(points)) < 0.06
    assert 0.07 < stages[-1].noise < 0.14


def test_a_fresh_network_loads_any_features():
    found, _, points, _ = learnt("tanh(4*x-3*y)", 60)
    fresh = sobolev.Standardized(Surrogate()).double()
    fresh.load_state_dict(found.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh(points), found(points))
