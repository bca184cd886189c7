"""Errors of derivatives as torchmetrics: sums, never stored samples, reduced over batches and processes."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor
from torchmetrics import Metric


def derivative_error(
    predicted: Float[Tensor, "batch *entries"], exact: Float[Tensor, "..."], points: Float[Tensor, "batch *inputs"]
) -> dict[str, Float64[Tensor, "..."]]:
    r"""Errors of one order of derivatives over a set of points.

    .. math:: \text{rmse} = \sqrt{\tfrac1N \sum (\hat d - d)^2}, \quad
              \text{relative\_l2} = \text{rmse} / \sqrt{\tfrac1N \sum d^2}

    Args:
        predicted: derivatives, (batch, ...), in any unit.
        exact: the truth, same shape and unit; NaN marks an entry without a truth, which does not count.
        points: where, (batch, *in).

    Returns:
        `rmse`, `relative_l2`, `max` (the largest absolute error), `at`, the point (inputs,) it occurs at, and
        `count`, how many entries have a truth; without any, the errors are NaN. A truth that is 0 everywhere has an
        infinite relative error, or 0 where the prediction is 0 as well.

    Example:
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> derivative_error(torch.tensor([[2.0], [4.5]]), 2 * x, x)["max"].item()
        0.5
    """
    return _as_tensors(sums_of_errors([(predicted, exact)], points)[0])


class Exact(NamedTuple):
    """Exact tensors of several quantities at the same points, as sums of errors need them.

    Attributes:
        columns: their entries, (batch, entries), float64; 0 where there is none.
        unknown: where there is none, (batch, entries); None where all are known.
        sums: of their squares, and how many there are, (2, entries).
        entries: how many columns each quantity has.
    """

    columns: Tensor
    unknown: Tensor | None
    sums: Tensor
    entries: list[int]


def as_exact(tensors: Sequence[Tensor]) -> Exact:
    """Of tensors (batch, ...), at least one row, in which NaN marks an entry without a truth."""
    rows = len(tensors[0])
    columns = torch.cat([t.reshape(rows, -1) for t in tensors], 1).double()
    unknown = columns.isnan()
    columns = columns.masked_fill(unknown, 0)
    sums = torch.stack([columns.square().sum(0), rows - unknown.sum(0)])
    return Exact(columns, unknown if unknown.any() else None, sums, [t[0].numel() for t in tensors])


def sums_of_errors(
    pairs: Sequence[tuple[Tensor, Tensor]], points: Float[Tensor, "batch *inputs"], exact: Exact | None = None
) -> Float64[Tensor, "pairs columns"]:
    """A row for each pair of predicted and exact tensors at the same points, shapes as in `derivative_error`.

    Its columns: sum of squared errors, sum of squared truths, number of entries, the worst error and its point.
    `exact` is `as_exact` of the exact tensors, if it is known already.
    """
    for predicted, truth in pairs:
        if predicted.shape != truth.shape:
            raise ValueError(f"predicted has shape {tuple(predicted.shape)}, exact has {tuple(truth.shape)}")
    rows = len(points)
    if not rows:
        return torch.cat([points.new_zeros(1, 3).double(), _no_worst(points)], 1).repeat(len(pairs), 1)
    exact = exact or as_exact([truth for _, truth in pairs])
    errors = torch.cat([predicted.reshape(rows, -1) for predicted, _ in pairs], 1) - exact.columns
    if exact.unknown is not None:
        errors = errors.masked_fill(exact.unknown, 0)
    sums, largest = torch.cat([errors.square().sum(0, keepdim=True), exact.sums]).T, errors.abs()
    if len(exact.entries) < len(sums):
        sums = torch.stack([part.sum(0) for part in sums.split(exact.entries)])
        largest = torch.stack([part.amax(1) for part in largest.split(exact.entries, 1)], 1)
    worst, where = largest.max(0)
    return torch.cat([sums, worst[:, None], points.reshape(rows, -1)[where].double()], 1)


def derivative_error_of_sums(row: Sequence[float]) -> dict[str, Any]:
    """`rmse`, `relative_l2`, `max`, `at` and `count` as in `derivative_error`, from a row of `sums_of_errors`."""
    squared_error, squared_truth, count, worst, *at = row
    if not count:
        return {**dict.fromkeys(("rmse", "relative_l2", "max"), math.nan), "at": at, "count": 0}
    relative = squared_error and (squared_error / squared_truth if squared_truth else squared_error * math.inf)
    rmse, relative_l2 = math.sqrt(squared_error / count), math.sqrt(relative)
    return {"rmse": rmse, "relative_l2": relative_l2, "max": worst, "at": at, "count": int(count)}


def _as_tensors(row: Tensor) -> dict[str, Shaped[Tensor, "..."]]:
    errors = derivative_error_of_sums(row.tolist())
    count = torch.tensor(errors.pop("count"), device=row.device)
    return {name: row.new_tensor(value) for name, value in errors.items()} | {"count": count}


def _no_worst(points: Tensor) -> Tensor:
    """A worst error that any other exceeds."""
    inputs = points.shape[1:].numel()
    return torch.cat([points.new_full((1, 1), -1.0), points.new_full((1, inputs), torch.nan)], dim=1).double()


class DerivativeError(Metric):
    """`derivative_error` over many batches and processes.

    Two processes and one give the same numbers: the sums are added up, and the worst of the worst errors wins.

    Args:
        inputs: number of inputs of each sample.
        **kwargs: those of `torchmetrics.Metric`.

    Example:
        >>> metric, x = DerivativeError(inputs=1), torch.tensor([[1.0], [2.0]])
        >>> metric.update(torch.tensor([[2.0], [4.5]]), 2 * x, x)
        >>> metric.compute()["at"].item()
        2.0
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    squared_error: Tensor
    squared_truth: Tensor
    count: Tensor
    worst: Tensor

    def __init__(self, inputs: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        zero = torch.zeros((), dtype=torch.float64)
        self.add_state("squared_error", zero, dist_reduce_fx="sum")
        self.add_state("squared_truth", zero.clone(), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("worst", _no_worst(torch.empty(0, inputs)), dist_reduce_fx=_worst_of)

    def update(
        self,
        predicted: Float[Tensor, "batch *entries"],
        exact: Float[Tensor, "..."],
        points: Float[Tensor, "batch *inputs"],
    ) -> None:
        """Count one batch; shapes as in `derivative_error`."""
        row = sums_of_errors([(predicted, exact)], points)[0]
        self.squared_error += row[0]
        self.squared_truth += row[1]
        self.count += row[2].long()
        self.worst = _worst_of(torch.stack([self.worst, row[None, 3:]]))

    def compute(self) -> dict[str, Tensor]:
        """Errors over all that was counted; NaN where nothing was."""
        return _as_tensors(torch.stack([self.squared_error, self.squared_truth, self.count.double(), *self.worst[0]]))


def _worst_of(candidates: Float64[Tensor, "candidates 1 columns"]) -> Float64[Tensor, "1 columns"]:
    """(candidates, 1, 1 + inputs) to the one with the largest error, (1, 1 + inputs); NaN is the largest of all."""
    return candidates[candidates[:, 0, 0].nan_to_num(torch.inf).argmax()]
