"""Products of Chebyshev polynomials as features that know their sizes and derivatives."""

import math
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
        """The polynomials, then one product over the inputs that occur."""
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
        """Every polynomial of every input and its derivatives, each (batch, inputs, 1 + highest degree).

        From T_0 .. T_m to T_2m at once, T_(m+n) = 2 T_m T_n - T_(m-n): few operations, and bounds of rounding grow with
        a power of the degree, where those of the recurrence by steps of one grow exponentially.
        """
        x, slope = (x - self.centre) / self.radius, 1 / self.radius
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        known, highest = 1, max(self.highest)
        tables = [torch.stack(pair, 2) for pair in ((one, x), (zero, zero + slope), (zero, zero))[: order + 1]]
        while known < highest:
            more = min(known, highest - known)
            last, next_ones = ([t[:, :, part] for t in tables] for part in (slice(known, None), slice(1, more + 1)))
            for k in reversed(range(order + 1)):
                products = sum(math.comb(k, i) * last[i] * next_ones[k - i] for i in range(k + 1))
                before = tables[k][:, :, known - more : known].flip(2)
                tables[k] = torch.cat([tables[k], 2 * products - before], 2)
            known += more
        return tables
