import pytest
import torch
from torch import nn

from sobolev.estimates.last_layer import LastLayer
from sobolev.networks import MLP
from sobolev.readout import solve_readout


class Powers(nn.Module):
    """Polynomials up to a degree, whose weights are a linear layer."""

    def __init__(self, degree):
        super().__init__()
        self.degree, self.last = degree, nn.Linear(degree, 1).double()

    def forward(self, x):
        return self.last(torch.cat([x**k for k in range(1, self.degree + 1)], 1))


def solved(function, degree, rows):
    model = Powers(degree)
    x = torch.rand(rows, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    y = function(x)
    solve_readout(model, lambda: [(x, y)], lambda: [(x, y)])
    return model, x, y


def test_errors_of_a_polynomial_fit_are_of_the_size_that_is_said():
    model, x, y = solved(torch.exp, 6, 200)
    layer = LastLayer.fit(model, x, y)
    points = torch.linspace(-0.99, 0.99, 101, dtype=torch.float64)[:, None]
    powers = torch.stack([k * points[:, 0] ** (k - 1) for k in range(1, 7)], 1)
    bends = torch.stack([k * (k - 1) * points[:, 0] ** max(k - 2, 0) for k in range(1, 7)], 1)
    weights = model.last.weight.detach()[0]
    exact = torch.exp(points)[:, 0]
    errors = (model(points).detach()[:, 0] - exact, powers @ weights - exact, bends @ weights - exact)
    for squares, error in zip(layer.mean_squares(model, points, 2), errors, strict=True):
        assert 0.33 < float(squares.mean().sqrt() / error.square().mean().sqrt()) < 3


def test_weights_that_are_no_solution_are_found_wrong():
    model, x, y = solved(torch.exp, 6, 200)
    with torch.no_grad():
        model.last.weight[0, 1] += 0.1
    squares = LastLayer.fit(model, x, y).mean_squares(model, x, 2)
    torch.testing.assert_close(squares[0][:, 0, 0].sqrt(), 0.1 * x[:, 0].square(), rtol=0.02, atol=1e-3)
    torch.testing.assert_close(squares[2].sqrt(), torch.full_like(squares[2], 0.2), rtol=0.05, atol=0)


def test_noise_gives_the_bars_of_linear_regression():
    generator = torch.Generator().manual_seed(2)
    model = Powers(3)
    x = torch.rand(500, 1, generator=generator, dtype=torch.float64)
    y = x + 0.1 * torch.randn(500, 1, generator=generator, dtype=torch.float64)
    solve_readout(model, lambda: [(x, y)], lambda: [(x, y)])
    bars = LastLayer.fit(model, x, y).mean_squares(model, x, 0)[0].mean().sqrt()
    assert 0.5 < float(bars) / (0.1 * (4 / 500) ** 0.5) < 12  # what lies beyond the features counts, too


def test_without_a_linear_last_layer_the_reason_is_told():
    x = torch.rand(40, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="no linear layer reaches the output linearly"):
        LastLayer.fit(MLP(1, 1, [8], output_activation="tanh").double(), x, x)
