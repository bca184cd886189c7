"""Sines and cosines of linear functions of the inputs beside polynomials, as features that know their derivatives."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sobolev.networks.chebyshev_features import ChebyshevFeatures


class WaveFeatures(nn.Module):
    """Polynomials, then sine and cosine of each wave: (batch, inputs) to (batch, terms + 2 waves).

    Args:
        frequencies: radians a unit of each input, (waves, inputs).
        size: what sines and cosines are multiplied by.
        polynomials: what waves are a poor basis of.
    """

    frequencies: Tensor
    size: Tensor

    def __init__(
        self, frequencies: Float[Tensor, "waves inputs"], size: Float[Tensor, ""], polynomials: ChebyshevFeatures
    ) -> None:
        super().__init__()
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("size", size)
        self.polynomials = polynomials

    @property
    def width(self) -> int:
        """How many features."""
        return self.polynomials.width + 2 * len(self.frequencies)

    def first(self, most: int) -> "WaveFeatures":
        """So many features at most, waves before polynomials."""
        kept = self.frequencies[: most // 2]
        return WaveFeatures(kept, self.size, self.polynomials.first(most - 2 * len(kept)))

    def forward(self, x: Tensor) -> Tensor:
        """All features."""
        phases = x @ self.frequencies.T
        return torch.cat([self.polynomials(x), self.size * phases.sin(), self.size * phases.cos()], 1)

    def derivatives(
        self, x: Float[Tensor, "rows inputs"], by: Int64[Tensor, "rows 2"]
    ) -> Float[Tensor, "rows features"]:
        """At each row by inputs of its own, at most two; -1: none. Each derivative turns a phase by a quarter."""
        phases = x @ self.frequencies.T + math.pi / 2 * (by >= 0).sum(1, keepdim=True).to(x)
        sizes = self.size.expand_as(phases)
        for j in by.T:
            sizes = sizes * torch.where(j[:, None] >= 0, self.frequencies.T[j.clamp_min(0)], 1.0)
        return torch.cat([self.polynomials.derivatives(x, by), sizes * phases.sin(), sizes * phases.cos()], 1)

    def summary(self) -> dict[str, Any]:
        """The waves, and how many polynomials there are beside them."""
        return {"frequencies": self.frequencies.tolist(), "terms": self.polynomials.width}
