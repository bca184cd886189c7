"""Which method's derivatives agree with finite differences?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sobolev.audit.agreement import Mismatch, confirmed, mismatch
from sobolev.audit.finding import Method
from sobolev.audit.finite import Estimate
from sobolev.audit.probe import CloseUp, Derivatives, Probe


@dataclass(frozen=True)
class Failure:
    """Why a method cannot be relied on: it raised, or it is off at an order (0: its values)."""

    probe: Probe
    error: Exception | None = None
    order: int = 0
    off: Mismatch | None = None


def failure_of(probe: Probe, results: Derivatives | Exception) -> Failure | None:
    """The first order at which a method fails; None where it agrees with finite differences throughout."""
    if isinstance(results, Exception):
        return Failure(probe, error=results)
    for order, truth in enumerate([Estimate(values := probe.values(probe.x), _rounding(values)), *probe.finite]):
        off = mismatch(results[order], truth, order, probe.size, by_row=probe.by_row)
        along = probe.along(0 if order <= 2 else order - 1)
        if off is not None and order > 0:
            off = confirmed(off, results[order], along, order, probe.size, by_row=probe.by_row)
        if off is not None:
            return Failure(probe, order=order, off=off)
    return None


def verdict(probe: Probe) -> tuple[Method, dict[str, Failure | None]]:
    """The method to rely on, Taylor mode first, and how each fares; computed once.

    A method that does well on sums of all inputs and outputs is then tried on each of them alone.
    """
    if probe.verdict is None:
        failures = {"taylor": failure_of(probe, probe.taylor), "reverse": failure_of(probe, probe.reverse)}
        if probe.x[0].numel() * len(probe.output_sizes) > 1 and not all(failures.values()):
            close = CloseUp(probe)
            for name, failure in failures.items():
                failures[name] = failure or failure_of(close, getattr(close, name))
        right = [name for name, failure in failures.items() if failure is None]
        probe.verdict = (right[0] if right else "none"), failures
    return probe.verdict


def _rounding(values: Tensor) -> Tensor:
    return 100 * torch.finfo(values.dtype).eps * values.abs()
