"""Errors of derivatives as torchmetrics: sums, never stored samples, reduced over batches and processes."""

from typing import Any

import torch
from jaxtyping import Float, Float64, Int64, Shaped
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
    return derivative_error_of_sums(*derivative_error_sums(predicted, exact, points))


def derivative_error_sums(
    predicted: Float[Tensor, "batch *entries"], exact: Float[Tensor, "..."], points: Float[Tensor, "batch *inputs"]
) -> tuple[Float64[Tensor, ""], Float64[Tensor, ""], Int64[Tensor, ""], Float64[Tensor, "1 columns"]]:
    """Sum of squared errors, sum of squared truths, number of entries, and the worst error with its point."""
    if predicted.shape != exact.shape:
        raise ValueError(f"predicted has shape {tuple(predicted.shape)}, exact has {tuple(exact.shape)}")
    known = ~exact.isnan()
    truth = exact.double().where(known, 0.0)
    error = (predicted.double() - truth).where(known, 0.0)
    count = known.sum()
    if not len(points):
        return error.sum(), truth.sum(), count, _no_worst(points)
    per_sample = error.abs().reshape(len(points), -1).amax(1)
    where = per_sample.nan_to_num(torch.inf).argmax()
    worst = torch.cat([per_sample[where].reshape(1), points[where].double().reshape(-1)])
    return error.square().sum(), truth.square().sum(), count, worst.reshape(1, -1)


def derivative_error_of_sums(
    squared_error: Float64[Tensor, "*many"],
    squared_truth: Float64[Tensor, "*many"],
    count: Int64[Tensor, "*many"],
    worst: Float64[Tensor, "*many candidates columns"],
) -> dict[str, Shaped[Tensor, "..."]]:
    """The errors from sums over all entries, and candidates for the worst: each an error and its point."""
    nothing = torch.where(count == 0, torch.nan, 0.0)
    place = worst[..., 0].nan_to_num(torch.inf).argmax(-1)
    largest = worst.take_along_dim(place[..., None, None], -2)[..., 0, :]
    return {
        "rmse": (squared_error / count).sqrt(),
        "relative_l2": torch.where(squared_error == 0, squared_error, squared_error / squared_truth).sqrt() + nothing,
        "max": largest[..., 0] + nothing,
        "at": largest[..., 1:],
        "count": count,
    }


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
        squared_error, squared_truth, count, worst = derivative_error_sums(predicted, exact, points)
        self.squared_error += squared_error
        self.squared_truth += squared_truth
        self.count += count
        self.worst = _worst_of(torch.stack([self.worst, worst]))

    def compute(self) -> dict[str, Tensor]:
        """Errors over all that was counted; NaN where nothing was."""
        return derivative_error_of_sums(self.squared_error, self.squared_truth, self.count, self.worst)


def _worst_of(candidates: Float64[Tensor, "candidates 1 columns"]) -> Float64[Tensor, "1 columns"]:
    """(candidates, 1, 1 + inputs) to the one with the largest error, (1, 1 + inputs); NaN is the largest of all."""
    return candidates[candidates[:, 0, 0].nan_to_num(torch.inf).argmax()]
