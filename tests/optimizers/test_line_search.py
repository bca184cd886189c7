import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sobolev.optimizers.line_search import Trial, strong_wolfe

NOTHING = torch.zeros(0)


def searched(function, slope, step=1.0):
    """The trial found from 0, and how many it took."""
    tried = []

    def evaluate(t):
        tried.append(t)
        return Trial(t, function(t), slope(t), NOTHING)

    return strong_wolfe(evaluate, Trial(0.0, function(0.0), slope(0.0), NOTHING), step), len(tried)


@given(minimum=st.floats(-6, 6).map(lambda e: 10**e), quartic=st.floats(0, 10), step=st.sampled_from([1e-3, 1, 1e3]))
def test_the_strong_wolfe_conditions_hold(minimum, quartic, step):
    """For a quartic whose one minimum lies anywhere."""

    def function(t):
        u = t / minimum - 1
        return u * u + quartic * u**4

    def slope(t):
        u = t / minimum - 1
        return (2 * u + 4 * quartic * u**3) / minimum

    found, tried = searched(function, slope, step)
    assert found.loss <= function(0) + 1e-4 * found.step * slope(0) + 1e-15
    assert abs(found.slope) <= 0.9 * abs(slope(0)) and tried <= 25


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_wall_is_backed_away_from(bad):
    """-t is finite only up to 1/1000."""
    found, _ = searched(lambda t: -t if t < 1e-3 else bad, lambda t: -1.0 if t < 1e-3 else bad)
    assert 1e-5 < found.step < 1e-3


def test_where_nothing_is_lower_there_is_no_step():
    assert searched(lambda t: t, lambda t: -1.0)[0] is None


def test_a_decrease_that_rounding_hides_is_seen_by_the_slope():
    """1 + 1e-20 (t - 1)² is 1 everywhere in float64."""
    found, tried = searched(lambda t: 1.0, lambda t: 2e-20 * (t - 1), 0.7)
    assert found.step == 0.7 and tried == 1
