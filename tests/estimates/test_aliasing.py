"""What a grid cannot tell, against polynomials that are known and functions whose truth is."""

import numpy as np
import pytest
import torch
from cases import loader, quiet_trainer
from numpy.polynomial import Polynomial

from sobolev import DerivativeEstimate, EvidenceRegressor
from sobolev.autodiff.operators import derivative_tensors
from sobolev.estimates.aliasing import Aliasing, _answered, _interpolation_errors, _tail


def grid(levels, inputs):
    return torch.cartesian_prod(*[torch.linspace(-1, 1, levels, dtype=torch.float64)] * inputs)


def test_rows_that_are_no_grid_have_nothing_to_add():
    x = torch.rand(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert Aliasing.fit(torch.nn.Linear(3, 1).double(), x, torch.zeros(1)) is None
    assert Aliasing.fit(torch.nn.Linear(1, 1).double(), x[:9, :1], torch.zeros(1)) is None  # each value but once


@pytest.mark.parametrize("times", [0, 1, 2])
def test_what_interpolation_leaves_of_the_next_degrees(times):
    """Against numpy's interpolation and derivatives."""
    axis, x = np.array([0.2, 0.9, 1.4, 3.0]), np.linspace(0.2, 3.0, 7)
    answered = torch.tensor([[1.0, 0.0]]).double().expand(4, 2)
    found, ignored = _interpolation_errors(torch.from_numpy(axis), torch.from_numpy(x), times, answered).unbind(2)
    for k in range(4):
        whole = np.polynomial.Chebyshev.basis(4 + k, domain=[0.2, 3.0])
        same = Polynomial.fit(axis, whole(axis), 3, domain=[0.2, 3.0])
        expected = (whole.deriv(times) if times else whole)(x) - (same.deriv(times) if times else same)(x)
        np.testing.assert_allclose(found[:, k].numpy(), expected, atol=1e-9 * max(1, abs(expected).max()))
        own = (whole.deriv(times) if times else whole)(x)
        np.testing.assert_allclose(ignored[:, k].numpy(), own, atol=1e-12 * abs(own).max())


@pytest.mark.parametrize("factor", [0.2, 0.5])
def test_coefficients_fall_on_as_they_have_fallen(factor):
    k = torch.arange(8, dtype=torch.float64)
    squares = (factor**k).square()[:, None, None]
    tail = _tail(squares, torch.zeros_like(squares))[:, 0, 0]
    expected = factor ** torch.arange(8.0, 12.0, dtype=torch.float64)
    assert torch.all(tail.sqrt() < 3 * expected) and torch.all(tail.sqrt() > expected / 3)


def test_what_rounding_has_left_of_coefficients_tells_nothing():
    true = 0.1 ** torch.arange(20, dtype=torch.float64)
    rounding = torch.full_like(true, 1e-6)
    squares = (true.square() + rounding.square())[:, None, None]
    hidden, believed = (_tail(squares, own.square()[:, None, None]).sqrt() for own in (rounding, 0 * rounding))
    assert hidden.max() < 1e-14 and believed.max() > 1e-9


def test_through_less_than_noise_no_network_goes():
    axis = torch.linspace(-1, 1, 16, dtype=torch.float64)
    noise = torch.tensor([0.0, 1e-20, 1e-4], dtype=torch.float64)
    clean, little, much = _answered(axis, torch.full((4, 3), 1e-10, dtype=torch.float64), noise).unbind(1)
    assert clean.eq(1).all() and little.gt(0.99).all() and much.lt(1e-5).all()


def test_at_the_levels_nothing_is_left():
    x = grid(5, 2)
    network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    found = Aliasing.fit(network, x, torch.zeros(2).double())
    value, slopes, bends = found.squares(x, 2)
    assert value.abs().max() < 1e-20 and slopes.min() > 0 and bends.shape == (25, 2, 3)
    assert torch.allclose(found.carried(x, 0)[0], torch.ones(25, 1, dtype=torch.float64))


def test_beside_an_input_of_many_levels_nothing_bounds_what_is_carried():
    """Of a straight line through two levels the second derivative is 0, and infinity times that would be NaN."""
    x = torch.stack([grid(5, 2)[:, 0], torch.linspace(-1, 1, 25, dtype=torch.float64)], 1)
    x[:, 0] = x[:, 0].sign().where(x[:, 0] != 0, 1.0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    found = Aliasing.fit(network, x, torch.zeros(1).double())
    assert all(part.isinf().all() for part in found.carried(x, 2))


def learnt_on_a_grid(function, low, high, levels, folder, digits=None):
    """Estimated and actual root mean squares at random points, for each order."""
    generator = torch.Generator().manual_seed(0)
    low, high = torch.tensor(low).double(), torch.tensor(high).double()
    x = low + (grid(levels, len(low)) + 1) / 2 * (high - low)
    x = x[torch.randperm(len(x), generator=generator)]
    y = function(*x.T)[:, None]
    y = y if digits is None else y.mul(10**digits).round() / 10**digits
    part = len(x) // 10
    model = EvidenceRegressor()
    quiet_trainer(folder, max_epochs=1).fit(model, loader(x[part:], y[part:], batch_size=len(x)))
    estimate = DerivativeEstimate.fit(model, (x[part:], y[part:]), (x[:part], y[:part]))
    between = low + torch.rand(200, len(low), generator=generator, dtype=torch.float64) * (high - low)
    truth = derivative_tensors(lambda x: function(*x.T)[:, None], between, 2)
    found = zip(estimate.errors(model, between), truth, estimate.at(model, between).derivatives, strict=True)
    return [(e.rmse, float((own.reshape(t.shape) - t).square().mean().sqrt())) for e, t, own in found]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (lambda a, b: a**b, (0.5, 0.5), (3.0, 2.5)),
        (lambda a, b: a * torch.exp(-3 * b) / (1 + a * b), (0.2, 0.0), (2.0, 1.0)),
        (lambda a, b: torch.exp(b) / (1.6 + a) + a * b, (-1.0, 0.0), (1.0, 1.0)),
    ],
)
def test_sixteen_levels_are_not_enough_to_be_sure(function, low, high, tmp_path):
    """Estimates were 1,000 to 100,000 times too small: polynomials knew of no degree above 15."""
    for expected, actual in learnt_on_a_grid(function, low, high, 16, tmp_path):
        assert actual / 10 < expected < 10 * actual


@pytest.mark.filterwarnings("ignore")
def test_waves_through_all_levels_of_a_kink_are_not_believed(tmp_path):
    """They go through all rows, the kink between them, and estimates were 1e-15."""
    for expected, actual in learnt_on_a_grid(lambda a, b: a.abs() + b**2, (-1.0, -1.0), (1.0, 1.0), 10, tmp_path):
        assert actual / 4 < expected < 20 * actual


@pytest.mark.filterwarnings("ignore")
def test_labels_of_four_digits_hide_what_twenty_levels_cannot_tell(tmp_path):
    """What high degrees would have to be to go through it is not in a network that does not go through noise."""

    def function(a, b):
        return torch.tanh(3 * a - b**2) + a * b

    for expected, actual in learnt_on_a_grid(function, (-1.0, -1.0), (1.0, 1.0), 20, tmp_path, 4):
        assert actual / 4 < expected < 6 * actual


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
