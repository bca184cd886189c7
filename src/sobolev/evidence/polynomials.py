"""Sparse polynomials, as many and as smooth in each input, and of so few inputs at a time, as the evidence says."""

import heapq
import math

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sobolev.evidence.family import Fit
from sobolev.evidence.marginal import negative_log_evidence, reduced, solve
from sobolev.evidence.minimise import minimise
from sobolev.networks.surrogate import ChebyshevFeatures

_LEAST_NOISE = -32.0
"""Logarithm of the noise, relative to the prior, that float64 still tells from none."""
_START = math.log(-math.log(0.5))
_HIGHEST = 400
"""A degree above this one would need more than its share of float64."""


class Polynomials:
    """The weight of T_a(x₁) T_b(x₂) ... has the prior standard deviation α₁ρ₁ᵃ α₂ρ₂ᵇ ...; the evidence chooses α, ρ.

    Factors of degree 0 count as 1, so small α make the sum one of functions of few inputs (the ANOVA decomposition),
    and ρ says how fast the coefficients of an analytic function fall (Trefethen, Approximation Theory and
    Approximation Practice, 2013, chapter 8). Of all terms those of largest prior are taken: polynomial chaos with a
    prior instead of a search for the terms.

    Args:
        inputs: how many.
        terms: how many to take.
        rounds: how often the terms are chosen anew.
    """

    name = "polynomials"

    def __init__(self, inputs: int, terms: int = 500, rounds: int = 3) -> None:
        self.terms, self.rounds = terms, rounds
        self.interaction = torch.zeros(inputs, dtype=torch.float64)
        self.decay = torch.full((inputs,), _START, dtype=torch.float64)
        self.constant = torch.ones((), dtype=torch.float64)
        self.log_noise = torch.tensor(-6.0, dtype=torch.float64)

    def learn(self, x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, "rows outputs"]) -> None:
        """See `Family`."""
        self.low, self.high = x.amin(0), x.amax(0)
        parameters = [self.interaction, self.decay, self.constant, self.log_noise]
        for _ in range(self.rounds):
            self.degrees = self._largest()
            data = reduced(self._features()(x), y)

            def loss(data=data) -> Tensor:  # noqa: ANN001
                prior = 0.125 * self.interaction.square().sum() + (self.decay - _START).square().sum() / 18
                return negative_log_evidence(data, self._sizes(), self._noise()) + prior

            self.loss = minimise(parameters, loss, 60)

    def fit(self, x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, "rows outputs"]) -> Fit:
        """See `Family`."""
        with torch.no_grad():
            sizes, noise = self._sizes(), float(self._noise().exp())
            design = self._features(sizes)(x)
            solution = solve(design, y, noise)
            scale = ((y * (y - design @ solution.weights)).sum(0) / noise**2 / len(x)).clamp_min(0).sqrt()
            zeros = y.new_zeros(y.shape[1])
            slopes = y.new_zeros(x.shape[1], y.shape[1])
            features = self._features(sizes)
            return Fit(self.name, features, zeros, slopes, solution.weights, noise * scale, -self.loss)

    def _features(self, sizes: Tensor | None = None) -> ChebyshevFeatures:
        sizes = torch.ones(len(self.degrees), dtype=torch.float64) if sizes is None else sizes
        return ChebyshevFeatures(self.degrees, sizes, self.low, self.high)

    def _noise(self) -> Tensor:
        return self.log_noise.clamp_min(_LEAST_NOISE)

    def _sizes(self) -> Tensor:
        degrees = self.degrees.double()
        logarithm = (degrees > 0).double() @ self.interaction.clamp_max(3.0) - degrees @ self.decay.exp()
        return (logarithm + (degrees.sum(1) == 0) * self.constant).exp()

    def _largest(self) -> Int64[Tensor, "terms inputs"]:
        """The degrees of the terms whose prior is largest, by a search from the constant outwards."""
        interaction, rates = self.interaction.clamp_max(3.0).tolist(), self.decay.exp().tolist()
        inputs, pairs = len(rates), zip(interaction, rates, strict=True)
        costs = [[0.0, *(max(k * rate - size, 1e-9 * k) for k in range(1, _HIGHEST))] for size, rate in pairs]
        start = (0,) * inputs
        waiting, seen, found = [(0.0, start)], {start}, []
        while waiting and len(found) < self.terms:
            cost, degrees = heapq.heappop(waiting)
            found.append(degrees)
            for j in range(inputs):
                k = degrees[j] + 1
                following = (*degrees[:j], k, *degrees[j + 1 :])
                if k < _HIGHEST and following not in seen:
                    seen.add(following)
                    heapq.heappush(waiting, (cost - costs[j][k - 1] + costs[j][k], following))
        return torch.tensor(found)
