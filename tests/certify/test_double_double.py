"""Twice the precision: pairs hold the exact results, functions those of python-flint, networks those of mpmath."""

from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import torch
from flint import arb

import sobolev
from sobolev.certify import double_double, precise
from sobolev.certify.enclosure import variables
from sobolev.certify.functions import Arctangent

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _precise():
    before, flint.ctx.prec = flint.ctx.prec, 400
    with np.errstate(all="ignore"):
        yield
    flint.ctx.prec = before


def _numbers(count=200):
    return RNG.uniform(-1, 1, count) * 10 ** RNG.uniform(-12, 12, count)


def _pair(count=200):
    high = _numbers(count)
    return double_double.Pair(high, high * RNG.uniform(-1, 1, count) * 2.0**-54, np.zeros(count))


def _exact(p):
    return [Fraction(float(h)) + Fraction(float(low)) for h, low in zip(p.high, p.low, strict=True)]


def _holds(p, truths):
    found = zip(_exact(p), p.rad, truths, strict=True)
    return all(abs(value - truth) <= Fraction(float(rad)) for value, rad, truth in found)


def test_sums_products_and_quotients():
    a, b = _pair(), _pair()
    near = double_double.Pair(-a.high * (1 + 2.0**-52), a.low, a.rad)  # most digits cancel
    x, y, z = _exact(a), _exact(b), _exact(near)
    assert _holds(double_double.add(a, b), [s + t for s, t in zip(x, y, strict=True)])
    assert _holds(double_double.add(a, near), [s + t for s, t in zip(x, z, strict=True)])
    assert _holds(double_double.multiply(a, b), [s * t for s, t in zip(x, y, strict=True)])
    assert _holds(double_double.reciprocal(a), [1 / s for s in x])
    assert np.all(double_double.multiply(a, b).rad <= 1e-30 * np.abs(a.high * b.high))


def test_products_with_matrices_that_cancel():
    weights = _numbers(40).reshape(20, 2)
    a = double_double.Pair(*(part.reshape(1, 20) for part in _pair(20)))
    weights[-1] = -(a.high[0, :-1] @ weights[:-1]) / a.high[0, -1]
    truths = [sum(Fraction(float(w)) * x for w, x in zip(column, _exact(a[0]), strict=True)) for column in weights.T]
    found = double_double.times_matrix(a, weights)
    assert _holds(found[0], truths)
    assert np.all(found.rad < 1e-24 * (np.abs(a.high) @ np.abs(weights)))


def test_infinite_and_undefined_numbers_say_nothing():
    p = double_double.reciprocal(double_double.exact_pair(np.array([0.0, np.nan, np.inf])))
    assert not np.any(p.rad < np.inf)
    assert not np.any(precise.exp(np.array([np.nan, np.inf, 800.0])).rad < np.inf)


FUNCTIONS = {
    "exp": (precise.exp, lambda a: a.exp()),
    "sin": (lambda x: precise.sine_cosine(x)[0], lambda a: a.sin()),
    "cos": (lambda x: precise.sine_cosine(x)[1], lambda a: a.cos()),
    "sigmoid": (lambda x: precise.logistic(x)[0], lambda a: 1 / (1 + (-a).exp())),
    "1 - sigmoid": (lambda x: precise.logistic(x)[1], lambda a: 1 / (1 + a.exp())),
    "softplus": (precise.softplus, lambda a: (1 + a.exp()).log()),
    "log": (
        lambda x: precise.log(double_double.exact_pair(np.abs(x) + 1e-9)),
        lambda a: (a.__abs__() + arb(1e-9)).log(),
    ),
    "density": (precise.normal_density, lambda a: (-a * a / 2).exp() / (2 * arb.pi()).sqrt()),
    "atan": (lambda x: Arctangent().precise(x, 4)[0], lambda a: a.atan()),
    "Phi": (precise.normal, lambda a: (1 + (a / arb(2).sqrt()).erf()) / 2),
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"log"}))
def test_functions(name):
    f, truth = FUNCTIONS[name]
    x = np.concatenate([RNG.uniform(-30, 30, 80), RNG.uniform(-3, 3, 80), [0.0, 1e-9, 9.0, -9.0, 100.5]])
    p = f(x)
    for value, high, low, rad in zip(x, p.high, p.low, p.rad, strict=True):
        assert rad == np.inf or abs(arb(float(high)) + arb(float(low)) - truth(arb(float(value)))) <= arb(float(rad))
        assert rad < 1e-25 * max(1, abs(float(high))) or abs(value) > 8.9


def test_logarithm():
    x = np.exp(RNG.uniform(-50, 50, 100))
    p = precise.log(double_double.exact_pair(x))
    for value, high, low, rad in zip(x, p.high, p.low, p.rad, strict=True):
        assert abs(arb(float(high)) + arb(float(low)) - arb(float(value)).log()) <= arb(float(rad)) < 1e-25


def _mp_layer(layer, activation, values):
    weight, bias = layer.weight.tolist(), layer.bias.tolist()
    rows = [mpmath.fdot(row, values) + b for row, b in zip(weight, bias, strict=True)]
    return [activation(value) for value in rows]


MP = {
    "tanh": mpmath.tanh,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "gelu": lambda x: x * mpmath.ncdf(x),
}


@pytest.mark.parametrize("activation", MP)
def test_networks_with_large_weights_that_cancel(activation):
    torch.manual_seed(0)
    net = sobolev.MLP(1, 1, [6, 5], activation=activation).double().requires_grad_(False)
    net[4].weight *= 1e6
    x = np.linspace(-1, 1, 7)[:, None]
    e = net(variables(x, np.full_like(x, 0.25), 4, 2))
    assert e.fine is not None
    with mpmath.workdps(60):
        f = lambda t: _mp_layer(  # noqa: E731
            net[4], lambda v: v, _mp_layer(net[2], MP[activation], _mp_layer(net[0], MP[activation], [t]))
        )[0]
        for i, point in enumerate(x[:, 0].tolist()):
            for k in range(3):
                truth = (
                    mpmath.diff(f, mpmath.mpf(point), k, h=mpmath.mpf(10) ** -15) * mpmath.mpf(0.25) ** k / (1, 1, 2)[k]
                )
                value = mpmath.mpf(float(e.fine.high[k, i, 0])) + mpmath.mpf(float(e.fine.low[k, i, 0]))
                slack = 0 if k == 0 else mpmath.mpf(10) ** -8
                assert abs(value - truth) <= mpmath.mpf(float(e.fine.rad[k, i, 0])) + slack
                assert e.fine.rad[k, i, 0] < 1e-12 * e.ball.rad[k, i, 0] + 1e-24


def test_errors_of_a_network_whose_rounding_hides_them():
    """A network equal to x² but for 1e-12 of its size: order 0 is bounded within 2 % all the same."""

    class Nearly(torch.nn.Module):
        def forward(self, x):
            return 1e6 * (x * x) * 1e-6 + 1e-13 * torch.sin(x) + (x - x)

    certificate = sobolev.certify(Nearly(), "x**2", {"x": (-2, 2)}, order=0)
    assert certificate.complete
    with mpmath.workdps(40):
        scale = mpmath.mpf(1e6) * mpmath.mpf(1e-6) - 1
        truth = max(abs(scale * t * t + mpmath.mpf(1e-13) * mpmath.sin(t)) for t in mpmath.linspace(-2, 2, 2001))
    assert certificate.lower[0] * (1 - 1e-3) <= truth <= certificate.upper[0] <= 1.03 * truth
