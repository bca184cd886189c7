"""Sparse polynomials: under noise, sums of low degree beside least squares that know the degree."""

import pytest
import torch
from torch import Tensor

from sobolev.surrogates.family import Fit
from sobolev.surrogates.labels import Labels
from sobolev.surrogates.polynomials import Polynomials, _log_sizes, _Prior, of_total_degree

ROWS, NOISE = 120, 0.1


def points(rows: int, inputs: int, seed: int) -> Tensor:
    return 2 * torch.rand(rows, inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 1


def learnt(x: Tensor, y: Tensor) -> tuple[Polynomials, Fit]:
    family, labels = Polynomials(x.shape[1]), Labels(x, (y,))
    family.learn(labels)
    return family, family.fit(labels)


def noisy(y: Tensor, seed: int) -> Tensor:
    noise = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(100 + seed))
    return y + NOISE * noise


def quadratic(x: Tensor) -> Tensor:
    return (x[:, :1] ** 2 - x[:, 1:2] * x[:, 2:3] + 0.5 * x[:, :1]) / 0.7


def terms(x: Tensor) -> Tensor:
    """Of total degree two at most."""
    products = [x[:, i : i + 1] * x[:, j : j + 1] for i in range(x.shape[1]) for j in range(i, x.shape[1])]
    return torch.cat([torch.ones_like(x[:, :1]), x, *products], 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_noisy_sum_of_low_degree_is_as_good_as_least_squares_that_know_it(seed: int) -> None:
    x, elsewhere = points(ROWS, 3, seed), points(500, 3, 50)
    y = noisy(quadratic(x), seed)
    weights = torch.linalg.lstsq(terms(x), y).solution
    error = (learnt(x, y)[1](elsewhere) - quadratic(elsewhere)).square().mean().sqrt()
    assert error < 1.5 * (terms(elsewhere) @ weights - quadratic(elsewhere)).square().mean().sqrt()


def test_most_of_the_mean_is_the_sum_that_ends_where_the_law_ends() -> None:
    x = points(ROWS, 3, 0)
    family, fit = learnt(x, noisy(quadratic(x), 0))
    assert sum(part for part, _ in family.mean) == pytest.approx(1)
    assert max(family.mean, key=lambda one: one[0])[1].degrees.sum(1).max() == 2
    assert len({tuple(term) for term in fit.features.degrees.tolist()}) == fit.features.width == len(fit.weights)


def test_no_sum_that_ends_has_a_part_where_the_law_goes_on() -> None:
    x = points(ROWS, 1, 0)
    family, fit = learnt(x, torch.sin(5 * x))
    assert len(family.mean) == 1
    elsewhere = points(500, 1, 1)
    torch.testing.assert_close(fit(elsewhere), torch.sin(5 * elsewhere), rtol=0, atol=1e-11)


def test_no_term_is_beyond_the_highest_degree_a_user_allows() -> None:
    x = points(ROWS, 2, 0)
    family = Polynomials(2, highest_degree=2)
    family.learn(Labels(x, (noisy(x[:, :1] * x[:, 1:], 0),)))
    assert all(state.degrees.max() <= 2 for _, state in family.mean)


def test_slopes_and_curvature_of_the_prior_are_those_of_differences() -> None:
    degrees, weights = of_total_degree(3, 4, 9), torch.linspace(-1, 2, 35, dtype=torch.float64)
    numbers = torch.tensor([0.3, -0.2, 0.1, 0.2, -0.4, 0.1, 0.3, 0.2, 0.4, 0.5, -2.0], dtype=torch.float64)
    step, found = 1e-5, _log_sizes(degrees, _Prior.of(numbers, 3))
    for k, line in enumerate(found.curvature(weights)):
        change = torch.zeros_like(numbers)
        change[k] = step
        before, after = (_log_sizes(degrees, _Prior.of(numbers + sign * change, 3)) for sign in (-1, 1))
        torch.testing.assert_close(found.slopes[:, k], (after.values - before.values) / (2 * step), rtol=0, atol=1e-8)
        slopes = weights @ (after.slopes - before.slopes) / (2 * step)
        torch.testing.assert_close(line, slopes, rtol=0, atol=1e-7)
