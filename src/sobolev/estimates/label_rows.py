"""Labels of values and derivatives as the rows of one linear problem, in units of one noise."""

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sobolev.surrogates.labels import Labels

_ROUNDING = 8 * torch.finfo(torch.float64).eps


class LabelRows(NamedTuple):
    """One label a row, values first.

    Attributes:
        x: where each is, (rows, inputs).
        by: the inputs each is differentiated by, (rows, 2); -1: none.
        y: (rows, outputs).
        weights: the noise of the values in units of that of each row, (rows,).
        points: the number of each one's place, (rows,).
    """

    x: Float64[Tensor, "rows inputs"]
    by: Int64[Tensor, "rows 2"]
    y: Float64[Tensor, "rows outputs"]
    weights: Float64[Tensor, " rows"]
    points: Int64[Tensor, " rows"]

    @classmethod
    def of(cls, labels: Labels, derivatives: Callable[[Tensor, int], list[Tensor]]) -> Self:
        """What is known of all outputs; how noisy derivatives are, their residuals tell.

        Args:
            labels: standardised.
            derivatives: of what was learnt from them, up to an order.
        """
        columns = list(labels.columns())
        by = torch.tensor([by for by, _ in columns]).repeat_interleave(len(labels), 0)
        x, y = labels.x.repeat(len(columns), 1), torch.cat([values for _, values in columns])
        known = y.isfinite().all(1)
        weights = torch.ones_like(y[:, 0])
        if len(labels.tensors) > 1:
            found = Labels(labels.x, tuple(derivatives(labels.x, len(labels.tensors) - 1)))
            weights = _weights(y - torch.cat([values for _, values in found.columns()]), (by >= 0).sum(1), y)
        points = torch.arange(len(labels)).repeat(len(columns))
        return cls(*(t[known.to(t.device)] for t in (x, by.to(x.device), y.cpu(), weights.cpu(), points)))

    @property
    def plain(self) -> bool:
        """Whether all are values."""
        return not bool((self.by >= 0).any())

    def first(self, most: int) -> Self:
        """All labels of so many places that there are at most so many labels, but of two places at least."""
        places = max(2, int((self.points.bincount().cumsum(0) <= most).sum()))
        kept = self.points < places
        return type(self)(*(t[kept.to(t.device)] for t in self))


def _weights(residuals: Tensor, order: Tensor, y: Tensor) -> Tensor:
    """Of the orders, by their mean squares."""
    found = torch.ones_like(residuals[:, 0])
    sizes = []
    for k in range(int(order.max()) + 1):
        rows = (order == k).to(y.device)
        size, own = (t[rows].square().nanmean().sqrt() for t in (residuals, y))
        sizes.append(torch.maximum(size, _ROUNDING * own).nan_to_num(1.0))
        found[rows] = sizes[0] / sizes[k]
    return found
