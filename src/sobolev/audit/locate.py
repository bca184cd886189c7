"""The first intermediate tensor that misbehaves: its maker is the culprit."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from torch import Tensor

from sobolev.audit.probe import Probe
from sobolev.audit.trace import Step

UNKNOWN = "f"

Found = TypeVar("Found")


def first(probe: Probe, rows: Iterable[Tensor], misbehaves: Callable[..., bool]) -> Step | None:
    """The first step whose outputs, one for each of the batches `rows`, misbehave together.

    None where no step does, or where the forward takes another course for some of the batches.
    """
    return attempt(lambda: _first([probe.trace(x) for x in rows], misbehaves))


def attempt(search: Callable[[], Found | None]) -> Found | None:
    """What a search for the culprit finds; None where it fails, for a finding is worth more than its place."""
    try:
        return search()
    except Exception:  # tensors of any kind may turn up between the operations of somebody's forward
        return None


def _first(traces: list[list[Step]], misbehaves: Callable[..., bool]) -> Step | None:
    for steps in zip(*traces, strict=False):
        if len({step.operation for step in steps}) > 1:
            return None
        if misbehaves(*(step.value for step in steps)):
            return steps[0]
    return None


def name_of(step: Step | None) -> str:
    """Where a step is, or `f` for no step."""
    return step.where if step is not None else UNKNOWN
