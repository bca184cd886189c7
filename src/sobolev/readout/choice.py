"""Which ridge strength, if any: proposed by the training rows, accepted only by rows that were held out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from sobolev.readout.equations import Equations
from sobolev.readout.least_squares import RidgePath

STRENGTHS = torch.cat([torch.logspace(1, -16, 69, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)])
"""From nothing but the bias to plain least squares, four to a factor of ten."""

_AS_GOOD = 1.645
"""Standard errors that a candidate may lie behind the best of all, which by chance looks better than it is."""
_BETTER = 1.0
"""Standard errors by which the one candidate that is left must beat the network that came in."""
_PLAIN = 16
"""So many times smaller squared errors are smaller beyond chance, however few the samples."""
_LOST, _DIGITS = 1e-4, 1e3
"""What rounding may take of the values where weights cancel: this part, or so many times what it takes of a number."""
_CANCELLED = 1e-13
"""A variance below this part of what it is the difference of is rounding."""


@dataclass
class HeldOut:
    """Squared errors of all candidates on held-out samples, and how they vary together.

    Args:
        weights: the candidates, (candidates, unknowns, outputs); the last is the network as it came in.
        proposed: for each output the candidate that the training data propose.
        units: what an error in units of the layer is in sizes of the labels, (outputs,).
        rounding: what the network's precision loses, relative to the labels: errors below it count as none.
    """

    weights: Float64[Tensor, "candidates unknowns outputs"]
    proposed: list[int]
    units: Float64[Tensor, " outputs"]
    rounding: float

    def __post_init__(self) -> None:
        candidates, _, outputs = self.weights.shape
        self.sums = torch.zeros(3, outputs, candidates, dtype=torch.float64)
        self.products = torch.zeros(outputs, candidates, candidates, dtype=torch.float64)
        self.labels, self.samples = torch.zeros(2, outputs)
        self.terms = torch.zeros(outputs, candidates, dtype=torch.float64)
        self.rows = 0

    def add(self, new: Equations) -> None:
        """Count a batch of equations."""
        predicted = torch.einsum("ru,cuo->ocr", new.features, self.weights)
        known = new.targets.isfinite().T
        errors = (predicted - new.targets.nan_to_num(0.0).T[:, None]).square() * self.units.square()[:, None, None]
        errors = (errors * known[:, None]).unflatten(2, (len(new.orders), new.samples))
        for entry, order in enumerate(new.orders):
            self.sums[order] += errors[:, :, entry].sum(2)
        samples = errors.sum(2)
        self.products += samples @ samples.mT
        self.labels += known.sum(1)
        terms = torch.einsum("ru,cuo->ocr", new.features[: new.samples].abs(), self.weights.abs())
        self.terms += (terms * self.units.abs()[:, None, None]).square().sum(2)
        self.rows += new.samples
        self.samples += known.unflatten(1, (len(new.orders), new.samples)).any(1).sum(1)

    def join(self, others: Iterable["HeldOut"]) -> "HeldOut":
        """Those of all processes."""
        joined = replace(self)
        for other in others:
            joined.sums += other.sums
            joined.products += other.products
            joined.labels += other.labels
            joined.samples += other.samples
            joined.terms += other.terms
            joined.rows += other.rows
        return joined

    def _precise(self) -> Bool[Tensor, "outputs candidates"]:
        """Whether no more of the values is lost where large weights cancel than can be borne."""
        lost = self.rounding * (self.terms / max(self.rows, 1)).sqrt()
        return lost <= max(_LOST, _DIGITS * self.rounding)

    def choose(self, admissible: Bool[Tensor, "outputs candidates"]) -> list[int]:
        """For each output the candidate to take; the last, which came in, unless another is better beyond chance.

        Args:
            admissible: those that may be taken.
        """
        admissible = admissible & self._precise()
        return [
            self._choose(output, allowed[:-1].nonzero().flatten().tolist()) for output, allowed in enumerate(admissible)
        ]

    def _choose(self, output: int, admissible: list[int]) -> int:
        """The candidate nearest to the proposed one that is as good as the best, if it beats what came in."""
        sums = self.sums[:, output]
        last = len(self.weights) - 1
        if not admissible:
            return last
        best = admissible[int(sums.sum(0)[admissible].argmin())]
        good = [i for i in admissible if self._is_as_good(output, i, best)]
        if not good:  # NaN
            return last
        chosen = min(good, key=lambda i: abs(i - self.proposed[output]))
        never_worse = bool((sums[:, chosen] <= sums[:, last]).all())
        plain = bool(_PLAIN * sums[:, chosen].sum() <= sums[:, last].sum())
        better = plain or self._excess(output, last, chosen) > _BETTER
        return chosen if never_worse and better else last

    def _is_as_good(self, output: int, candidate: int, best: int) -> bool:
        error = self.sums[:, output, candidate].sum() / self.labels[output].clamp_min(1)
        return bool(error <= self.rounding**2) or self._excess(output, candidate, best) <= _AS_GOOD

    def _excess(self, output: int, one: int, other: int) -> float:
        """By how much one candidate's errors are larger than another's on the same samples, in standard errors."""
        n, products = self.samples[output].clamp_min(2), self.products[output]
        total = self.sums[:, output, one].sum() - self.sums[:, output, other].sum()
        both = products[one, one] + products[other, other]
        square = (both - 2 * products[one, other]).clamp_min(_CANCELLED * both)
        variance = (square - total**2 / n).clamp_min(_CANCELLED * both) * n / (n - 1)
        return float(total / variance.sqrt()) if both > 0 else 0.0


def propose(path: RidgePath, output: int) -> int:
    """The strength of largest evidence: on noise it smooths like the best of them, on clean data it is next to 0."""
    scores = path.evidence(STRENGTHS[:-1])[:, output]
    return int(scores.argmin())
