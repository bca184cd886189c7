"""Which method's derivatives agree with finite differences?"""

from dataclasses import dataclass

from sobolev.audit.agreement import Mismatch, confirmed, mismatch
from sobolev.audit.finding import Method
from sobolev.audit.probe import Derivatives, Probe


@dataclass(frozen=True)
class Failure:
    """Why a method cannot be relied on: it raised, or it is off at an order (0: its values)."""

    error: Exception | None = None
    order: int = 0
    off: Mismatch | None = None


def failure_of(probe: Probe, results: Derivatives | Exception) -> Failure | None:
    """The first order at which a method fails; None where it agrees with finite differences throughout."""
    if isinstance(results, Exception):
        return Failure(error=results)
    for order, truth in enumerate(probe.finite, 1):
        off = mismatch(results[order], truth, order, probe.size)
        along = probe.along(0 if order <= 2 else order - 1)
        if off is not None and confirmed(off, results[order], along, order, probe.size):
            return Failure(order=order, off=off)
    return None


def verdict(probe: Probe) -> tuple[Method, dict[str, Failure | None]]:
    """The method to rely on, Taylor mode first, and how each fares."""
    failures = {"taylor": failure_of(probe, probe.taylor), "reverse": failure_of(probe, probe.reverse)}
    right = [name for name, failure in failures.items() if failure is None]
    return (right[0] if right else "none"), failures  # pyright: ignore[reportReturnType]
