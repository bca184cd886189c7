"""Sums from which errors of derivatives follow, over batches and over processes."""

import math
from itertools import zip_longest
from typing import Any

from torch import Tensor

from sobolev.callbacks.processes import gathered
from sobolev.metrics import Exact, as_exact, derivative_error_of_sums, sums_of_errors

_REMEMBERED = 1 << 18
"""Of exact tensors with so many entries at most, more is kept than their errors."""


class Sums:
    """The states of `sobolev.metrics.DerivativeError` for several quantities, each under a name of its own.

    Attributes:
        samples: how many points were counted by this process.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._rows: dict[str, list[float]] = {}
        self._known: tuple[list[tuple[Tensor, int]], Exact | None] = ([], None)

    def add(self, pairs: dict[str, tuple[Tensor, Tensor]], points: Tensor) -> dict[str, int]:
        """Count a batch.

        Args:
            pairs: what was predicted and what is exact, by the name of the quantity; shapes as in
                `sobolev.metrics.derivative_error`.
            points: (batch, inputs).

        Returns:
            How many entries of each quantity have a truth.
        """
        if not pairs:
            return {}
        exact = self._exact([truth for _, truth in pairs.values()]) if len(points) else None
        for name, row in zip(pairs, sums_of_errors(list(pairs.values()), points, exact).tolist(), strict=True):
            self._rows[name] = _merged([self._rows[name], row]) if name in self._rows else row
        return {name: int(self._rows[name][2]) for name in pairs}

    def begin(self) -> None:
        """Forget all, but not what is known of the truths, which are the same at every validation."""
        self.samples, self._rows = 0, {}

    def _exact(self, tensors: list[Tensor]) -> Exact:
        """As `as_exact`, not computed again for tensors that are still the same."""
        if any(tensor.is_inference() for tensor in tensors):  # which do not tell whether they have changed
            return as_exact(tensors)
        versions, (known, exact) = [(tensor, tensor._version) for tensor in tensors], self._known
        pairs = list(zip_longest(known, versions, fillvalue=(None, 0)))
        if exact is None or not all(a is b and v == w for (a, v), (b, w) in pairs):
            exact = as_exact(tensors)
            self._known = (versions, exact) if exact.columns.numel() <= _REMEMBERED else ([], None)
        return exact

    def everywhere(self) -> tuple[dict[str, dict[str, Any]], int]:
        """Errors by name as plain numbers, and the number of points, over all processes, all of which call this.

        What has no entry with a truth is left out.
        """
        parts = gathered((self.samples, self._rows))
        found: dict[str, list[list[float]]] = {}
        for name, row in (item for _, rows in parts for item in rows.items()):
            found.setdefault(name, []).append(row)
        errors = {name: derivative_error_of_sums(_merged(rows)) for name, rows in found.items()}
        return {name: error for name, error in errors.items() if error.pop("count")}, sum(count for count, _ in parts)


def _merged(rows: list[list[float]]) -> list[float]:
    """One row of several: sums added up, the worst error, which NaN is, with its point."""
    worst = max((row[3:] for row in rows), key=lambda worst: math.inf if math.isnan(worst[0]) else worst[0])
    return [*(sum(column) for column in zip(*(row[:3] for row in rows), strict=True)), *worst]
