import dataclasses
import json

import pytest

from sobolev.audit import Audit, Finding
from sobolev.audit.finding import by_severity

NOTE, ERROR = Finding("dtype", "note", "f", "few digits"), Finding("detached", "error", "net.1 (Linear)", "word " * 40)


def test_trustworthy_without_errors():
    assert Audit((NOTE,), "taylor", 64, 2).trustworthy
    assert not Audit((NOTE, ERROR), "none", 64, 2).trustworthy


def test_gravest_first():
    assert by_severity([NOTE, ERROR]) == (ERROR, NOTE)


def test_reads_as_a_table_that_fits_a_log():
    text = str(Audit((ERROR, NOTE), "none", 64, 2))
    assert "CANNOT be trusted" in text and "another" not in text
    assert "net.1 (Linear)" in text
    assert max(map(len, text.splitlines())) <= 120
    assert "can be trusted (64 points, taylor; off finite differences by d1 1e-08, d2 2e-06)" in str(
        Audit((), "taylor", 64, 2, (1e-8, 2e-6))
    )
    assert "DerivativeEstimate" in str(Audit((NOTE,), "taylor", 64, 2))  # right, and yet perhaps far from the function


def test_plain_types():
    plain = json.loads(json.dumps(Audit((ERROR,), "none", 64, 2).to_dict()))
    assert plain["audit"] == [dataclasses.asdict(ERROR)]
    assert plain["trustworthy"] is False


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        NOTE.kind = "x"
