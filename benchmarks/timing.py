"""Rounds and their medians: only ratios within one round mean anything on a shared machine."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch

MIN_SECONDS = 5e-2
"""A shorter call is repeated within a round until it has taken this long: the first calls of a turn find the caches as
another process has left them, which is not what a loop of calls costs."""

Pair = tuple[float, float]
"""Seconds of a call, and of the plain forward just before it."""


class TookTooLong(Exception):  # noqa: N818  not an error: the table says so
    """A time limit ran out."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop what runs inside after so many seconds, where the operating system can."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise TookTooLong(f"stopped after {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def seconds(run: Callable[[], object], repeats: int = 1) -> float:
    """Seconds of one call, averaged over the repeats.

    On the CPU, the processor time of this process: with one thread it is the wall clock's on a quiet machine, and
    it does not count the time that other programs took on a busy one. On a GPU, the wall clock.
    """
    gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    clock = time.perf_counter if gpu else time.process_time
    synchronize = torch.cuda.synchronize if gpu else _nothing
    synchronize()
    start = clock()
    for _ in range(repeats):
        run()
    synchronize()
    return (clock() - start) / repeats


def summary(pairs: list[Pair]) -> dict[str, float]:
    """Medians over the rounds; the ratio is taken round by round."""
    return {
        "seconds": median(mine for mine, _ in pairs),
        "ratio": median(mine / plain for mine, plain in pairs),
        "rounds": len(pairs),
    }


def stays(rounds: list[Pair], repeats: int, budget: float) -> bool:
    """One more round? The first three go ahead if a single call is within the budget."""
    spent = sum(mine for mine, _ in rounds) * repeats
    return spent < budget or (len(rounds) < 3 and spent < len(rounds) * budget)


def repeats(run: Callable[[], object]) -> int:
    """How often a call is repeated within a round. Warms up, too, unless one call is already slow."""
    once = seconds(run)
    if once > 1:
        return 1
    once = min(once, *(seconds(run) for _ in range(2)))
    return max(1, round(MIN_SECONDS / max(once, 1e-7)))


def _nothing() -> None:
    """There is no queue to wait for."""
