"""What the processes that share a readout tell each other."""

from collections.abc import Callable
from typing import Any, TypeVar

Gather = Callable[[Any], list[Any]]
"""Brings an object of every process to every process, in the order of their ranks."""

Result = TypeVar("Result")


def alone(value: Any) -> list[Any]:
    """The `Gather` of a single process."""
    return [value]


def together(gather: Gather, compute: Callable[[], Result]) -> list[Result]:
    """The results of all processes. An error of one is an error of all, so that none waits for ever.

    Args:
        gather: called once by every process, whatever happens.
        compute: this process's part.

    Raises:
        ValueError: it failed in another process; what it raised in this one is raised as it is.
    """
    result, failure = None, None
    try:
        result = compute()
    except Exception as error:
        failure = error
    parts = gather((result, None if failure is None else str(failure)))
    if failure is not None:
        raise failure
    for _, reason in parts:
        if reason is not None:
            raise ValueError(reason)
    return [part for part, _ in parts]
