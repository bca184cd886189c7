"""Waves are found to the last digits where a function is made of them, and left alone where it is not."""

import numpy as np
import pytest
import torch

import sobolev
from sobolev.surrogates.labels import Labels
from sobolev.surrogates.search import network, search
from sobolev.surrogates.waves import Waves, _Problem, highest_peak
from sobolev.surrogates.weights import least_squares


def drawn(formula, rows, end, seed=0):
    """Points in ±1, and the function's values in ±end with derivatives by those points."""
    function = sobolev.Function(formula)
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(rows, len(function.inputs), generator=generator, dtype=torch.float64) - 1
    return x, *(tensor * end**k for k, tensor in enumerate(function.tensors(end * x, 2)))


def learnt(x, *tensors):
    family, labels = Waves(x.shape[1]), Labels(x, tensors)
    family.learn(labels)
    return family, family.fit(labels)


def relative(found, truth):
    return float((found - truth).detach().norm() / truth.norm())


@pytest.mark.parametrize(
    ("formula", "rows", "end"),
    [
        ("sin(50*x)+x**2", 200, 1.0),
        ("sin(2*x)*cos(y)", 300, 10.0),
        ("x**2-10*cos(6*x)+y**2-10*cos(6*y)", 2000, 5.0),
        ("sin(5*(x-t))+t", 300, 10.0),
        ("(x**2+y**2+z**2)/4000-cos(x)*cos(y/sqrt(2))*cos(z/sqrt(3))", 600, 10.0),
        ("sin(20*x)+cos(30*z)+u*v*w", 500, 1.0),
    ],
)
def test_derivatives_of_sums_of_waves(formula, rows, end):
    fit = learnt(*drawn(formula, rows, end)[:2])[1]
    x, *truth = drawn(formula, 100, end, seed=1)
    found = sobolev.hessian(network(((1.0, fit),)), x)
    assert all(relative(got, wanted) < 1e-10 for got, wanted in zip(found, truth, strict=True))


def test_noise_is_no_wave():
    x, y, *_ = drawn("x*y", 400, 1.0)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    family, fit = learnt(x, y + 0.1 * noise)
    assert not family.worth and highest_peak(x, noise) is None
    assert 0.08 < float(fit.noise) < 0.12
    family, fit = learnt(x, torch.sin(20 * x[:, :1]) + 0.1 * noise)
    assert family.worth
    assert 0.08 < float(fit.noise) < 0.12
    assert relative(fit(x), torch.sin(20 * x[:, :1])) < 0.05


def test_the_same_rows_leave_the_same_whatever_memory_held():
    """A tensor of whole numbers that was there before decides which columns PyTorch's default takes first."""
    x = 2 * torch.rand(585, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    features = torch.cos(torch.arange(60) * torch.arccos(x / 1.2))
    targets = torch.cos(4 * x) + 1e-3 * torch.sin(60 * x)
    best, first = np.linalg.lstsq(features.numpy(), targets.numpy(), rcond=None)[0], least_squares(features, targets)
    left = np.linalg.norm(features.numpy() @ best - targets.numpy())
    assert float((features @ first - targets).norm()) == pytest.approx(left, rel=1e-3)
    for k in range(20):
        for size in (60, 61, 64, 120):
            torch.full((size,), k, dtype=torch.int32)  # and forgotten
        assert torch.equal(least_squares(features, targets), first)


def test_rounding_is_no_wave():
    """In what is left of clean rows any frequency is as good as another: 1e12 would ruin derivatives, not values."""
    x, y, *_ = drawn("sin(40*x)", 600, 1.0)
    problem = _Problem(x, y, torch.ones_like(x))
    found = problem.refined(torch.tensor([[40.0], [900.0], [930.0]], dtype=torch.float64))
    assert (found.abs() <= torch.pi * 601 / (x.max() - x.min())).all()


def test_the_evidence_counts_how_few_of_all_frequencies_would_do():
    """The mean of the profile likelihood over all of them, by the trapezoidal rule."""
    x = torch.linspace(-1, 1, 60, dtype=torch.float64)[:, None]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.sin(20 * x) + 0.5 * noise
    family = learnt(x, y)[0]
    assert family.frequencies.shape == (1, 1)
    problem = _Problem(x, y, family._polynomials()(x))
    free = len(x) - problem.polynomials.shape[1] - 2
    best = problem.residuals(family.frequencies).square().sum()
    highest = torch.pi * 59 / 2  # half periods from row to row
    at = torch.linspace(0, highest, 20_001, dtype=torch.float64)
    losses = torch.stack([problem.residuals(k.view(1, 1)).square().sum() for k in at])
    mean = torch.trapezoid(torch.exp(-0.5 * free * (losses / best - 1)), at) / highest
    assert family._cost_of_frequencies(Labels(x, (torch.sin(20 * x) + 0.5 * noise,))) == pytest.approx(
        -float(mean.log()), abs=0.1
    )


def test_outputs_share_their_waves_and_rows_may_have_gaps():
    x, y, *_ = drawn("sin(20*x)*cos(9*y)", 300, 1.0)
    both = torch.cat([y, torch.cos(11 * x[:, 1:] + 0.3)], 1)
    given = both.clone()
    given[7, 1] = torch.nan
    fit = learnt(x, given)[1]
    assert relative(fit(x), both) < 1e-10


def test_rows_of_a_grid_are_learnt_by_the_lowest_waves():
    axis = torch.linspace(-1, 1, 20, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    truth = torch.sin(15 * x[:, :1]) * torch.sin(6 * x[:, 1:])
    fit = learnt(x, truth)[1]
    points = drawn("x*y", 50, 1.0)[0]
    assert relative(fit(points), torch.sin(15 * points[:, :1]) * torch.sin(6 * points[:, 1:])) < 1e-9


def test_labels_of_derivatives_count():
    x, y, gradient, hessian = drawn("sin(2*x)*cos(y)", 200, 8.0)
    generator = torch.Generator().manual_seed(0)
    noisy = [t + 0.1 * t.std() * torch.randn(t.shape, generator=generator, dtype=torch.float64) for t in (y, gradient)]
    alone, both = learnt(x, noisy[0])[1], learnt(x, *noisy)[1]
    assert relative(both(x), y) < relative(alone(x), y)
    exact = learnt(x, y, gradient, hessian)[1]
    assert relative(exact(x), y) < 1e-10


def test_the_search_leaves_them_out_where_they_are_no_good():
    x, y, *_ = drawn("exp(x*y)", 60, 1.0)
    stages = list(search(Labels(x, ((y - y.mean()) / y.std(),)), kinds=("waves", "polynomials")))
    assert "waves" not in stages[-1].says
    assert "waves" in next(search(Labels(x, ((y - y.mean()) / y.std(),)), kinds=("waves",))).says
