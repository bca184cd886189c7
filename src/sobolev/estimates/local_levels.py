"""By how much a posterior's variances are too small, from place to place, as rows show that are left out in turn.

A process is everywhere as rough as its evidence finds it on the whole. Many functions are smooth in most of a box and
steep in a corner, where each row then lies farther from what all others say of it than elsewhere. Whether a point's
neighbours tell how wrong the variance is there, and how many, or all rows alike, is what predicts the rows that are
left out best (Geisser & Eddy, A predictive approach to model selection, 1979).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.estimates.weighing import log_density

_FEWEST = 8
"""Neighbours that tell of a place."""
_DOUBT = 2.0
"""Rows that must say that a variance is too small before half of that is believed."""
_TELLS = 2.0
"""Logarithm of the probability of rows left out that places must add, to be told apart."""


class LeftOut(NamedTuple):
    """What rows are missed by if they are left out, all else given.

    Attributes:
        squares: of the residuals, (rows, outputs).
        variances: expected squares but for the noise, (rows, outputs).
    """

    squares: Float64[Tensor, "rows outputs"]
    variances: Float64[Tensor, "rows outputs"]


@dataclass(frozen=True)
class LocalLevels:
    """Factors that variances are to be multiplied by at least: lengths and noise have seen the rows that are left out.

    Attributes:
        x: rows, (rows, inputs).
        ratios: the factor that each shows, (rows, outputs).
        weights: how much each tells of it beside its noise, (rows, outputs).
        neighbours: that tell of a place, for each output; 0: all rows tell the same everywhere.
    """

    x: Float64[Tensor, "rows inputs"]
    ratios: Float64[Tensor, "rows outputs"]
    weights: Float64[Tensor, "rows outputs"]
    neighbours: list[int]

    @classmethod
    def fit(cls, x: Float64[Tensor, "rows inputs"], left_out: LeftOut, noise: Float64[Tensor, " outputs"]) -> Self:
        """As rows left out in turn show.

        Args:
            x: standardised rows.
            left_out: see there.
            noise: variances of the labels' noise.
        """
        tiny = torch.finfo(x.dtype).tiny
        squares, variances = left_out.squares, left_out.variances.clamp_min(tiny)
        ratios, weights = (squares - noise) / variances, (variances / (variances + noise)).square()
        if x.shape[1] == 1:  # left out, an end row is extrapolated, which says nothing of what lies between rows
            weights[[int(x.argmin()), int(x.argmax())]] = 0.0
        nearest = torch.cdist(x, x).fill_diagonal_(torch.inf).argsort(dim=1, stable=True)[:, :-1]
        counts, k = [0], _FEWEST
        while 2 * k <= len(x):
            counts, k = [*counts, k], 2 * k
        neighbours = []
        for o in range(len(noise)):
            told = []
            for count in counts:
                levels = _means(ratios[:, o], weights[:, o], nearest[:, :count] if count else nearest, doubt=1.0)
                expected = (levels * variances[:, o] + noise[o]).clamp_min(tiny)
                told.append(float(log_density(squares[:, o], expected).sum()))
            best = max(range(len(told)), key=lambda i: told[i])
            neighbours.append(counts[best] if told[best] > told[0] + _TELLS else 0)
        return cls(x, ratios, weights, neighbours)

    def at(self, x: Float64[Tensor, "points inputs"]) -> Float64[Tensor, "points outputs"]:
        """By which variances at points are to be multiplied at least; 0 where the rows tell nothing."""
        everywhere = torch.arange(len(self.x)).expand(1, -1)
        most = max(self.neighbours)
        nearest = torch.cdist(x, self.x).topk(most, largest=False).indices if most else everywhere
        found = []
        for o, count in enumerate(self.neighbours):
            rows = nearest[:, :count] if count else everywhere
            levels = _means(self.ratios[:, o], self.weights[:, o], rows, of_doubt=0.0, doubt=_DOUBT)
            found.append(levels.expand(len(x)))
        return torch.stack(found, 1)

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return dict(self.__dict__)


def _means(
    ratios: Float64[Tensor, " rows"], weights: Float64[Tensor, " rows"], chosen: Tensor, *, doubt: float,
    of_doubt: float = 1.0,
) -> Float64[Tensor, " points"]:  # fmt: skip
    """Of the rows that are chosen for each point, (points, chosen), beside as many of another opinion; none below 0."""
    total = doubt * of_doubt + (weights * ratios)[chosen].sum(1)
    return (total / (doubt + weights[chosen].sum(1))).clamp_min(0)
