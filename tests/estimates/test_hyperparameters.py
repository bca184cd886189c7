import math

import pytest
import torch

from sobolev.estimates.hyperparameters import _minus_log_evidence, hyperparameters


def rows(inputs, noise=0.0, count=60):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(count, inputs, generator=generator, dtype=torch.float64)
    y = torch.sin(2 * x[:, 0]) + noise * torch.randn(count, generator=generator, dtype=torch.float64)
    return x, y


def test_the_gradient_is_that_of_the_evidence():
    x, y = rows(3)
    theta = torch.tensor([0.2, -0.3, 0.5, 0.1, -2.0], dtype=torch.float64)
    _, gradient = _minus_log_evidence(theta, x, y)
    h = 1e-5
    for i in range(len(theta)):
        step = torch.zeros_like(theta)
        step[i] = h
        ends = [_minus_log_evidence(theta + s * step, x, y)[0] for s in (1, -1)]
        assert gradient[i].item() == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5, abs=1e-5)


def test_the_value_is_the_density_of_a_normal_distribution():
    x, y = rows(2)
    theta = torch.tensor([0.0, 0.0, 0.0, math.log(0.5)], dtype=torch.float64)
    K = torch.exp(-0.5 * torch.cdist(x, x).square()) + 0.25 * torch.eye(len(x), dtype=torch.float64)
    density = torch.distributions.MultivariateNormal(torch.zeros_like(y), K).log_prob(y)
    constant = 0.5 * len(y) * math.log(2 * math.pi)
    assert _minus_log_evidence(theta, x, y)[0] == pytest.approx(-float(density) - constant, rel=1e-6)


def test_a_line_search_that_runs_away_meets_numbers():
    x, y = rows(2)
    for amplitude in (-400.0, 400.0):
        value, gradient = _minus_log_evidence(torch.tensor([0.0, 0.0, amplitude, 0.0], dtype=torch.float64), x, y)
        assert math.isfinite(value) and gradient.isfinite().all()


def test_noise_and_an_input_without_effect_are_found():
    x, y = rows(2, noise=0.2, count=200)
    lengths, _, noise = hyperparameters(x, y)
    assert 0.17 < noise < 0.23
    assert lengths[1] > 5 * lengths[0]


def test_a_season_under_noise_of_its_size_is_not_taken_for_a_function_that_jumps_from_row_to_row():
    """Fourteen years of months in an order that is random, half of them with a maximum of the evidence at no noise."""
    months = torch.arange(168, dtype=torch.float64)[:, None]
    season = 2**0.5 * torch.cos(2 * math.pi / 12 * months[:, 0] + 0.7)
    noises = []
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        y = season + torch.randn(168, generator=generator, dtype=torch.float64)
        order = torch.randperm(168, generator=generator)
        x = (months - months.mean()) / months.std()
        noises.append(hyperparameters(x[order], ((y - y.mean()) / y.std())[order])[2])
    assert all(0.5 < noise / 0.5**0.5 < 2.0 for noise in noises)
