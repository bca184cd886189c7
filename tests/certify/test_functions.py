"""Elementary functions and their derivatives, as balls, against python-flint's (Arb)."""

from fractions import Fraction

import flint
import numpy as np
import pytest
from flint import arb, arb_series

from sobolev.certify import elementary
from sobolev.certify.balls import Ball
from sobolev.certify.functions import (
    GELU,
    LOGISTIC,
    Arctangent,
    Expansion,
    Exponential,
    Logarithm,
    Normal,
    Power,
    SiLU,
    Softplus,
    Trigonometric,
)
from sobolev.certify.functions.univariate import Table

COUNT = 11
CASES = {
    "sigmoid": (LOGISTIC, lambda s: 1 / (1 + (-s).exp())),
    "silu": (SiLU(), lambda s: s / (1 + (-s).exp())),
    "softplus": (Softplus(), lambda s: (1 + s.exp()).log()),
    "sin": (Trigonometric(0), lambda s: s.sin()),
    "cos": (Trigonometric(1), lambda s: s.cos()),
    "atan": (Arctangent(), lambda s: s.atan()),
    "exp": (Exponential(), lambda s: s.exp()),
    "Phi": (Normal(), lambda s: (1 + (s / arb(2).sqrt()).erf()) / 2),
    "gelu": (GELU(), lambda s: s * (1 + (s / arb(2).sqrt()).erf()) / 2),
    "log": (Logarithm(), lambda s: s.log()),
    "sqrt": (Power(Fraction(1, 2)), lambda s: s.sqrt()),
    "cbrt": (Power(Fraction(1, 3)), lambda s: (s.log() / 3).exp()),
    "inverse": (Power(Fraction(-1)), lambda s: 1 / s),
    "cube": (Power(Fraction(3)), lambda s: s * s * s),
}
POSITIVE = ("log", "sqrt", "cbrt")


@pytest.fixture(autouse=True)
def _precise():
    before = flint.ctx.prec, flint.ctx.cap
    flint.ctx.prec, flint.ctx.cap = 400, COUNT
    with np.errstate(all="ignore"):
        yield
    flint.ctx.prec, flint.ctx.cap = before


def _outside(ball: Ball, truths: list) -> list[int]:
    """Where the ball does not hold the truth."""
    pairs = zip(ball.mid.ravel(), ball.rad.ravel(), truths, strict=True)
    return [i for i, (m, r, t) in enumerate(pairs) if not (r == np.inf or abs(arb(float(m)) - t) <= arb(float(r)))]


def _points(seed: int, *special: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(-50, 50, 100), rng.uniform(-3, 3, 100), 10 ** rng.uniform(-300, 1, 50), special])


def test_exponential_and_logarithm():
    x = _points(0, 0.0, -0.0, 700.0, -700.0, 709.6, -745.2, -1e300, 1e-320)
    assert not _outside(elementary.exp(x), [arb(float(v)).exp() for v in x])
    assert np.all(elementary.exp(x[np.abs(x) < 600]).rad <= 1e-15 * np.exp(x[np.abs(x) < 600]) + 1e-290)
    y = np.concatenate([np.abs(_points(1)), 1 + np.linspace(-1e-8, 1e-8, 50), [1e-300, 1e300, 5e-324, 1.7e308]])
    assert not _outside(elementary.log(y), [arb(float(v)).log() for v in y])


def test_sine_and_cosine_near_the_zeros_and_far_out():
    x = np.concatenate([_points(2, 0.0, 1e5, -1e5), np.pi / 2 * np.arange(-200, 200), np.linspace(9e4, 1.1e5, 50)])
    sine, cosine = elementary.sine_cosine(x)
    assert not _outside(sine, [arb(float(v)).sin() for v in x])
    assert not _outside(cosine, [arb(float(v)).cos() for v in x])
    assert sine.rad[np.abs(x) < 1e5].max() < 1e-14


def test_normal_distribution_and_density():
    x = np.concatenate([_points(3, 0.0, 9.0, -9.0, np.nextafter(9, 10), 1e10, -1e10), np.linspace(-10, 10, 100)])
    x = x[np.abs(x) < 1e8]
    assert not _outside(elementary.normal(x), [(1 + (arb(float(v)) / arb(2).sqrt()).erf()) / 2 for v in x])
    density = [(-(arb(float(v)) ** 2) / 2).exp() / (2 * arb.pi()).sqrt() for v in x]
    assert not _outside(elementary.normal_density(x), density)


@pytest.mark.parametrize(
    "f", [elementary.exp, elementary.log, elementary.normal, lambda x: elementary.sine_cosine(x)[0]]
)
def test_nan_and_infinity_prove_nothing(f):
    ball = f(np.array([np.nan, np.inf]))
    assert not np.any(ball.rad[0] < np.inf)
    assert not ball.rad[1] < 1e-3 or abs(ball.mid[1] - 1) < 1e-15  # the limit, where there is one


@pytest.mark.parametrize("name", CASES)
def test_taylor_coefficients(name):
    f, series = CASES[name]
    x = _points(4, 0.5, 1.0, 39.99, 40.01, 11.99, 12.01, -30.0)
    x = x[np.abs(x) > 1e-30] if name in (*POSITIVE, "inverse") else x
    x = np.abs(x) if name in POSITIVE else x
    truths = [list(series(arb_series([arb(float(v)), 1], COUNT)).coeffs()) for v in x]
    truths = [row + [arb(0)] * (COUNT - len(row)) for row in truths]
    assert not _outside(f.coefficients(x, COUNT), [row[j] for j in range(COUNT) for row in truths])


@pytest.mark.parametrize("name", CASES)
def test_ranges_hold_every_value_in_between(name):
    f, rng = CASES[name][0], np.random.default_rng(5)
    middle = rng.uniform(-45, 45, 2000) * rng.uniform(0, 1, 2000) ** 3
    middle = np.abs(middle) if name in POSITIVE else middle
    width = 10 ** rng.uniform(-6, 2, 2000)
    low, high = middle - width * rng.random(2000), middle + width * rng.random(2000)
    point = low + (high - low) * rng.random(2000)
    point = np.clip(point, low, high)
    expansion = Expansion(f, point, low, high, COUNT - 2)
    for share in (0, 0.03, 0.2, 0.5, 0.8, 1):
        x = np.clip(low + (high - low) * share, low, high)
        value = f.coefficients(x, COUNT)
        hull = f.hull(low, high, COUNT)
        assert not np.any(np.abs(value.mid - hull.mid) > hull.rad + value.rad)
        for j in range(COUNT - 1):
            over = expansion.over(j)
            assert not np.any(np.abs(value.mid[j] - over.mid) > over.rad + value.rad[j])


@pytest.mark.parametrize("name", ["sigmoid", "silu", "softplus", "Phi", "gelu"])
def test_ranges_from_tables_are_near(name):
    """Over intervals of length 4 the range is at most a few bins wider than the values on a fine grid."""
    f = CASES[name][0]
    low = np.linspace(-9, 5, 100)
    grid = np.linspace(low, low + 4, 2001)
    values, hull = f.coefficients(grid, 6).mid, f.hull(low, low + 4, 6)
    for j in range(1, 6):
        scale = np.abs(values[j]).max()
        assert np.all(hull.rad[j] <= np.ptp(values[j], axis=0) / 2 + 0.06 * scale)


@pytest.mark.parametrize("name", ["sigmoid", "silu", "softplus", "Phi", "gelu"])
def test_every_bin_and_both_tails_hold_the_truth(name):
    """Arb's own ranges over random bins: no extremum between the points at which others look is missed."""
    f, series = CASES[name]
    assert isinstance(f, Table)
    half = f.end / f.bins
    for i in np.random.default_rng(6).integers(0, f.bins, 12):
        middle = -f.end + half * (2 * i + 1)
        hull = f.hull(np.array([middle - 0.99 * half]), np.array([middle + 0.99 * half]), COUNT)
        for t in (-0.9, 0.0, 0.9):
            truth = series(arb_series([arb(middle) + arb(t * half, half / 12), 1], COUNT)).coeffs()
            for j in range(1, COUNT):
                assert not hull.mid[j, 0] - hull.rad[j, 0] > truth[j]
                assert not hull.mid[j, 0] + hull.rad[j, 0] < truth[j]


def test_a_table_with_a_wrong_entry_is_caught():
    """What the tests above would see if an extremum were left out of a bin."""
    f = SiLU()
    f.hull(np.array([0.0]), np.array([1.0]), 4)
    _, highs = f._levels[2]
    size = f.bins + 2
    index = 1 + int((0.0 + f.end) / (2 * f.end) * f.bins)  # φ'' is largest at 0
    for level in range(len(highs) // size):
        highs[level * size + index - (1 << level) + 1 : level * size + index + 1] *= 0.9
        highs[level * size + index - 1 - (1 << level) + 1 : level * size + index] *= 0.9
    value, hull = f.coefficients(np.array([0.0]), 4), f.hull(np.array([-1e-3]), np.array([1e-3]), 4)
    assert np.abs(value.mid[2] - hull.mid[2]) > hull.rad[2] + value.rad[2]


TAILS = [
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    1e-308,
    1e-20,
    8.99,
    9.01,
    11.9,
    12.1,
    38.6,
    39.99,
    40.0,
    40.01,
    100.0,
    709.0,
    745.2,
]
FAR = [1e3, 3e4, 1e5, 1.1e5, 1e10, 1e155, 1e300, 1.7e308]


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives_in_the_tails(name):
    f, series = CASES[name]
    flint.ctx.prec = 3000
    far = [] if name in ("Phi", "gelu", "exp", "sigmoid", "silu", "softplus") else FAR[:5]
    x = np.array([*TAILS, *far, *(() if name in POSITIVE else (-v for v in (*TAILS, *far)))])
    x = x[x != 0] if name in (*POSITIVE, "inverse") else x
    coefficients = f.coefficients(x, COUNT)
    truths = [series(arb_series([arb(float(v)), 1], COUNT)).coeffs() for v in x]
    truths = [[*t, *[arb(0)] * (COUNT - len(t))] for t in truths]
    for j in range(COUNT):
        ball = Ball(coefficients.mid[j], np.where(np.isnan(coefficients.rad[j]), np.inf, coefficients.rad[j]))
        assert not _outside(ball, [t[j] for t in truths])


ENDS = [
    (39, 41),
    (-41, -39),
    (30, 1000),
    (-1e4, 1e4),
    (-1e-300, 1e-300),
    (0.0, 0.0),
    (11, 13),
    (-13, -11),
    (3.0, 3.0),
    (-750, 700),
]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ends", ENDS)
def test_ranges_at_the_end_of_the_tables(name, ends):
    f = CASES[name][0]
    low, high = (np.full(21, float(end)) for end in ends)
    point = np.clip(np.linspace(*ends, 21), low, high)
    expansion = Expansion(f, point[::-1], low, high, 3)
    value, hull = f.coefficients(point, 5), f.hull(low, high, 5)
    known = np.isfinite(value.mid) & np.isfinite(value.rad)
    assert not np.any(known & (np.abs(value.mid - hull.mid) > hull.rad + value.rad))
    for j in range(4):
        over = expansion.over(j)
        assert not np.any(known[j] & (np.abs(value.mid[j] - over.mid) > over.rad + value.rad[j]))
