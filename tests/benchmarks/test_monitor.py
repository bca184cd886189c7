"""Shares of the time of everything else, and one small training with and without a monitor."""

from benchmarks import monitor
from benchmarks.machine import describe


def test_seconds_are_those_of_the_fastest_rounds_and_shares_are_taken_round_by_round():
    more = {"once": 0.04, "measured": 30, "points": 64}
    rounds = [
        {"with": 1.1, "without": 1.0, "monitor": 0.1, **more},
        {"with": 2.2, "without": 2.0, "monitor": 0.1, **more},
        {"with": 4.08, "without": 4.0, "monitor": 0.08, **more},
    ]
    data = {"rows": {"slow": rounds[:1], "all": rounds, "quick": rounds[2:]}, "machine": describe()}
    assert "| all | 1.00 | 1.10 | 10.0% | 4.8% | 2.9% | 0.04 | 30 | 64 |" in monitor.document(data)
    assert monitor.shortfalls(data) == ["slow: 10.0%, promised 5%"]


def test_a_training_is_timed_with_and_without_its_monitor():
    case = monitor.Case("small", "sin(x)*cos(y)", (-1, 1), (4,), samples=500, epochs=2)
    with monitor._quiet():
        found = monitor._one(case)
    assert 0 < found["monitor"] < found["with"] and found["without"] > 0 and found["points"] >= 32
