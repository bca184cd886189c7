"""Which method's derivatives agree with finite differences?"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sobolev.audit.agreement import Mismatch, confirmed, mismatch
from sobolev.audit.finding import Method
from sobolev.audit.finite import Estimate
from sobolev.audit.probe import CloseUp, Derivatives, Probe

_SLIGHT = 1e-5
_PLAIN = 1e-2
"""Larger differences need no closer look."""


@dataclass(frozen=True)
class Failure:
    """Why a method cannot be relied on: it raised, or it is off at an order (0: its values)."""

    probe: Probe
    error: Exception | None = None
    order: int = 0
    off: Mismatch | None = None

    @property
    def size(self) -> float:
        """The largest difference, relative."""
        return self.off.largest if self.off is not None else math.inf

    @property
    def slight(self) -> bool:
        """Whether five digits are right: enough for most, yet not what rounding alone makes of a derivative."""
        return self.size < _SLIGHT


def failure_of(probe: Probe, method: str) -> Failure | None:
    """The first order at which a method fails, gravely or else slightly; None where finite differences agree."""
    results: Derivatives | Exception = getattr(probe, method)
    if isinstance(results, Exception):
        return Failure(probe, error=results)
    slight = None
    for order, derivative in enumerate(results):
        off = _off(probe, derivative, order, probe.noises(method)[order])
        failure = Failure(probe, order=order, off=off) if off is not None else None
        if failure is not None and not failure.slight:
            return failure
        slight = slight or failure
    return slight


def _graver(one: Failure | None, other: Failure | None) -> Failure | None:
    """The first, unless the other is larger."""
    return one if other is None or (one is not None and one.size >= other.size) else other


def _off(probe: Probe, derivative: Tensor, order: int, noise: float) -> Mismatch | None:
    values = probe.values(probe.x)
    truth = probe.finite[order - 1] if order else Estimate(values, _rounding(values))
    off = mismatch(derivative, truth, order, probe.size, noise=noise, by_row=probe.by_row)
    if off is None or order == 0:
        return off
    base = 0 if order <= 2 else order - 1
    noises = probe.noises("reverse")[base], noise
    return confirmed(off, derivative, probe.along(base), order, probe.size, noises=noises, by_row=probe.by_row)


def verdict(probe: Probe) -> tuple[Method, dict[str, Failure | None]]:
    """The method to rely on, Taylor mode first, and how each fares; computed once.

    A method that does well on sums of all inputs and outputs is then tried on each of them alone.
    """
    if probe.verdict is None:
        failures = {name: failure_of(probe, name) for name in ("taylor", "reverse")}
        if probe.x[0].numel() * len(probe.output_sizes) > 1:
            close = CloseUp(probe)
            for name, failure in failures.items():
                if failure is None or failure.size < _PLAIN:
                    failures[name] = _graver(failure, failure_of(close, name))
        right = [name for name, failure in failures.items() if failure is None]
        right += [name for name, failure in failures.items() if failure is not None and failure.slight]
        probe.verdict = (right[0] if right else "none"), failures
    return probe.verdict


def _rounding(values: Tensor) -> Tensor:
    return 100 * torch.finfo(values.dtype).eps * values.abs()
