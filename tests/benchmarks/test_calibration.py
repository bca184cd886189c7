"""What the table of estimates says of rows that were made up."""

from benchmarks import calibration
from benchmarks.machine import describe


def row(noise=0.0, network="evidence", rows=100, **order):
    found = {"ratio": 1.0, "coverage": 0.9, "actual": 0.01, "estimated": 0.01, "outside": True, **order}
    return {"function": "f", "rows": rows, "noise": noise, "network": network, "seed": 1, "orders": [found] * 3}


def test_promises_that_are_kept_and_broken():
    good = [row(), row(noise=0.1, actual=0.8, estimated=0.6)]
    assert calibration.shortfalls({"rows": good}) == []
    bad = [row(ratio=3.0), row(ratio=0.2, noise=0.1, actual=0.8, estimated=0.16), row(coverage=0.5, estimated=0.4)]
    said = "\n".join(calibration.shortfalls({"rows": bad}))
    for part in ("within 2 33%", "within 4 67%", "flagged 0%", "false alarms 50%", "no noise: coverage 70%"):
        assert part in said


def test_the_order_is_the_same_every_time_and_its_start_holds_all_kinds():
    cases = calibration.cases(quick=False)
    assert cases == calibration.cases(quick=False) and len(set(cases)) == len(cases)
    start = cases[:100]
    assert sum(case.rows == 3000 for case in start) == 10
    assert {case.rows for case in start} == {100, 300, 3000}
    assert {case.network for case in start} == {calibration.EVIDENCE, *calibration.HIDDEN}
    assert {case.seed for case in start} == {*calibration.SEEDS}


def test_every_group_has_a_line_for_every_order():
    text = calibration.document({"machine": describe(), "rows": [row(), row(noise=0.1, network="wide", ratio=3.0)]})
    for line in ("| all | 2 | 50% | 100% | 2.00 | 90% | – | 0% | 100% |", "| evidence network | 0 | 100% |"):
        assert line in text
    assert "default network" not in text
