"""Posteriors of surrogates beside those of dense Gaussian processes in numpy, by differences of their covariances."""

from dataclasses import replace
from itertools import accumulate, product
from math import comb

import numpy as np
import pytest
import torch
from torch import nn

from sobolev import MLP, DerivativeEstimate, EvidenceRegressor, Standardized
from sobolev.autodiff.operators import derivative_tensors
from sobolev.estimates.kernel_posterior import KernelPosterior
from sobolev.estimates.label_rows import LabelRows
from sobolev.estimates.surrogate_posterior import SurrogatePosterior
from sobolev.estimates.weights_posterior import WeightsPosterior
from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.networks.kernel_features import KernelFeatures
from sobolev.networks.surrogate import Surrogate
from sobolev.surrogates.labels import Labels, standardized
from sobolev.surrogates.search import network, search

pytestmark = pytest.mark.filterwarnings("ignore")
CORNERS = torch.tensor([[0.3, -0.2], [0.0, 0.5], [1.4, 0.1]], dtype=torch.float64)


def inputs(count, seed=0):
    return 2 * torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1


def polynomial():
    degrees = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    sizes = torch.exp(-0.7 * degrees.sum(1).double())
    return ChebyshevFeatures(degrees, sizes, torch.tensor([-1.0, -1.0]).double(), torch.tensor([1.0, 1.0]).double())


def kernel(x):
    torch.manual_seed(3)
    return KernelFeatures(x.clone(), torch.tensor([0.9, 0.6]), 3).double()


def surrogate(features, outputs=1):
    """In units that are not those of the features."""
    model = Standardized(Surrogate(features if isinstance(features, list) else [features], 2, outputs)).double()
    model.input_scale, model.input_mean = torch.tensor([[0.5, 2.0], [0.1, -0.3]], dtype=torch.float64)
    model.output_mean, model.output_scale = torch.tensor([[0.0], [3.0]], dtype=torch.float64).expand(2, outputs)
    return model


def stencil(point, steps):
    """Points and weights of values, slopes and bends by central differences, standardised as `surrogate` does."""
    offsets = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    x = (np.array([point + steps * o for o in offsets]) - [0.1, -0.3]) / [0.5, 2.0]
    single = {0: [0, 1, 0], 1: [-0.5, 0, 0.5], 2: [1, -2, 1]}
    orders = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
    rows = [
        np.outer(np.array(single[a]) / steps[0] ** a, np.array(single[b]) / steps[1] ** b).ravel() for a, b in orders
    ]
    return x, np.array(rows)


def by_differences(covariance, rows, noise, scale):
    """Posterior variances at the corners of a process with this covariance function."""
    found = []
    for point in CORNERS.numpy():
        x, weights = stencil(point, np.array([6e-3, 2.4e-2]))
        cross = covariance(x, rows)
        gain = np.linalg.solve(covariance(rows, rows) + noise * np.eye(len(rows)), cross.T)
        found.append(scale * np.diag(weights @ (covariance(x, x) - cross @ gain) @ weights.T))
    return np.array(found)


def entries(squares):
    i, j = np.triu_indices(2)
    value, slopes, bends = (s[:, 0].numpy() for s in squares)
    return np.concatenate([value[:, None], slopes, bends[:, i, j]], 1)


@pytest.mark.parametrize("rows", [15, 60])
def test_of_polynomials(rows):
    model, x = surrogate(polynomial()), inputs(rows)
    y = torch.sin(2 * x[:, :1]) + 0.1 * torch.randn(rows, 1, generator=torch.Generator().manual_seed(1)).double()
    posterior = SurrogatePosterior.fit(model, x, y)
    (part,) = posterior.parts

    def covariance(a, b):
        one, other = (polynomial()(torch.from_numpy(c)).numpy() for c in (a, b))
        return float(part.prior) * one @ other.T

    standard = (x.numpy() - [0.1, -0.3]) / [0.5, 2.0]
    expected = by_differences(covariance, standard, float(part.noise), 9.0)
    np.testing.assert_allclose(entries(posterior.mean_squares(model, CORNERS, 2)), expected, rtol=2e-2)


def test_large_weights_on_small_features_are_no_noise():
    """What rounding hides of the largest feature is not what it hides of values."""
    degrees = torch.arange(16)[:, None]
    low, high = -torch.ones(1).double(), torch.ones(1).double()
    features = ChebyshevFeatures(degrees, torch.exp(-1.8 * degrees[:, 0].double()), low, high)
    x = torch.linspace(-1, 1, 80, dtype=torch.float64)[:, None]
    labels = LabelRows.of(Labels(x, (torch.cos(15 * torch.acos(x)),)), lambda x, order: [])
    assert WeightsPosterior.fit(features, labels).noise.sqrt() < 1e-13


@pytest.mark.parametrize("hypothesis", range(2))
def test_of_a_kernel_on_learnt_coordinates(hypothesis):
    x = inputs(40)
    standard = (x - torch.tensor([0.1, -0.3])) / torch.tensor([0.5, 2.0])
    model = surrogate(kernel(standard)).requires_grad_(False)
    y = torch.sin(3 * x[:, :1]) + 0.1 * torch.randn(40, 1, generator=torch.Generator().manual_seed(1)).double()
    posterior = SurrogatePosterior.fit(model, x, y)
    bump = posterior.parts[0].hypotheses[hypothesis]
    alone = KernelPosterior(bump.noise, [bump], torch.ones(1, 1, dtype=torch.float64))

    def covariance(a, b):
        one, other = (kernel(standard).coordinates(torch.from_numpy(c)).detach().numpy() for c in (a, b))
        half = 0.5 * bump.stretch**2 * np.square(one[:, None] - other).sum(2)
        bumps = np.exp(-half) if bump.tails == 0 else (1 + bump.tails * half) ** (-1 / bump.tails)
        return float(bump.prior) * (bumps + 1e2 * (1 + a @ b.T))  # anything is possible of the linear part

    expected = by_differences(covariance, standard.numpy(), float(bump.noise), 9.0)
    found = replace(posterior, parts=[alone]).mean_squares(model, CORNERS, 2)
    np.testing.assert_allclose(entries(found), expected, rtol=5e-2)


def test_families_that_differ_leave_more_open():
    x = inputs(60)
    standard = (x - torch.tensor([0.1, -0.3])) / torch.tensor([0.5, 2.0])
    y = torch.sin(3 * x[:, :1]) + 0.3 * torch.randn(60, 1, generator=torch.Generator().manual_seed(1)).double()
    model = surrogate([polynomial(), kernel(standard)]).requires_grad_(False)
    posterior = SurrogatePosterior.fit(model, x, y)
    apart = posterior.mean_squares(model, x, 2)
    alone = replace(posterior, several=False).mean_squares(model, x, 2)
    mean = 3 * polynomial()((x - model.input_mean) / model.input_scale) @ posterior.parts[0].weights
    gap = (mean - model(x)).square()  # to one of two that are as probable
    assert (apart[0] - alone[0] >= 0.499 * gap).all()


@pytest.mark.parametrize(("level", "of_derivatives"), [(0.01, 0.1), (4.0, 4.0)])
def test_what_values_show_less_than_a_kernel_expects_says_half_of_derivatives(level, of_derivatives):
    x = inputs(40)
    standard = (x - torch.tensor([0.1, -0.3])) / torch.tensor([0.5, 2.0])
    for features, factor in ((kernel(standard), of_derivatives), (polynomial(), level)):
        model = surrogate(features).requires_grad_(False)
        posterior = replace(SurrogatePosterior.fit(model, x, torch.sin(3 * x[:, :1])), local=[])
        plain = posterior.mean_squares(model, CORNERS, 2)
        found = replace(posterior, levels=torch.full_like(posterior.levels, level)).mean_squares(model, CORNERS, 2)
        for mine, own, wanted in zip(found, plain, (level, factor, factor), strict=True):
            torch.testing.assert_close(mine, wanted * own)


def test_of_many_rows_those_held_out_tell_of_places():
    model, x, unseen = surrogate(polynomial()), inputs(1100), inputs(200, seed=1)
    posterior = SurrogatePosterior.fit(model, x, x[:, :1].square() * x[:, 1:])
    posterior = replace(posterior, noise=torch.zeros_like(posterior.noise))
    assert not posterior.local
    corner = (unseen > 0.2).all(1, keepdim=True)
    expected, points = posterior.of_values(model, unseen), torch.tensor([[0.6, 0.6], [-0.6, -0.6]])
    sizes = expected[0].sqrt() * torch.where(corner, 10.0, 1.0)
    errors = torch.randn(200, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * sizes
    told = posterior.with_places(model, unseen, errors.square(), expected)
    found, plain = (each.mean_squares(model, points.double(), 1) for each in (told, posterior))
    for mine, own in zip(found, plain, strict=True):
        there, here = mine / own
        assert there.min() > 30
        assert here.max() < 3
    assert posterior.with_places(model, unseen, errors.log(), expected).local == []  # NaN: not all are known


def test_noise_is_that_of_the_labels():
    model, x = surrogate(polynomial(), outputs=2), inputs(300)
    noise = torch.randn(300, 2, generator=torch.Generator().manual_seed(1)).double() * torch.tensor([0.01, 0.5])
    posterior = SurrogatePosterior.fit(model, x, x[:, :1] * x[:, 1:] + noise)
    assert posterior.noise[0].tolist() == pytest.approx([0.01, 0.5], rel=0.15)


def test_it_is_the_same_from_its_state():
    model, x = surrogate(polynomial()), inputs(30)
    posterior = SurrogatePosterior.fit(model, x, x.sum(1, keepdim=True).square())
    again = SurrogatePosterior.from_state(posterior.state())
    for one, other in zip(posterior.mean_squares(model, x, 2), again.mean_squares(model, x, 2), strict=True):
        assert torch.equal(one, other)


class Squared(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x).square()


@pytest.mark.parametrize("model", [MLP(2).double(), Squared(surrogate(polynomial()))])
def test_what_is_no_surrogate_has_none(model):
    assert SurrogatePosterior.fit(model, inputs(20), inputs(20).sum(1, keepdim=True)) is None


def wave(x):
    return torch.sin(2 * x[:, :1] + x[:, 1:]) + x[:, :1] * x[:, 1:].square()


def front(x):
    return torch.tanh(3 * (x[:, :1] - x[:, 1:].square()))


def learnt(x, y):
    module = EvidenceRegressor()
    made = module.network.fit(x, y)
    scales = made.input_mean, made.input_scale, made.output_mean, made.output_scale
    *_, last = search(standardized(x, (y,), *scales))
    made.network = network(last.fits)
    return module


def likely_at_least(count, share):
    """As many of so many as chance leaves in all but one of a thousand tries: the binomial's quantile."""
    chances = (comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(count + 1))
    return sum(total < 1e-3 for total in accumulate(chances))


def test_estimates_of_an_evidence_regressor_are_near_the_errors():
    """As often as docs/estimates.md says, but for chance: rounding alone decides which of the networks are off."""
    covered, ratios, ratios_outside = [], [], []
    for seed, (function, count, noise) in product(range(6), [(wave, 60, 0.0), (wave, 100, 0.05), (front, 120, 0.02)]):
        x, points = inputs(count + count // 9, seed), 0.95 * inputs(200, seed=9)
        noises = torch.randn(len(x), 1, generator=torch.Generator().manual_seed(5 + seed), dtype=torch.float64)
        y = function(x) + noise * noises
        module = learnt(x[:count], y[:count])
        estimate = DerivativeEstimate.fit(module, (x[:count], y[:count]), (x[count:], y[count:]))
        towers = derivative_tensors(module, points, 2), derivative_tensors(function, points, 2)
        found = estimate.at(module, points)
        ratios.append([])
        for expected, mine, exact, bars in zip(estimate.errors(module, points), *towers, found.deviations, strict=True):
            error = (mine - exact).detach()
            ratios[-1].append(expected.rmse / float(error.square().mean().sqrt()))
            covered.append(float((error.abs() <= 1.645 * bars).double().mean()))
        assert not found.outside.all()
        around = 1.5 * points[points.abs().amax(1) > 0.75]
        near, exact = estimate.at(module, around), derivative_tensors(function, around, 2)
        assert near.outside.all()
        parts = zip(near.deviations, near.derivatives, exact, strict=True)
        ratios_outside.append([float(bars.norm() / (mine - truth).norm()) for bars, mine, truth in parts])
        far = estimate.at(module, points + torch.tensor([2.5, 0.0]))
        assert far.outside.all()
        assert far.deviations[1].mean() > 3 * found.deviations[1].mean()
    for factor, share in ((2, 0.9), (4, 0.97)):  # of the networks, in every order
        fewest = likely_at_least(len(ratios), share)
        assert all(sum(1 / factor < ratio < factor for ratio in order) >= fewest for order in zip(*ratios, strict=True))
    fewest = likely_at_least(len(ratios), 0.8)
    assert all(sum(1 / 4 < ratio < 4 for ratio in order) >= fewest for order in zip(*ratios_outside, strict=True))
    assert 0.8 < sum(covered) / len(covered) < 0.97


def test_without_held_out_rows_there_is_an_estimate_that_says_so():
    x, points = inputs(60), inputs(100, seed=9)
    module = learnt(x, wave(x))
    estimate = DerivativeEstimate.fit(module, (x, wave(x)))
    assert "no rows were held out" in estimate.remark
    error = float((module(points) - wave(points)).detach().square().mean().sqrt())
    assert 0.1 < estimate.errors(module, points, 0)[0].rmse / error < 10


def test_labels_of_gradients_bound_the_estimate_and_nothing_is_left_to_training():
    x, points = inputs(40, seed=4), inputs(60, seed=9)
    module = learnt(x, wave(x))
    mine, exact = (derivative_tensors(f, points, 1) for f in (module, wave))
    estimate = DerivativeEstimate.fit(module, (x, wave(x)), (points, *exact))
    expected = estimate.errors(module, points)
    assert expected[1].rmse <= 1.05 * float((mine[1] - exact[1]).detach().square().mean().sqrt())
    assert all(e.unknown == e.rmse for e in expected)


def test_a_kernel_that_knows_gradients_is_a_process_of_values_and_gradients():
    x = inputs(12)
    standard = (x - torch.tensor([0.1, -0.3])) / torch.tensor([0.5, 2.0])
    model = surrogate(kernel(standard)).requires_grad_(False)
    y, J = derivative_tensors(wave, x, 1)
    J = J + 0.1 * torch.randn(J.shape, generator=torch.Generator().manual_seed(1)).double()
    posterior = SurrogatePosterior.fit(model, x, y, [J])
    (bump,) = posterior.parts[0].hypotheses

    def covariance(a, b):
        one, other = (kernel(standard).coordinates(torch.from_numpy(c)).detach().numpy() for c in (a, b))
        return float(bump.prior) * (np.exp(-0.5 * np.square(one[:, None] - other).sum(2)) + 1e2 * (1 + a @ b.T))

    h = 1e-4
    places = np.concatenate([standard.numpy() + h * np.array(o) for o in [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]])
    eye = np.eye(12)
    differences = np.concatenate(
        [
            np.kron([[1, 0, 0, 0, 0]], eye),
            np.kron([[0, 0.5 / h, -0.5 / h, 0, 0]], eye),
            np.kron([[0, 0, 0, 0.5 / h, -0.5 / h]], eye),
        ]
    )
    noise = np.diag(float(bump.noise) / bump.weights.numpy() ** 2)
    found = []
    for point in CORNERS.numpy():
        stencil_x, weights = stencil(point, np.array([6e-3, 2.4e-2]))
        cross = covariance(stencil_x, places) @ differences.T
        gain = np.linalg.solve(differences @ covariance(places, places) @ differences.T + noise, cross.T)
        found.append(9 * np.diag(weights @ (covariance(stencil_x, stencil_x) - cross @ gain) @ weights.T))
    np.testing.assert_allclose(entries(posterior.mean_squares(model, CORNERS, 2)), np.array(found), rtol=5e-2)


def test_a_steep_corner_has_wider_bars_than_the_smooth_rest():
    x = torch.linspace(-1, 1, 61, dtype=torch.float64)[:, None]
    between, corner = (x[1:] + x[:-1]) / 2, slice(-6, None)

    def function(x):
        return x.sin() + torch.exp((x - 1) / 0.05)

    generator = torch.Generator().manual_seed(0)  # so much noise that no rounding decides
    y = function(x) + 1e-6 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    features = KernelFeatures(x.clone(), torch.tensor([10.0]), 0).double()
    model = Standardized(Surrogate([features], 1, 1)).double().requires_grad_(False)
    posterior = SurrogatePosterior.fit(model, x, y)
    (bump,) = posterior.parts[0].hypotheses

    def covariance(a):
        scaled = 0.5 * np.square(10.0 * bump.stretch * (a - x.T).numpy())
        return np.exp(-scaled) if bump.tails == 0 else (1 + bump.tails * scaled) ** (-1 / bump.tails)

    line = np.column_stack([np.ones(61), x.numpy()])
    A = np.block([[covariance(x) + float(bump.noise / bump.prior) * np.eye(61), line], [line.T, np.zeros((2, 2))]])
    weights = np.linalg.solve(A, np.concatenate([y.numpy(), np.zeros((2, 1))]))
    mean = np.column_stack([covariance(between), np.ones(60), between.numpy()]) @ weights
    errors = mean - function(between).numpy()

    def ratio(local, part):
        bars = replace(posterior, local=local).mean_squares(model, between, 0)[0].sqrt().numpy()
        return float(np.sqrt(np.square(bars[part]).mean() / np.square(errors[part]).mean()))

    smooth = slice(0, 40)
    assert ratio([], corner) < 0.2
    assert 0.33 < ratio(posterior.local, corner) < 3
    assert ratio(posterior.local, smooth) == pytest.approx(ratio([], smooth), rel=0.01)


def test_held_out_values_that_contradict_a_posterior_are_believed():
    x, unseen = inputs(60), inputs(10, seed=7)
    standard = (x - torch.tensor([0.1, -0.3])) / torch.tensor([0.5, 2.0])
    model = surrogate(kernel(standard)).requires_grad_(False)
    y = torch.sin(3 * x[:, :1])
    expected = SurrogatePosterior.fit(model, x, y).of_values(model, unseen)[0]
    away = 5 * expected.sqrt() * torch.special.ndtri((torch.arange(10.0).double() + 0.5) / 10)[:, None]
    estimate = DerivativeEstimate.fit(model, (x, y), (unseen, model(unseen) + away))
    assert float(estimate.last_layer.levels) == pytest.approx(25, rel=0.25)


def test_a_witness_that_is_surely_right_leaves_numbers():
    """Of one output the held-out values may leave nothing to the posteriors."""
    model, x, unseen = surrogate(polynomial()), inputs(40), inputs(60, seed=1)
    y, far = x[:, :1].sin(), unseen[:, :1].sin()
    estimate = DerivativeEstimate.fit(model.requires_grad_(False), (x, y), (unseen, far))
    assert all(deviation.isfinite().all() for deviation in estimate.at(model, CORNERS).deviations)


def test_rounding_of_values_is_no_error_of_derivatives():
    """Nothing is wrong but the last digits of values, which derivatives were blamed for."""
    model = surrogate(polynomial()).requires_grad_(False)
    model.output_mean = torch.tensor([100.0], dtype=torch.float64)
    x, unseen = inputs(300), inputs(30, seed=7)
    rounding = 4 * torch.finfo(torch.float64).eps * 100
    away = rounding * torch.special.ndtri((torch.arange(30.0).double() + 0.5) / 30)[:, None]
    estimate = DerivativeEstimate.fit(model, (x, model(x)), (unseen, model(unseen) + away))
    expected = estimate.last_layer.of_values(model, unseen).mean().sqrt()
    assert expected < rounding / 5
    assert float(estimate.last_layer.levels) < 4
    assert (estimate.at(model, unseen).deviations[0] > 0.9 * rounding).all()
    assert not estimate.noise.any()
