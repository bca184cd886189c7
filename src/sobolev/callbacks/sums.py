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
        self._rows[name] = row if known is None else _merged([known, row])

    def everywhere(self) -> tuple[dict[str, dict[str, Any]], int]:
        """Errors by name as plain numbers, and the number of points, over all processes, all of which call this.

        What has no entry with a truth is left out.
        """
        rows = torch.stack(list(self._rows.values())).cpu() if self._rows else ()
        parts = gathered((self.samples, list(self._rows), rows))
        found: dict[str, list[Tensor]] = {}
        for _, names, of_one in parts:
            for name, row in zip(names, of_one, strict=True):
                found.setdefault(name, []).append(row)
        return _errors(found), sum(samples for samples, _, _ in parts)


def _merged(rows: list[Tensor]) -> Tensor:
    """One row of several: sums added up, the worst error with its point."""
    if len(rows) == 1:
        return rows[0]
    table = torch.stack(rows)
    return torch.cat([table[:, :3].sum(0), table[table[:, 3].nan_to_num(torch.inf).argmax(), 3:]])


def _errors(found: dict[str, list[Tensor]]) -> dict[str, dict[str, Any]]:
    if not found:
        return {}
    table = torch.stack([_merged(rows) for rows in found.values()])
    squared_error, squared_truth, count = table[:, :3].unbind(1)
    errors = derivative_error_of_sums(squared_error, squared_truth, count.long(), table[:, None, 3:])
    counts = errors.pop("count").tolist()
    columns = {quantity: values.tolist() for quantity, values in errors.items()}
    entries = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return {name: entry for name, entry, count in zip(found, entries, counts, strict=True) if count}
