from dataclasses import replace

import pytest
import torch

import sobolev.estimates.gaussian_process as module
from sobolev import hessian
from sobolev.estimates.gaussian_process import GaussianProcess


def sample(count, inputs=2, noise=0.0):
    generator = torch.Generator().manual_seed(7)
    x = 3 * torch.rand(count, inputs, generator=generator, dtype=torch.float64) + 10
    y = 100 * torch.sin(x.sum(1)) + noise * torch.randn(count, generator=generator, dtype=torch.float64)
    return x, y


def test_means_of_derivatives_are_derivatives_of_the_mean():
    process = GaussianProcess.fit(*sample(50))
    x = sample(60)[0][50:]
    found = process.derivatives(x, 2)
    expected = hessian(lambda x: process.means(x, 0)[0][:, None], x, method="reverse")
    for (mean, _), exact, alone in zip(found, expected, process.means(x, 2), strict=True):
        torch.testing.assert_close(mean, exact.reshape(mean.shape), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(mean, alone)


def test_variances_are_those_of_differences():
    """Of the difference quotient, whose covariance is the kernel's."""
    process = GaussianProcess.fit(*sample(12, inputs=1, noise=5.0))
    x, h = torch.tensor([[11.0]], dtype=torch.float64), 1e-2

    def covariance(a, b):
        a, b = ((t - process.input_mean) / process.input_scale for t in (a, b))
        prior = module.kernel(a, b, process.lengths, process.amplitude)
        left, right = (module.kernel(t, process.centres, process.lengths, process.amplitude) for t in (a, b))
        return (prior - left @ process.factors[0].T @ process.factors[0] @ right.T) * process.output_scale**2

    for order, stencil in ((1, [0.5, 0.0, -0.5]), (2, [1.0, -2.0, 1.0])):
        points = torch.cat([x + h, x, x - h])
        weights = torch.tensor(stencil, dtype=torch.float64) / h**order
        expected = float(weights @ covariance(points, points) @ weights)
        found = float(process.derivatives(x, order)[order][1]) / process.inflation
        assert found == pytest.approx(expected, rel=1e-2)


def test_seen_through_all_rows_is_exact(monkeypatch):
    x, y = sample(80, noise=5.0)
    process = GaussianProcess.fit(x, y)
    monkeypatch.setattr(module, "_exact", module._projected)
    projected = process.given(x, y)
    points = sample(90)[0][80:]
    for (mean, variance), (other, its) in zip(
        process.derivatives(points, 2), projected.derivatives(points, 2), strict=True
    ):
        torch.testing.assert_close(mean, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))
        torch.testing.assert_close(variance, process.inflation * its, rtol=1e-2, atol=1e-6 * float(variance.max()))


def test_left_out_rows_give_the_inflation():
    x, y = sample(30, inputs=1, noise=5.0)
    process = GaussianProcess.fit(x, y)
    squares = []
    for i in range(len(x)):
        others = torch.arange(len(x)) != i
        mean, variance = process.given(x[others], y[others]).derivatives(x[i : i + 1], 0)[0]
        inflation = process.given(x[others], y[others]).inflation
        squares.append((y[i] - mean).square() / (variance / inflation + process.noise**2))
    assert process.inflation == pytest.approx(max(1.0, float(torch.stack(squares).mean())), rel=1e-4)


def test_bars_grow_outside_of_the_rows_and_noise_is_in_the_units_of_the_values():
    x, y = sample(300, noise=5.0)
    process = GaussianProcess.fit(x, y)
    assert process.noise == pytest.approx(5.0, rel=0.15)
    inside, outside = (process.derivatives(x.mean(0, keepdim=True) + shift, 2) for shift in (0.0, 4.0))
    for k in range(3):
        assert (outside[k][1] > 4 * inside[k][1]).all()


def test_constant_values_have_no_derivatives():
    x, _ = sample(20)
    for mean, _ in GaussianProcess.fit(x, torch.full((20,), 3.0, dtype=torch.float64)).derivatives(x, 2)[1:]:
        assert mean.abs().max() < 1e-6


def test_residuals_of_rows_left_out_are_those_of_processes_without_them():
    x, y = sample(30, noise=5.0)
    process = GaussianProcess.fit(x, y)
    for row in (0, 7):
        rest = torch.arange(len(x)) != row
        others = replace(process.given(x[rest], y[rest]), inflation=1.0)
        (mean, variance), *_ = others.derivatives(x[row : row + 1], 0)
        wanted = (y[row] - mean) / (variance + process.noise**2).sqrt()
        torch.testing.assert_close(process.left_out()[row : row + 1], wanted)
    assert process.given(*sample(600)).left_out() is None
