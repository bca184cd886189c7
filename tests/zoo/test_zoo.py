"""Every kind of model and mode: the right number, or the finding that names what is wrong."""

import pytest

from zoo import (
    architectures,
    backwards,
    corners,
    customs,
    modes,
    numbers,
    oddities,
    published,
    settings,
    smooth,
    strangers,
    traps,
)
from zoo.case import run

TABLES = (
    smooth, architectures, published, traps, customs, backwards, oddities, modes, settings, corners, numbers, strangers,
)  # fmt: skip
CASES = [case for table in TABLES for case in table.CASES]


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # reentrant checkpoints
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_right_or_found(case, record_property):
    outcome = run(case)
    record_property("zoo", outcome.score)
    assert outcome.score in ("right", "found"), outcome.detail
    if case.expected is None:
        assert outcome.score == "right", outcome.detail
        assert not outcome.kinds, outcome.detail
    else:
        assert case.expected in outcome.kinds, outcome.detail


def test_many_kinds():
    assert len({case.name for case in CASES}) == len(CASES) >= 120
