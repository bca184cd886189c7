"""Simulated payoffs and pathwise differentials: unbiased, and the very slopes of the payoffs."""

import math

import pytest
import QuantLib
import torch

from sobolev import PathsData

MARKETS = [{"model": "black_scholes"}, {"assets": 1}, {"assets": 7}, {"assets": 20, "antithetic": False}]


def ready(**options):
    data = PathsData(**{"samples": 20000, "validation_samples": 50, "test_samples": 60, **options})
    data.setup()
    return data


@pytest.mark.parametrize("options", MARKETS)
def test_batches_are_those_of_a_function_with_derivative_labels(options):
    data = ready(**options)
    inputs = data.training.inputs.shape[1]
    x, y, d1 = next(iter(data.train_dataloader()))
    assert x.shape == (256, inputs) and y.shape == (256, 1) and d1.shape == (256, 1, inputs)
    assert len(data.input_names) == inputs and data.output_names == ("price",)
    assert [len(s.inputs) for s in (data.training, data.validation, data.test)] == [20000, 50, 60]


@pytest.mark.parametrize("options", MARKETS)
def test_labels_are_right_on_average(options):
    """Residuals against the closed form have mean 0 within 4.5 standard errors, where the price is high or low."""
    data = ready(**options, seed=3)
    price, delta = data.reference.tensors(data.training.inputs, 1)
    residuals = torch.cat([data.training.targets - price, (data.training.labels[0] - delta)[:, 0]], 1).detach()
    high = price[:, 0] > price.median()
    for part in (residuals[high], residuals[~high]):
        assert (part.mean(0).abs() <= 4.5 * part.std(0) / math.sqrt(len(part))).all()
        assert (part.std(0) > 0).all()


@pytest.mark.parametrize("options", MARKETS)
def test_pathwise_differentials_are_differences_with_common_random_numbers(options):
    """The payoff is piecewise smooth in the state: but for paths at a kink, a difference quotient is the slope."""
    market = ready(**options).market
    states, _, _ = market.paths(500, torch.Generator().manual_seed(5))
    shock = torch.randn(states.shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64) / 5
    _, slope = market.payoffs(states, shock)
    step = 1e-6
    for i in range(states.shape[1]):
        move = torch.eye(states.shape[1], dtype=torch.float64)[i] * step
        up, down = (market.payoffs(states + sign * move, shock)[0] for sign in (1, -1))
        off = ((up - down)[:, 0] / (2 * step) - slope[:, 0, i]).abs() > 1e-8
        assert off.sum() <= 1  # at most one of 500 paths ends within 1e-6 of the strike


def test_an_antithetic_label_is_the_mean_of_two():
    both, single = (ready(seed=2, assets=3, antithetic=antithetic).market for antithetic in (True, False))
    states, _, _ = single.paths(100, torch.Generator().manual_seed(1))
    shock = torch.randn(100, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    pairs = zip(both.payoffs(states, shock), single.payoffs(states, shock), single.payoffs(states, -shock), strict=True)
    for mean, up, down in pairs:
        torch.testing.assert_close(mean, (up + down) / 2)


def test_the_test_set_is_the_closed_form_of_quantlib():
    spot = ready(model="black_scholes")
    x = spot.test.inputs[:, 0]
    assert x[0] == 0.35 and x[-1] == 1.65
    payoff = QuantLib.PlainVanillaPayoff(QuantLib.Option.Call, 1.1)
    expected = [QuantLib.BlackCalculator(payoff, s, 0.2, 1.0) for s in x.tolist()]
    prices = torch.tensor([c.value() for c in expected], dtype=torch.float64)
    deltas = torch.tensor([c.delta(s) for c, s in zip(expected, x.tolist(), strict=True)], dtype=torch.float64)
    torch.testing.assert_close(spot.test.targets[:, 0], prices, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(spot.test.labels[0][:, 0, 0], deltas, rtol=1e-9, atol=1e-13)

    basket = ready(assets=7)
    forward = basket.test.inputs @ basket.market.weights
    prices = [QuantLib.bachelierBlackFormula(QuantLib.Option.Call, 1.1, f, 0.2, 1.0) for f in forward.tolist()]
    torch.testing.assert_close(
        basket.test.targets[:, 0], torch.tensor(prices, dtype=torch.float64), rtol=1e-9, atol=1e-12
    )
    delta, normal = basket.test.labels[0][:, 0], QuantLib.CumulativeNormalDistribution()
    slope = torch.tensor([normal((f - 1.1) / 0.2) for f in forward.tolist()], dtype=torch.float64)
    torch.testing.assert_close(delta, slope[:, None] * basket.market.weights, rtol=1e-9, atol=1e-12)


def test_the_market_is_what_was_asked_for():
    """The basket has the volatility asked for, correlations are correlations, weights sum to 1."""
    market = ready(assets=7, volatility=0.3, seed=4).market
    assert market.weights.sum() == pytest.approx(1) and (market.weights > 0).all()
    assert float(market.weights @ market.covariance @ market.weights) == pytest.approx(0.09)
    deviations = market.covariance.diagonal().sqrt()
    correlation = market.covariance / torch.outer(deviations, deviations)
    assert (correlation.abs() <= 1 + 1e-12).all() and (torch.linalg.eigvalsh(correlation) > 0).all()


def test_a_seed_fixes_market_and_paths():
    one, again, other = (ready(assets=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.training.inputs, again.training.inputs)
    assert torch.equal(one.test.inputs, again.test.inputs)
    assert not torch.equal(one.market.weights, other.market.weights)
    assert not torch.isin(one.training.inputs, one.validation.inputs).any()
    more = ready(assets=3, seed=1, samples=100)
    assert torch.equal(more.market.weights, one.market.weights)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "heston"}, "it is 'black_scholes' or 'bachelier'"),
        ({"model": "black_scholes", "assets": 2}, "one asset, not 2"),
        ({"assets": 0}, "assets is 0"),
        ({"samples": 1.5}, "samples is 1.5"),
        ({"volatility": -0.2}, "volatility is -0.2"),
        ({"strike": math.nan}, "strike is nan"),
        ({"exposure": 2.0, "maturity": 2.0}, "not before the maturity"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        PathsData(**options)
