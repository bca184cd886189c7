"""Products of Chebyshev polynomials as features that know their sizes and derivatives."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


class ChebyshevFeatures(nn.Module):
    """Products of Chebyshev polynomials, one factor for each input: (batch, inputs) to (batch, terms).

    Args:
        degrees: of each factor, (terms, inputs).
        sizes: what each term is multiplied by, (terms,).
        low: the input that goes to -1, (inputs,).
        high: the one that goes to 1.
    """

    degrees: Tensor
    sizes: Tensor
    centre: Tensor
    radius: Tensor

    def __init__(
        self,
        degrees: Int64[Tensor, "terms inputs"],
        sizes: Float[Tensor, " terms"],
        low: Float[Tensor, " inputs"],
        high: Float[Tensor, " inputs"],
    ) -> None:
        super().__init__()
        self.register_buffer("degrees", degrees)
        self.register_buffer("sizes", sizes)
        self.register_buffer("centre", (low + high) / 2)
        self.register_buffer("radius", (high - low) / 2)
        # as numbers: where a forward is recorded for a file, no tensor can be looked at
        self.highest: list[int] = degrees.amax(0).tolist() if len(degrees) else [0] * len(low)

    @property
    def width(self) -> int:
        """How many terms."""
        return len(self.degrees)

    def first(self, most: int) -> "ChebyshevFeatures":
        """So many terms at most, the largest ones."""
        kept = self.sizes.argsort(descending=True)[:most]
        low, high = self.centre - self.radius, self.centre + self.radius
        return ChebyshevFeatures(self.degrees[kept], self.sizes[kept], low, high)

    def forward(self, x: Tensor) -> Tensor:
        """By the recurrence of the polynomials, then one product over the inputs that occur."""
        table = self._tables(x, 0)[0]
        terms = self.sizes.to(x.dtype)
        for j, highest in enumerate(self.highest):
            if highest:
                terms = terms * table[:, j][:, self.degrees[:, j]]
        return terms.expand(x.shape[0], -1)

    def derivatives(self, x: Float[Tensor, "rows inputs"], by: Int64[Tensor, "rows 2"]) -> Float[Tensor, "rows terms"]:
        """At each row by inputs of its own, at most two; -1: none."""
        found = x.new_empty(len(x), len(self.degrees))
        tables = self._tables(x, int((by >= 0).sum(1).max()) if len(by) else 0)
        for wanted in by.unique(dim=0).tolist():
            rows = (by == by.new_tensor(wanted)).all(1).nonzero().flatten()
            terms = self.sizes.expand(len(rows), -1)
            for j in range(x.shape[1]):
                order = wanted.count(j)
                if order or self.highest[j]:
                    terms = terms * tables[order][rows, j][:, self.degrees[:, j]]
            found[rows] = terms
        return found

    def summary(self) -> dict[str, Any]:
        """How many terms, and the highest degree in each input."""
        return {"terms": self.width, "highest_degrees": self.highest}

    def _tables(self, x: Tensor, order: int) -> list[Tensor]:
        """Every polynomial of every input and its derivatives, each (batch, inputs, 1 + highest degree)."""
        x, slope = (x - self.centre) / self.radius, 1 / self.radius
        one, zero, twice = torch.ones_like(x), torch.zeros_like(x), 2 * x
        columns = [[one, x], [zero, zero + slope], [zero, zero]][: order + 1]
        for _ in range(2, max(self.highest) + 1):
            following = [twice * column[-1] - column[-2] for column in columns]
            for k in range(1, order + 1):
                following[k] = following[k] + 2 * k * slope * columns[k - 1][-1]
            for column, term in zip(columns, following, strict=True):
                column.append(term)
        return [torch.stack(column, 2) for column in columns]
