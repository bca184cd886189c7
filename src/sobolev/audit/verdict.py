"""Which method's derivatives agree with finite differences?"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sobolev.audit.agreement import Mismatch, confirmed, mismatch
from sobolev.audit.finding import Method
from sobolev.audit.finite import Estimate
from sobolev.audit.probe import Derivatives, Probe
from sobolev.audit.single_entries import SingleEntries

_SLIGHT = 1e-5
_BY_SOLVERS, _MAGNIFIED = 1e-2, 1e4
"""What a solver makes of the values by its choice of steps, relative, may be so many times more of derivatives."""
_PLAIN = 1e-2
"""Larger differences need no closer look."""


@dataclass(frozen=True)
class Failure:
    """Why a method cannot be relied on: it raised, or it is off at an order (0: its values).

    `size` is the largest relative difference at any order.
    """

    probe: Probe
    error: Exception | None = None
    order: int = 0
    off: Mismatch | None = None
    size: float = math.inf

    @property
    def slight(self) -> bool:
        """Whether five digits are right: enough for most, yet not what rounding alone makes of a derivative.

        Or fewer, of a solver whose steps depend on x, which backward passes take for constants.
        """
        return self.size < max(_SLIGHT, min(_BY_SOLVERS, _MAGNIFIED * self.probe.jitter))


def failure_of(probe: Probe, method: str) -> Failure | None:
    """The first order at which a method fails, where the cause is to be seen; None where finite differences agree."""
    results: Derivatives | Exception = getattr(probe, method)
    if isinstance(results, Exception):
        return Failure(probe, error=results)
    found = [_off(probe, method, derivative, order) for order, derivative in enumerate(results)]
    order = next((order for order, off in enumerate(found) if off is not None), None)
    if order is None:
        return None
    return Failure(probe, order=order, off=found[order], size=max(off.largest for off in found if off is not None))


def _graver(one: Failure | None, other: Failure | None) -> Failure | None:
    """The first, unless the other is larger."""
    return one if other is None or (one is not None and one.size >= other.size) else other


def _off(probe: Probe, method: str, derivative: Tensor, order: int) -> Mismatch | None:
    values = probe.values_here
    truth = probe.finite[order - 1] if order else Estimate(values, _rounding(values))
    if mismatch(derivative, truth, order, probe.size, by_row=probe.by_row) is None:
        return None  # however much of it rounding explains, which takes time to find out
    noise = probe.noises(method)[order]
    off = mismatch(derivative, truth, order, probe.size, noise=noise, by_row=probe.by_row)
    if off is not None and order == 0:  # what rounding explains is no other course of the forward
        shaken = truth._replace(error=truth.error + 10 * probe.shaken.max())
        return mismatch(derivative, shaken, order, probe.size, noise=noise, by_row=probe.by_row)
    if off is None:
        return off
    base = 0 if order <= 2 else order - 1
    noises = probe.noises("reverse")[base], noise
    return confirmed(off, derivative, probe.along(base), order, probe.size, noises=noises, by_row=probe.by_row)


def verdict(probe: Probe) -> tuple[Method, dict[Method, Failure | None]]:
    """The method to rely on, Taylor mode first, and how each fares; computed once."""
    return probe.once(_verdict)


def _verdict(probe: Probe) -> tuple[Method, dict[Method, Failure | None]]:
    failures = _failures(probe)
    right: list[Method] = [name for name, failure in failures.items() if failure is None]
    slight: list[Method] = [name for name, failure in failures.items() if failure is not None and failure.slight]
    return right[0] if right else slight[0] if slight else "none", failures


def _failures(probe: Probe) -> dict[Method, Failure | None]:
    """How each method fares; one that does well on sums of all inputs and outputs is then tried on each alone."""
    failures: dict[Method, Failure | None] = {method: failure_of(probe, method) for method in ("taylor", "reverse")}
    if probe.x[0].numel() * len(probe.output_sizes) > 1:
        close = SingleEntries(probe)
        for method, failure in failures.items():
            if failure is None or failure.size < _PLAIN:
                failures[method] = _graver(failure, failure_of(close, method))
    return failures


def _rounding(values: Tensor) -> Tensor:
    return 100 * torch.finfo(values.dtype).eps * values.abs()
