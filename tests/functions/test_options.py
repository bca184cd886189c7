"""Closed forms and their derivatives against QuantLib's."""

import math

import pytest
import QuantLib
import torch

from sobolev import Function
from sobolev.functions.options import RATE, STRIKE, bachelier, black_scholes, call

CALL = "sobolev.functions.options.call"


def calculator(spot, volatility, maturity):
    discount = math.exp(-RATE * maturity)
    payoff = QuantLib.PlainVanillaPayoff(QuantLib.Option.Call, STRIKE)
    return QuantLib.BlackCalculator(payoff, spot / discount, volatility * maturity**0.5, discount)


POINTS = torch.cartesian_prod(
    *(torch.tensor(v, dtype=torch.float64) for v in ([55.0, 80, 98.3, 100, 131, 150], [0.1, 0.2, 0.55], [0.1, 1, 2.5]))
)


def test_price_delta_gamma_vega_and_theta_over_the_surface():
    y, gradient, hessian = Function(CALL, ["spot", "volatility", "maturity"]).hessian(POINTS)
    theirs = [calculator(*point) for point in POINTS.tolist()]
    expected = {
        "price": [c.value() for c in theirs],
        "delta": [c.delta(s) for c, s in zip(theirs, POINTS[:, 0].tolist(), strict=True)],
        "gamma": [c.gamma(s) for c, s in zip(theirs, POINTS[:, 0].tolist(), strict=True)],
        "vega": [c.vega(t) for c, t in zip(theirs, POINTS[:, 2].tolist(), strict=True)],
        "theta": [-c.theta(s, t) for c, (s, _, t) in zip(theirs, POINTS.tolist(), strict=True)],
    }
    found = {
        "price": y[:, 0], "delta": gradient[:, 0, 0], "gamma": hessian[:, 0, 0, 0],
        "vega": gradient[:, 0, 1], "theta": gradient[:, 0, 2],
    }  # fmt: skip
    for name, values in found.items():
        true = torch.tensor(expected[name], dtype=torch.float64)
        torch.testing.assert_close(values, true, rtol=1e-9, atol=1e-12 * float(true.abs().max()), msg=name)


def test_vanna_and_volga_are_the_slopes_of_vega():
    """By central differences of QuantLib's vega."""
    hessian = Function(CALL, ["spot", "volatility", "maturity"]).hessian(POINTS)[2]
    h = 1e-4
    for i, column in ((0, hessian[:, 0, 0, 1]), (1, hessian[:, 0, 1, 1])):
        step = torch.eye(3, dtype=torch.float64)[i] * h * (100 if i == 0 else 1)
        up, down = ([calculator(*p).vega(p[2]) for p in (POINTS + d).tolist()] for d in (step, -step))
        slope = (torch.tensor(up, dtype=torch.float64) - torch.tensor(down, dtype=torch.float64)) / (2 * step[i])
        torch.testing.assert_close(column, slope, rtol=1e-5, atol=1e-5 * float(slope.abs().max()))


def test_one_column_is_the_spot():
    spot = POINTS[:, :1]
    full = torch.cat([spot, torch.full_like(spot, 0.2), torch.ones_like(spot)], 1)
    assert torch.equal(call(spot), call(full))
    with pytest.raises(ValueError, match="2 columns"):
        call(full[:, :2])


def test_the_lower_tail_keeps_its_digits():
    """Far out of the money the price is tiny, and right to nine digits."""
    price = black_scholes(torch.tensor([40.0, 50.0], dtype=torch.float64), STRIKE, 0.2, 1.0, RATE)
    expected = torch.tensor([calculator(s, 0.2, 1.0).value() for s in (40.0, 50.0)], dtype=torch.float64)
    assert (expected < 2e-3).all()
    torch.testing.assert_close(price, expected, rtol=1e-9, atol=0)


def test_bachelier_against_quantlib():
    forward = torch.linspace(0.2, 2.0, 19, dtype=torch.float64)
    value, delta, gamma = Function(lambda x: bachelier(x, 1.1, 0.3)).derivatives(forward[:, None])
    prices = [QuantLib.bachelierBlackFormula(QuantLib.Option.Call, 1.1, f, 0.3, 1.0) for f in forward.tolist()]
    normal = QuantLib.CumulativeNormalDistribution()
    d = [(f - 1.1) / 0.3 for f in forward.tolist()]
    for found, expected in (
        (value, prices), (delta, [normal(v) for v in d]), (gamma, [normal.derivative(v) / 0.3 for v in d]),
    ):  # fmt: skip
        torch.testing.assert_close(found[:, 0], torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)
