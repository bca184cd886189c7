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


@pytest.mark.skipif(not hasattr(timing.signal, "setitimer"), reason="no interval timers on this system")
def test_a_time_limit_stops_what_takes_too_long():
    with pytest.raises(timing.TookTooLong, match=r"0\.05 s"), timing.time_limit(0.05):
        time.sleep(2)
    with timing.time_limit(0.05):
        pass
    time.sleep(0.1)  # the limit is gone
