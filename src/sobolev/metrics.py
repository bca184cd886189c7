"""Errors of derivatives as torchmetrics: sums, never stored samples, reduced over batches and processes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64
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

    Examples:
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> derivative_error(torch.tensor([[2.0], [4.5]]), 2 * x, x)["max"].item()
        0.5
    """
    return next(_errors(sums_of_errors([(predicted, exact)], points)))


class Exact(NamedTuple):
    """Exact tensors of several quantities at the same points, as sums of errors need them.

    Attributes:
        columns: their entries, (batch, entries), float64; 0 where there is none.
        unknown: where there is none, (batch, entries); None where all are known.
        sums: of their squares, and how many there are, (2, entries).
        entries: how many columns each quantity has.
        counts: how many entries of each quantity have a truth.
    """

    columns: Tensor
    unknown: Tensor | None
    sums: Tensor
    entries: list[int]
    counts: list[int]


def as_exact(tensors: Sequence[Tensor]) -> Exact:
    """Of tensors (batch, ...), at least one row, in which NaN marks an entry without a truth."""
    rows = len(tensors[0])
    columns = torch.cat([t.reshape(rows, -1) for t in tensors], 1).double()
    unknown = columns.isnan()
    columns = columns.masked_fill(unknown, 0)
    sums = torch.stack([columns.square().sum(0), rows - unknown.sum(0)])
    entries = [t[0].numel() for t in tensors]
    missing = bool(unknown.any())
    counts = [int(part.sum()) for part in sums[1].split(entries)] if missing else [rows * n for n in entries]
    return Exact(columns, unknown if missing else None, sums, entries, counts)


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


def _errors(rows: Float64[Tensor, "quantities columns"]) -> Iterator[dict[str, Tensor]]:
    """What `derivative_error` returns, of each row of `sums_of_errors`."""
    columns = _columns(rows)
    return (dict(zip(columns, row, strict=True)) for row in zip(*map(torch.unbind, columns.values()), strict=True))


def _columns(rows: Float64[Tensor, "quantities columns"]) -> dict[str, Tensor]:
    """The same of all rows at once, (quantities, ...)."""
    squared_error, squared_truth, count, worst = rows[:, :4].unbind(1)
    relative = torch.where(squared_error == 0, 0.0, squared_error / squared_truth).sqrt()
    nothing = torch.where(count > 0, 0.0, torch.nan)
    return {
        "rmse": (squared_error / count).sqrt(),
        "relative_l2": relative + nothing,
        "max": worst + nothing,
        "at": rows[:, 4:],
        "count": count.long(),
    }


def add_sums(total: dict[str, list[float]], more: Mapping[str, list[float]]) -> None:
    """Add what was counted elsewhere to what was so far: by quantity, rows of `sums_of_errors` as plain numbers."""
    for name, row in more.items():
        known = total.get(name, row)
        worst = row if _size(row[3]) > _size(known[3]) else known
        sums = row[:3] if known is row else [a + b for a, b in zip(known[:3], row[:3], strict=True)]
        total[name] = sums + worst[3:]


def plain_errors(sums: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """By quantity, what `derivative_error` returns as plain numbers, of such rows."""
    if not sums:
        return {}
    columns = {
        key: column.tolist() for key, column in _columns(torch.tensor([*sums.values()], dtype=torch.float64)).items()
    }
    return {name: {key: column[k] for key, column in columns.items()} for k, name in enumerate(sums)}


def _size(worst: float) -> float:
    """Of a worst error; that which is no number is the largest of all."""
    return math.inf if math.isnan(worst) else worst


def _no_worst(points: Tensor) -> Tensor:
    """A worst error that any other exceeds."""
    inputs = points.shape[1:].numel()
    return torch.cat([points.new_full((1, 1), -1.0), points.new_full((1, inputs), torch.nan)], dim=1).double()


class DerivativeErrors(Metric):
    """`derivative_error` of several quantities at the same points, over many batches and processes.

    All orders of a derivative, or single entries of them, are counted in one go. Two processes and one give the same
    numbers: the sums are added up, and the worst of the worst errors wins.

    Args:
        names: of the quantities.
        inputs: number of inputs of each sample.
        **kwargs: those of `torchmetrics.Metric`.

    Examples:
        >>> metric, x = DerivativeErrors(["f", "f'"]), torch.tensor([[1.0], [2.0]])
        >>> metric.update({"f": (x**2, x**2), "f'": (torch.tensor([[2.0], [4.5]]), 2 * x)}, x)
        >>> metric.compute()["f'"]["max"].item()
        0.5
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    sums: Tensor
    worst: Tensor

    def __init__(self, names: Sequence[str], inputs: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = tuple(names)
        self._known_places: dict[tuple[str, ...], Tensor] = {}
        sums, worst = torch.zeros(len(self.names), 3, dtype=torch.float64), _no_worst(torch.empty(0, inputs))
        self.add_state("sums", sums, dist_reduce_fx="sum")
        self.add_state("worst", worst.repeat(len(sums), 1), dist_reduce_fx=_worst_of)

    def update(
        self,
        pairs: Mapping[str, tuple[Tensor, Tensor]],
        points: Float[Tensor, "batch *inputs"],
        exact: Exact | None = None,
    ) -> None:
        """Count one batch.

        Args:
            pairs: what was predicted and what is exact, of some of the quantities or all, by their names; shapes as in
                `derivative_error`.
            points: where, (batch, *in).
            exact: `as_exact` of the exact tensors, if that is known already.
        """
        if not pairs:
            return
        rows = sums_of_errors(list(pairs.values()), points, exact)
        places = self._places(tuple(pairs))
        self.sums = self.sums.index_add(0, places, rows[:, :3])
        worst = _worst_of(torch.stack([self.worst[places], rows[:, 3:]]))
        self.worst = self.worst.index_copy(0, places, worst)

    def compute(self) -> dict[str, dict[str, Tensor]]:
        """By name, the errors over all that was counted, as in `derivative_error`; NaN where nothing was."""
        return dict(zip(self.names, _errors(self._rows()), strict=True))

    def _rows(self) -> Float64[Tensor, "quantities columns"]:
        return torch.cat([self.sums, self.worst], 1)

    def _places(self, names: tuple[str, ...]) -> Tensor:
        """Where quantities stand among all, (names,)."""
        known = self._known_places.get(names)
        if known is None or known.device != self.sums.device:
            known = torch.tensor([self.names.index(name) for name in names], device=self.sums.device)
            self._known_places[names] = known
        return known


class DerivativeError(DerivativeErrors):
    """`derivative_error` of one quantity over many batches and processes.

    Args:
        inputs: number of inputs of each sample.
        **kwargs: those of `torchmetrics.Metric`.

    Examples:
        >>> metric, x = DerivativeError(inputs=1), torch.tensor([[1.0], [2.0]])
        >>> metric.update(torch.tensor([[2.0], [4.5]]), 2 * x, x)
        >>> metric.compute()["at"].item()
        2.0
    """

    def __init__(self, inputs: int = 1, **kwargs: Any) -> None:
        super().__init__(["error"], inputs, **kwargs)

    def update(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        predicted: Float[Tensor, "batch *entries"],
        exact: Float[Tensor, "..."],
        points: Float[Tensor, "batch *inputs"],
    ) -> None:
        """Count one batch; shapes as in `derivative_error`."""
        super().update({"error": (predicted, exact)}, points)

    def compute(self) -> dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Errors over all that was counted; NaN where nothing was."""
        return super().compute()["error"]


def _worst_of(candidates: Float64[Tensor, "candidates quantities columns"]) -> Float64[Tensor, "quantities columns"]:
    """Of each quantity the one with the largest error; NaN is the largest of all."""
    best = candidates[:, :, 0].nan_to_num(torch.inf).argmax(0)
    return candidates[best, torch.arange(candidates.shape[1], device=candidates.device)]
