"""Sparse polynomials, as many and as smooth in each input, and of so few inputs at a time, as the evidence says."""

import heapq
import math
from collections.abc import Callable

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
"""Logarithm of r, most probable: half as large with every degree."""
_STARTS = tuple(math.log(-math.log(ratio)) for ratio in (0.3, 0.5, 0.7, 0.9, 0.97))
"""From polynomials of low degree to functions of many periods; the evidence says where to begin."""
_HIGHEST = 400
"""A degree above this one would need more than its share of float64."""
_HIGHEST_OF_SEVERAL = 30
"""With several inputs: higher degrees of small size would act as noise, and wreck the second derivatives."""


class Polynomials:
    """The prior deviation of a term's weight is the product of α exp(-(r k)^p) over its degrees k; α, r, p are chosen.

    Factors of degree 0 count as 1, so small α make the sum one of functions of few inputs (the ANOVA decomposition),
    and exp(-r) says how fast the coefficients of an analytic function fall (Trefethen, Approximation Theory and
    Approximation Practice, 2013, chapter 8); those of an oscillating one stay large for some time and then fall
    faster and faster, p > 1. Each input has its own α, r and p. Of all terms those of largest prior are taken:
    polynomial chaos with a prior instead of a search for the terms.

    Args:
        inputs: how many.
        terms: how many to take.
        rounds: how often the terms are chosen anew.
    """

    name = "polynomials"

    def __init__(self, inputs: int, terms: int = 500, rounds: int = 3) -> None:
        self.terms, self.rounds = terms, rounds
        self.highest, self.width = (_HIGHEST, 3.0) if inputs == 1 else (_HIGHEST_OF_SEVERAL, 1.0)
        self.degrees: Tensor | None = None
        self.interaction = torch.zeros(inputs, dtype=torch.float64)
        self.decay = torch.full((inputs,), _START, dtype=torch.float64)
        self.power = torch.zeros(inputs, dtype=torch.float64)
        self.constant = torch.ones((), dtype=torch.float64)
        self.log_noise = torch.tensor(-6.0, dtype=torch.float64)

    def learn(self, x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, "rows outputs"]) -> None:
        """See `Family`."""
        if self.degrees is None:
            self.low, self.high = x.amin(0), x.amax(0)
            self._start(x, y)
        parameters = [self.interaction, self.decay, self.power, self.constant, self.log_noise]
        for _ in range(self.rounds):
            loss = self._loss(x, y)
            self.loss = minimise(parameters, loss, 60)

    @torch.no_grad()
    def _start(self, x: Tensor, y: Tensor) -> None:
        """Begin where the evidence is largest."""
        losses = []
        for start in _STARTS:
            self.decay.fill_(start)
            losses.append(float(self._loss(x, y)()))
        self.decay.fill_(_STARTS[losses.index(min(losses))])

    def _loss(self, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
        """Minus the logarithm of the evidence and of the prior, for the terms that are largest now."""
        self.degrees = self._largest()
        data = reduced(self._features()(x), y)

        def loss() -> Tensor:
            prior = 0.125 * self.interaction.square().sum() + ((self.decay - _START) / self.width).square().sum() / 2
            prior = prior + 2 * self.power.square().sum()
            return negative_log_evidence(data, self._sizes(), self._noise()) + prior

        return loss

    def fit(self, x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, "rows outputs"]) -> Fit:
        """See `Family`."""
        with torch.no_grad():
            sizes, noise = self._sizes(), float(self._noise().exp())
            design = self._features(sizes)(x)
            solution = solve(design, y, noise)
            scale = ((y * (y - design @ solution.weights)).sum(0) / noise**2 / len(x)).clamp_min(0).sqrt()
            zeros = y.new_zeros(y.shape[1])
            slopes = y.new_zeros(x.shape[1], y.shape[1])
            largest = sizes.max()  # of order one where they enter the layer
            features, weights = self._features(sizes / largest), largest * solution.weights
            return Fit(self.name, features, zeros, slopes, weights, noise * scale, -self.loss)

    def _features(self, sizes: Tensor | None = None) -> ChebyshevFeatures:
        sizes = torch.ones(len(self.degrees), dtype=torch.float64) if sizes is None else sizes  # pyright: ignore[reportArgumentType]
        return ChebyshevFeatures(self.degrees, sizes, self.low, self.high)  # pyright: ignore[reportArgumentType]

    def _falls(self, degrees: Tensor) -> Tensor:
        """What each degree costs, (terms, inputs)."""
        positive = degrees.clamp_min(1.0)  # the gradient of 0 to a power is no number
        return torch.where(degrees > 0, (positive * self.decay.exp()) ** self.power.clamp_min(0.0).exp(), 0.0)

    def _noise(self) -> Tensor:
        return self.log_noise.clamp_min(_LEAST_NOISE)

    def _sizes(self) -> Tensor:
        degrees = self.degrees.double()  # pyright: ignore[reportOptionalMemberAccess]
        logarithm = (degrees > 0).double() @ self.interaction.clamp_max(3.0) - self._falls(degrees).sum(1)
        return (logarithm + (degrees.sum(1) == 0) * self.constant).exp()

    def _largest(self) -> Int64[Tensor, "terms inputs"]:
        """The degrees of the terms whose prior is largest, by a search from the constant outwards."""
        inputs, sizes = len(self.decay), self.interaction.clamp_max(3.0)
        degrees = torch.arange(1.0, self.highest, dtype=torch.float64)[:, None]
        table = torch.maximum(self._falls(degrees.expand(-1, inputs)) - sizes, 1e-9 * degrees)
        costs = [[0.0, *column] for column in table.detach().T.tolist()]
        start = (0,) * inputs
        waiting, seen, found = [(0.0, start)], {start}, []
        while waiting and len(found) < self.terms:
            cost, degrees = heapq.heappop(waiting)
            found.append(degrees)
            for j in range(inputs):
                k = degrees[j] + 1
                following = (*degrees[:j], k, *degrees[j + 1 :])
                if k < self.highest and following not in seen:
                    seen.add(following)  # pyright: ignore[reportArgumentType]
                    heapq.heappush(waiting, (cost - costs[j][k - 1] + costs[j][k], following))  # pyright: ignore[reportArgumentType]
        return torch.tensor(found)
