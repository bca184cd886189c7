"""Rounds, medians and limits, on runs whose cost is known."""

import time

import pytest
from benchmarks import timing


def test_the_ratio_is_taken_round_by_round():
    # The machine is ten times as slow in the second round: the ratio of that round is 3 all the same.
    assert timing.summary([(3.0, 1.0), (30.0, 10.0), (4.0, 1.0)]) == {"seconds": 4.0, "ratio": 3.0, "rounds": 3}


def work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_what_other_programs_take_is_not_counted():
    assert timing.seconds(lambda: time.sleep(0.2)) < 0.1
    assert timing.seconds(lambda: work(0.02), repeats=3) == pytest.approx(0.02, rel=0.2)


def test_the_baseline_runs_before_each_and_the_budget_ends_the_rounds(monkeypatch):
    monkeypatch.setattr(timing, "MIN_SECONDS", 1e-3)  # no call here is repeated within a round
    calls = []

    def run(name: str, seconds: float):
        def call():
            calls.append(name)
            work(seconds)

        return call

    rounds = timing.interleaved(
        run("plain", 0.003), {"a": run("a", 0.003), "slow": run("slow", 0.03)}, budget=0.05, most=6
    )
    assert (len(rounds["a"]), len(rounds["slow"])) == (6, 3)
    assert min(seconds for seconds, _ in rounds["slow"]) >= 0.03
    assert all(calls[i - 1] == "plain" for i, name in enumerate(calls[9:], 9) if name != "plain")


def test_a_call_beyond_the_budget_is_timed_once():
    rounds = timing.interleaved(lambda: work(0.001), {"slow": lambda: work(0.05)}, budget=0.02)
    assert len(rounds["slow"]) == 1


@pytest.mark.skipif(not hasattr(timing.signal, "setitimer"), reason="no interval timers on this system")
def test_a_time_limit_stops_what_takes_too_long():
    with pytest.raises(timing.TookTooLong, match=r"0\.05 s"), timing.time_limit(0.05):
        time.sleep(2)
    with timing.time_limit(0.05):
        pass
    time.sleep(0.1)  # the limit is gone
