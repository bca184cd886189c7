"""Levels of places whose errors are drawn with known sizes; rows left out by fits without them."""

import numpy as np
import pytest
import torch

from sobolev.estimates.kernel_posterior import KernelPosterior
from sobolev.estimates.label_rows import LabelRows
from sobolev.estimates.local_levels import LeftOut, LocalLevels
from sobolev.estimates.weights_posterior import WeightsPosterior
from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.networks.kernel_features import KernelFeatures
from sobolev.surrogates.labels import Labels


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def levels_of(sizes, noise=0.0):
    """Rows on a line whose errors are so many times as large as expected, and levels at both of its ends."""
    x = torch.linspace(-1.7, 1.7, len(sizes), dtype=torch.float64)[:, None]
    residuals = sizes * normal(len(sizes)) + noise * normal(len(sizes), seed=1)
    left_out = LeftOut(residuals.square()[:, None], torch.ones_like(x))
    found = LocalLevels.fit(x, left_out, torch.tensor([noise**2]).double())
    return found, found.at(torch.tensor([[-1.6], [1.6]]).double())[:, 0].tolist()


def test_a_corner_whose_errors_are_larger_than_expected_is_found():
    sizes = torch.ones(80, dtype=torch.float64)
    sizes[64:] = 10.0
    found, (here, there) = levels_of(sizes)
    assert 8 <= found.neighbours[0] <= 16
    assert here == pytest.approx(1.0, rel=0.6)
    assert there == pytest.approx(100.0, rel=0.6)


def test_the_ends_of_a_line_are_extrapolated_and_say_nothing():
    sizes = torch.ones(80, dtype=torch.float64)
    sizes[[0, 79]] = 1e4
    _, (here, there) = levels_of(sizes)
    assert here < 3
    assert there < 3


@pytest.mark.parametrize("seed", range(5))
def test_places_that_are_alike_are_not_told_apart(seed):
    x = normal(60, 2, seed=seed)
    left_out = LeftOut(4 * normal(60, 1, seed=10 + seed).square(), torch.ones_like(x[:, :1]))
    found = LocalLevels.fit(x, left_out, torch.zeros(1).double())
    assert found.neighbours == [0]
    assert float(found.at(x)[0]) == pytest.approx(4.0, rel=0.5)


def test_noise_hides_it():
    found, (here, there) = levels_of(torch.ones(80, dtype=torch.float64), noise=30.0)
    assert found.neighbours == [0]
    assert here == there < 0.5


def rows(count):
    x = 3.4 * torch.rand(count, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1.7
    y = torch.cat([torch.sin(2 * x[:, :1] + x[:, 1:]), x[:, :1] * x[:, 1:]], 1) + 0.1 * normal(count, 2)
    return LabelRows.of(Labels(x, (y,)), lambda *_: [])


def without_each(covariance, y, noise, trends):
    """Residual and variance of each row by a process of the others, nothing known before of the trends."""
    squares, variances = [], []
    for i in range(len(y)):
        kept = np.arange(len(y)) != i
        A = covariance[np.ix_(kept, kept)] + noise * np.eye(len(y) - 1)
        k, T = covariance[kept, i], trends[kept]
        gain = np.linalg.solve(A, np.column_stack([y[kept], k, T]))
        variance = covariance[i, i] - k @ gain[:, 1]
        slopes, rest = np.zeros(T.shape[1]), trends[i] - k @ gain[:, 2:]
        if T.shape[1]:
            slopes = np.linalg.solve(T.T @ gain[:, 2:], T.T @ gain[:, 0])
            variance += rest @ np.linalg.solve(T.T @ gain[:, 2:], rest)
        squares.append((y[i] - k @ gain[:, 0] - rest @ slopes) ** 2)
        variances.append(variance)
    return np.array(squares), np.array(variances)


@pytest.mark.parametrize("count", [15, 60])
def test_rows_left_out_of_polynomials(count):
    labels, degrees = rows(count), torch.cartesian_prod(torch.arange(5), torch.arange(5))
    box = torch.full((2,), 2.0, dtype=torch.float64)
    features = ChebyshevFeatures(degrees, torch.exp(-0.7 * degrees.sum(1).double()), -box, box)
    posterior = WeightsPosterior.fit(features, labels)
    found, design = posterior.left_out(features, labels), features(labels.x).numpy()
    for o in range(2):
        noise, prior = float(posterior.noise[o]), float(posterior.prior[o])
        expected = without_each(prior * design @ design.T, labels.y[:, o].numpy(), noise, np.zeros((count, 0)))
        np.testing.assert_allclose(found.squares[:, o], expected[0], rtol=1e-6)
        np.testing.assert_allclose(found.variances[:, o], expected[1], rtol=1e-6)


def test_rows_left_out_of_a_kernel():
    labels = rows(40)
    torch.manual_seed(3)
    features = KernelFeatures(labels.x.clone(), torch.tensor([0.9, 0.6]), 3).double().requires_grad_(False)
    posterior = KernelPosterior.fit(features, labels)
    found, at = posterior.left_out(features, labels), features.coordinates(labels.x).numpy()
    trends, half = np.column_stack([np.ones(40), labels.x.numpy()]), 0.5 * np.square(at[:, None] - at).sum(2)
    for o in range(2):
        parts = []
        for bump in posterior.hypotheses:
            scaled = bump.stretch**2 * half
            bumps = np.exp(-scaled) if bump.tails == 0 else (1 + bump.tails * scaled) ** (-1 / bump.tails)
            noise, prior = float(bump.noise[o]), float(bump.prior[o])
            parts.append(without_each(prior * bumps, labels.y[:, o].numpy(), noise, trends))
        expected = np.einsum("h,hpr->pr", posterior.shares[:, o].numpy(), np.array(parts))
        np.testing.assert_allclose(found.squares[:, o], expected[0], rtol=1e-5)
        np.testing.assert_allclose(found.variances[:, o], expected[1], rtol=1e-5)
