"""Which ridge strength, if any: proposed by the training rows, accepted only by rows that were held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.least_squares import RidgePath
from sobolev.readout.equations import Equations

STRENGTHS = torch.cat([torch.logspace(1, -16, 69, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)])
"""From nothing but the bias to plain least squares, four to a factor of ten."""

_SIGNIFICANT = 1.645
"""A difference of so many standard errors happens by chance once in twenty times."""


@dataclass
class HeldOut:
    """Squared errors of all candidates on held-out rows, summed, and of differences that decide between two.

    Args:
        weights: the candidates, (candidates, unknowns, outputs); the last is the network as it came in.
        proposed: the index of the one the training data propose, for each output.
        units: what an error in units of the layer is in standard deviations of the labels, (outputs,).
    """

    weights: Float64[Tensor, "candidates unknowns outputs"]
    proposed: Tensor
    units: Float64[Tensor, " outputs"]
    sums: Tensor | float = 0.0
    differences: Tensor | float = 0.0
    squares: Tensor | float = 0.0
    samples: Tensor | float = 0.0

    def add(self, new: Equations) -> None:
        """Count the rows of a batch."""
        predicted = torch.einsum("ru,cuo->cro", new.features, self.weights)
        errors = ((predicted - new.targets) * self.units).square()
        known = new.targets.isfinite()
        errors = errors.where(known, torch.zeros_like(errors))
        count = len(new.orders)
        samples = errors.unflatten(1, (count, new.samples)).sum(1)
        references = torch.stack([samples[self.proposed, :, torch.arange(len(self.units))].T, samples[-1]])
        apart = samples[None] - references[:, None]
        by_order = torch.stack(
            [
                errors.unflatten(1, (count, new.samples))[:, [o == k for o in new.orders]].sum((1, 2))
                for k in range(max(new.orders) + 1)
            ]
        )
        self._add(by_order, apart.sum(2), apart.square().sum(2), known.unflatten(0, (count, new.samples)).any(0).sum(0))

    def _add(self, sums: Tensor, differences: Tensor, squares: Tensor, samples: Tensor) -> None:
        self.sums = self.sums + sums
        self.differences = self.differences + differences
        self.squares = self.squares + squares
        self.samples = self.samples + samples

    def join(self, others: Sequence["HeldOut"]) -> "HeldOut":
        """Those of all processes."""
        joined = HeldOut(self.weights, self.proposed, self.units)
        for other in others:
            if isinstance(other.sums, Tensor):
                joined.sums = joined.sums + other.sums
                joined.differences = joined.differences + other.differences
                joined.squares = joined.squares + other.squares
                joined.samples = joined.samples + other.samples
        return joined

    def choose(self) -> list[int]:
        """For each output the candidate to take; the last, which came in, unless another is better beyond chance."""
        if not isinstance(self.sums, Tensor):
            raise ValueError("there is no held-out row with a label to compare on")
        return [self._choose(output) for output in range(len(self.units))]

    def _choose(self, output: int) -> int:
        """The proposed one, or where that is worse beyond chance than another, the best; if it beats what came in."""
        sums = self.sums[:, :, output]  # pyright: ignore[reportIndexIssue]
        proposed, last = int(self.proposed[output]), len(self.weights) - 1
        best = int(sums.sum(0)[:-1].argmin())
        chosen = best if self._significance(0, best, output) < -_SIGNIFICANT else proposed
        better_everywhere = bool((sums[:, chosen] <= sums[:, last]).all())
        return chosen if better_everywhere and self._significance(1, chosen, output) < -_SIGNIFICANT else last

    def _significance(self, reference: int, candidate: int, output: int) -> float:
        """The difference of two candidates' errors on the same samples, in its standard errors."""
        n = float(self.samples[output])  # pyright: ignore[reportIndexIssue]
        total = float(self.differences[reference, candidate, output])  # pyright: ignore[reportIndexIssue]
        square = float(self.squares[reference, candidate, output])  # pyright: ignore[reportIndexIssue]
        variance = max(square - total**2 / n, 0.0) * n / max(n - 1.0, 1.0) if n else 0.0
        if variance == 0.0:
            return 0.0 if total == 0.0 else float("inf") if total > 0 else float("-inf")
        return total / variance**0.5


def propose(path: RidgePath, output: int) -> int:
    """The strength of largest evidence: on noise it smooths like the best of them, on clean data it is next to 0."""
    scores = path.evidence(STRENGTHS[:-1])[:, output]
    return int(scores.argmin())
