"""Where there are rows: a mark for points outside of them, and probes between them."""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

_ROWS = 512
_FAR = 2.0
"""Times the distance that all but one in a hundred rows have to their nearest neighbour."""
_NEIGHBOURS = 16


@dataclass(frozen=True)
class Domain:
    """The part of the input space that the rows cover.

    Attributes:
        low: the least of each input, less the distance that rows have along it, (inputs,).
        high: likewise the largest.
        scale: standard deviations, (inputs,), by which distances are measured.
        rows: some of the rows, (rows, inputs).
        radius: a point that is farther from all of them lies outside.
        probes: points inside that are no rows, (probes, inputs).
    """

    low: Float64[Tensor, " inputs"]
    high: Float64[Tensor, " inputs"]
    scale: Float64[Tensor, " inputs"]
    rows: Float64[Tensor, "rows inputs"]
    radius: float
    probes: Float64[Tensor, "probes inputs"]

    @classmethod
    def of(cls, x: Float64[Tensor, "rows inputs"], probes: int) -> Self:
        """Of all rows, at least two different ones."""
        generator = torch.Generator().manual_seed(0)
        x = torch.unique(x, dim=0)
        x = x[torch.randperm(len(x), generator=generator)]
        deviation, margin = x.std(0), (x.amax(0) - x.amin(0)) / len(x)
        scale = deviation.where(deviation > 0, torch.ones_like(deviation))
        rows = x[:_ROWS]
        nearest = min(len(rows), 2 + 2 * x.shape[1])
        apart, order = torch.cdist(rows / scale, rows / scale).topk(nearest, largest=False)
        neighbours = order[:probes, 1:]
        chosen = torch.rand(neighbours.shape, generator=generator).argmax(1)
        neighbour = rows[neighbours.gather(1, chosen[:, None])[:, 0]]
        share = torch.rand(len(neighbour), 1, generator=generator, dtype=x.dtype)
        between = rows[:probes] + share * (neighbour - rows[:probes])
        radius = _FAR * float(apart[:, 1].quantile(0.99))
        domain = cls(x.amin(0) - margin, x.amax(0) + margin, scale, rows, radius, between)
        turns = torch.rand(between.shape, generator=generator).argsort(0)
        mixed = between.gather(0, turns)  # as far from the rows as new ones, where the inputs are independent
        return replace(domain, probes=torch.where(domain.outside(mixed)[:, None], between, mixed))

    def outside(self, x: Float64[Tensor, "points inputs"]) -> Bool[Tensor, " points"]:
        """Beyond the range of an input, or far from every row."""
        return (self.remoteness(x) > 1) | ((x < self.low) | (x > self.high)).any(1)

    def remoteness(self, x: Float64[Tensor, "points inputs"]) -> Float64[Tensor, " points"]:
        """The distance to the nearest row, in units of the radius."""
        return torch.cdist(x / self.scale, self.rows / self.scale).amin(1) / self.radius

    def around(
        self, x: Float64[Tensor, "points inputs"], at_probes: Float64[Tensor, "probes *entries"]
    ) -> Float64[Tensor, "points *entries"]:
        """Means of what is known at the probes over those that are nearest."""
        apart = torch.cdist(x / self.scale, self.probes / self.scale)
        near = apart.topk(min(_NEIGHBOURS, len(self.probes)), largest=False).indices
        return at_probes[near].mean(1)

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return dict(self.__dict__)
