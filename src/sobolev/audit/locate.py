"""The first intermediate tensor that misbehaves: its maker is the culprit."""

from collections.abc import Callable, Iterable

from torch import Tensor

from sobolev.audit.probe import Probe
from sobolev.audit.trace import Step

UNKNOWN = "f"


def first(probe: Probe, rows: Iterable[Tensor], misbehaves: Callable[..., bool]) -> Step | None:
    """The first step whose outputs, one for each of the batches `rows`, misbehave together.

    None where no step does, or where the forward takes another course for some of the batches.
    """
    traces = [probe.trace(x) for x in rows]
    for steps in zip(*traces, strict=False):
        if len({step.operation for step in steps}) > 1:
            return None
        if misbehaves(*(step.value for step in steps)):
            return steps[0]
    return None


def name_of(step: Step | None) -> str:
    """Where a step is, or `f` for no step."""
    return step.where if step is not None else UNKNOWN
