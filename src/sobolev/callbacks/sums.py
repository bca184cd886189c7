"""Sums from which errors of derivatives follow, over batches and over processes."""

from typing import Any

import torch
from torch import Tensor

from sobolev.callbacks.processes import gathered
from sobolev.metrics import derivative_error_of_sums, derivative_error_sums


class Sums:
    """The states of `sobolev.metrics.DerivativeError` for several quantities, each under a name of its own.

    Attributes:
        samples: how many points were counted by this process.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._rows: dict[str, Tensor] = {}

    def add(self, name: str, predicted: Tensor, exact: Tensor, points: Tensor) -> None:
        """Count a batch of one quantity; shapes as in `sobolev.metrics.derivative_error`, points (batch, inputs)."""
        squared_error, squared_truth, count, worst = derivative_error_sums(predicted, exact, points)
        row = torch.cat([torch.stack([squared_error, squared_truth, count.double()]), worst[0]])
        known = self._rows.get(name)
        self._rows[name] = row if known is None else _merged(torch.stack([known, row]))

    def everywhere(self) -> tuple[dict[str, dict[str, Any]], int]:
        """Errors by name as plain numbers, and the number of points, over all processes, all of which call this.

        What has no entry with a truth is left out.
        """
        rows = torch.stack(list(self._rows.values())).cpu() if self._rows else None
        parts = gathered((self.samples, list(self._rows), rows))
        found: dict[str, list[Tensor]] = {}
        for _, names, part in parts:
            for name, row in zip(names, () if part is None else part, strict=True):
                found.setdefault(name, []).append(row)
        errors = {name: _errors(torch.stack(rows)) for name, rows in found.items()}
        return {name: values for name, values in errors.items() if values.pop("count")}, sum(n for n, _, _ in parts)


def _merged(rows: Tensor) -> Tensor:
    """(parts, numbers) to one row: sums added up, the worst error with its point."""
    return torch.cat([rows[:, :3].sum(0), rows[rows[:, 3].nan_to_num(torch.inf).argmax(), 3:]])


def _errors(rows: Tensor) -> dict[str, Any]:
    squared_error, squared_truth, count = rows[:, :3].sum(0)
    errors = derivative_error_of_sums(squared_error, squared_truth, count.long(), rows[:, 3:])
    return {name: value.tolist() for name, value in errors.items()}
