"""What a grid cannot tell, against polynomials that are known and functions whose truth is."""

import numpy as np
import pytest
import torch
from cases import loader, quiet_trainer
from numpy.polynomial import Polynomial

from sobolev import DerivativeEstimate, EvidenceRegressor
from sobolev.autodiff.operators import derivative_tensors
from sobolev.estimates.aliasing import Aliasing, _interpolation_errors, _tail


def grid(levels, inputs):
    return torch.cartesian_prod(*[torch.linspace(-1, 1, levels, dtype=torch.float64)] * inputs)


def test_rows_that_are_no_grid_have_nothing_to_add():
    x = torch.rand(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert Aliasing.fit(torch.nn.Linear(3, 1).double(), x) is None
    assert Aliasing.fit(torch.nn.Linear(1, 1).double(), x[:9, :1]) is None  # each value but once


@pytest.mark.parametrize("times", [0, 1, 2])
def test_what_interpolation_leaves_of_the_next_degrees(times):
    """Against numpy's interpolation and derivatives."""
    axis, x = np.array([0.2, 0.9, 1.4, 3.0]), np.linspace(0.2, 3.0, 7)
    found = _interpolation_errors(torch.from_numpy(axis), torch.from_numpy(x), times)
    for k in range(4):
        whole = np.polynomial.Chebyshev.basis(4 + k, domain=[0.2, 3.0])
        same = Polynomial.fit(axis, whole(axis), 3, domain=[0.2, 3.0])
        expected = (whole.deriv(times) if times else whole)(x) - (same.deriv(times) if times else same)(x)
        np.testing.assert_allclose(found[:, k].numpy(), expected, atol=1e-9 * max(1, abs(expected).max()))


@pytest.mark.parametrize("factor", [0.2, 0.5])
def test_coefficients_fall_on_as_they_have_fallen(factor):
    k = torch.arange(8, dtype=torch.float64)
    tail = _tail((factor**k).square()[:, None, None])[:, 0, 0]
    expected = factor ** torch.arange(8.0, 12.0, dtype=torch.float64)
    assert torch.all(tail.sqrt() < 3 * expected) and torch.all(tail.sqrt() > expected / 3)


def test_at_the_levels_nothing_is_left():
    x = grid(5, 2)
    found = Aliasing.fit(torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double(), x)
    value, slopes, bends = found.squares(x, 2)
    assert value.abs().max() < 1e-20 and slopes.min() > 0 and bends.shape == (25, 2, 3)
    assert torch.allclose(found.carried(x, 0)[0], torch.ones(25, 1, dtype=torch.float64))


@pytest.mark.filterwarnings("ignore")
def test_a_grid_of_few_levels_is_not_calm(tmp_path):
    """Estimates were 100 to 1,000 times too small: all rows, held-out ones too, are those of a polynomial."""

    def function(a, b, c):
        return torch.exp(a) + torch.sin(2 * b) * c + 1 / (1.7 + c)

    x = grid(5, 3)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    y = function(*x.T)[:, None]
    held_out, training = (x[order[:12]], y[order[:12]]), (x[order[12:]], y[order[12:]])
    model = EvidenceRegressor()
    quiet_trainer(tmp_path, max_epochs=50).fit(model, loader(*training, batch_size=200))
    estimate = DerivativeEstimate.fit(model, training, held_out)
    between = 2 * torch.rand(200, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 1
    truth = derivative_tensors(lambda x: function(*x.T)[:, None], between, 2)
    found = estimate.at(model, between)
    for expected, exact, own in zip(estimate.errors(model, between), truth, found.derivatives, strict=True):
        actual = float((own.reshape(exact.shape) - exact).square().mean().sqrt())
        assert actual / 3 < expected.rmse < 5 * actual
