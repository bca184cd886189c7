"""What the processes that share a readout tell each other."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Int64
from torch import Tensor

Gather = Callable[[Any], list[Any]]
"""Brings an object of every process to every process, in the order of their ranks."""

Result = TypeVar("Result")

_MIX = -7046029254386353131
"""An odd number of 64 bits without a pattern (the golden ratio; Knuth, volume 3, section 6.4)."""


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


def drawn(rows: Sequence[Tensor], most: int, gather: Gather) -> tuple[list[Tensor], list[Tensor]]:
    """So many rows of all processes, the same ones however these share the rows, and in one order.

    Args:
        rows: of this process, tensors (rows, ...) in float64.
        most: how many to draw of all.
        gather: see there.

    Returns:
        Those of this process; those of all.
    """
    keys = _keys(rows)
    first = keys.argsort(stable=True)[:most]
    parts = gather((keys[first], [tensor[first] for tensor in rows]))
    every = torch.cat([own for own, _ in parts])
    order = every.argsort(stable=True)[:most]
    mine = first[keys[first] <= every[order[-1]]]
    columns = zip(*(tensors for _, tensors in parts), strict=True)
    return [tensor[mine] for tensor in rows], [torch.cat(column)[order] for column in columns]


def _keys(rows: Sequence[Tensor]) -> Int64[Tensor, " rows"]:
    """Numbers that look random, from the bits of each row."""
    found = torch.zeros(len(rows[0]), dtype=torch.int64)
    for column in torch.cat([tensor.flatten(1) for tensor in rows], 1).T:
        found = (found ^ column.contiguous().view(torch.int64)) * _MIX
        found = found ^ (found >> 29)
    return found
