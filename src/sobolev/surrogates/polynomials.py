"""Sparse polynomials, as many and as smooth in each input, and of so few inputs at a time, as the evidence says."""

import heapq
import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.surrogates.family import Fit
from sobolev.surrogates.labels import Entries, Labels
from sobolev.surrogates.marginal import bounded, negative_log_evidence, reduced
from sobolev.surrogates.minimise import minimise
from sobolev.surrogates.weights import solve_weights

_LEAST_NOISE = -32.0
"""Logarithm of the noise, relative to the prior, that float64 still tells from none."""
_START = math.log(-math.log(0.5))
"""Logarithm of r, most probable: half as large with every degree."""
_START_NOISE = -2.0
"""Its logarithm, relative to the largest prior: from less of it the noise of the rows is learnt more often."""
_STARTS = tuple(math.log(-math.log(ratio)) for ratio in (0.3, 0.5, 0.7, 0.9, 0.97))
"""From polynomials of low degree to functions of many periods; the evidence says where to begin."""
_CUTOFFS = tuple(-math.log(degree) for degree in (4, 8, 16, 32, 64, 128, 256))
"""Likewise for one input: the degree at which coefficients begin to fall."""
_POWERS, _NOISES = (0.0, 0.7, 1.4), (_START_NOISE, -14.0, -26.0)
"""Then how fast, and the noise."""
_MARGINS = (0.1, 0.3, 0.6)
"""From the outermost rows to the edge of the box, in parts of their range; of one input the evidence says how far."""
_HIGHEST = 400
"""A degree above this one would need more than its share of float64."""
_HIGHEST_OF_SEVERAL = 30
"""With several inputs: higher degrees of small size would act as noise, and wreck the second derivatives."""


class _State(NamedTuple):
    """What was learnt, and how well."""

    loss: float
    margin: float
    terms: int
    degrees: Tensor | None
    values: list[Tensor]


class Polynomials:
    """The prior deviation of a term's weight is the product of α exp(-(r k)^p) over its degrees k; α, r, p are chosen.

    Factors of degree 0 count as 1, so small α make the sum one of functions of few inputs (the ANOVA decomposition),
    and exp(-r) says how fast the coefficients of an analytic function fall (Trefethen, Approximation Theory and
    Approximation Practice, 2013, chapter 8); those of an oscillating one stay large for some time and then fall
    faster and faster, p > 1. Each input has its own α, r and p. Of all terms those of largest prior are taken:
    polynomial chaos with a prior instead of a search for the terms.

    The box of the polynomials is larger than that of the rows: at its own edges a polynomial is free to be n times as
    steep as elsewhere, and beyond them it explodes. In a larger box as many degrees as there are rows are well told by
    rows at equal distances (Adcock & Shadrin, Fast and stable approximation of analytic functions from equispaced
    samples via polynomial frames, 2023).

    Args:
        inputs: how many.
        terms: how many to take; of one input, at most.
        rounds: how often the terms are chosen anew.
        highest_degree: in an input; None: as high as float64 and the rows allow.
    """

    kind = name = "polynomials"

    def __init__(self, inputs: int, terms: int = 500, rounds: int = 3, highest_degree: int | None = None) -> None:
        self.terms, self.rounds = terms, rounds
        self.highest, self.width = (_HIGHEST, 3.0) if inputs == 1 else (_HIGHEST_OF_SEVERAL, 1.0)
        if highest_degree is not None:
            self.highest = highest_degree + 1
        self.degrees: Tensor | None = None
        self.margin = _MARGINS[0]
        self.interaction = torch.zeros(inputs, dtype=torch.float64)
        self.decay = torch.full((inputs,), _START, dtype=torch.float64)
        self.power = torch.zeros(inputs, dtype=torch.float64)
        self.constant = torch.ones((), dtype=torch.float64)
        self.log_noise = torch.full((1,), _START_NOISE, dtype=torch.float64)  # of values, then gradients, then Hessians

    @property
    def _parameters(self) -> list[Tensor]:
        return [self.interaction, self.decay, self.power, self.constant, self.log_noise]

    def learn(self, labels: Labels) -> None:
        """See `Family`."""
        groups, self.low, self.high = labels.entries(), labels.x.amin(0), labels.x.amax(0)
        if self.degrees is None:
            self.log_noise = self.log_noise.repeat(len(labels.tensors))
            self._choose_terms(groups)
            if len(self.decay) == 1:
                self._choose_margin(groups)
        else:
            self._climb(groups)

    def _choose_terms(self, groups: Sequence[Entries]) -> None:
        """As many as the evidence wants: of one input, more than that would learn the rounding of the rows."""
        first, tries, most = [p.clone() for p in self._parameters], [], self.terms
        for terms in (most // 9, most // 3, most) if len(self.decay) == 1 else (most,):
            self.terms = terms
            self._put(first)
            self._start(groups)
            self._climb(groups)
            tries.append(self._state(self.loss))
            if float(self.log_noise.detach().max()) <= _LEAST_NOISE:
                break
        self._take(tries)

    def _choose_margin(self, groups: Sequence[Entries]) -> None:
        """Larger ones for as long as the evidence grows."""
        for margin in _MARGINS[1:]:
            before, self.margin = self._state(self.loss), margin
            self._climb(groups)
            self._take([before, self._state(self.loss)])
            if self.margin != margin:
                return

    def _climb(self, groups: Sequence[Entries]) -> None:
        """From where the parameters are, and never down: other terms are another loss."""
        tries = []
        for k in range(self.rounds):
            if k:
                self.degrees = self._largest()
            loss = self._loss(groups)
            tries.append(self._state(float(loss())))
            tries.append(self._state(minimise(self._parameters, loss, 60)))
        self._take(tries)

    def _state(self, loss: float) -> "_State":
        return _State(loss, self.margin, self.terms, self.degrees, [p.clone() for p in self._parameters])

    def _take(self, tries: Sequence["_State"]) -> None:
        """The best."""
        self.loss, self.margin, self.terms, self.degrees, values = min(tries, key=lambda found: found.loss)
        self._put(values)

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        for parameter, value in zip(self._parameters, values, strict=True):
            parameter.copy_(value)

    @torch.no_grad()
    def _start(self, groups: Sequence[Entries]) -> None:
        """Begin where the evidence is largest."""
        several, losses, loss = len(self.decay) > 1, {}, None
        for decay in _STARTS if several else (*_STARTS, *_CUTOFFS):
            self.decay.fill_(decay)
            self.power.zero_()
            degrees = self._largest()
            if loss is None or not torch.equal(degrees, self.degrees):  # pyright: ignore[reportArgumentType]
                self.degrees = degrees
                loss = self._loss(groups)
            for start in product([decay], _POWERS[:1] if several else _POWERS, _NOISES[:1] if several else _NOISES):
                self._begin(*start)
                losses[start] = float(loss())
        decay, power, noise = min(losses, key=lambda start: losses[start])
        self._begin(decay, 0.0, noise)
        self.degrees = self._largest()
        self.power.fill_(power)

    def _begin(self, decay: float, power: float, noise: float) -> None:
        """The same for all inputs and orders."""
        for parameter, value in ((self.decay, decay), (self.power, power), (self.log_noise, noise)):
            parameter.fill_(value)

    def _loss(self, groups: Sequence[Entries]) -> Callable[[], Tensor]:
        """Minus the logarithm of the evidence and of the prior, for the terms as they are."""
        features = self._features()
        data = [reduced(features.derivatives(part.x, part.by), part.targets, part.order) for part in groups]

        def loss() -> Tensor:
            prior = 0.125 * self.interaction.square().sum() + ((self.decay - _START) / self.width).square().sum() / 2
            prior = prior + 2 * self.power.square().sum()
            sizes, noise = self._sizes(), self._noise()
            return torch.stack([negative_log_evidence(part, sizes, noise) for part in data]).sum() + prior

        return loss

    def fit(self, labels: Labels) -> Fit:
        """See `Family`."""
        return solve_weights(self.name, self._features, self._sizes(), self._noise(), labels, -self.loss)

    def _features(self, sizes: Tensor | None = None) -> ChebyshevFeatures:
        sizes = torch.ones(len(self.degrees), dtype=torch.float64) if sizes is None else sizes  # pyright: ignore[reportArgumentType]
        margin = self.margin * (self.high - self.low)
        return ChebyshevFeatures(self.degrees, sizes, self.low - margin, self.high + margin)  # pyright: ignore[reportArgumentType]

    def _falls(self, degrees: Tensor) -> Tensor:
        """What each degree costs, (terms, inputs)."""
        positive = degrees.clamp_min(1.0)  # the gradient of 0 to a power is no number
        return torch.where(degrees > 0, (positive * self.decay.exp()) ** self.power.clamp_min(0.0).exp(), 0.0)

    def _noise(self) -> Tensor:
        return bounded(self.log_noise, _LEAST_NOISE)

    def _sizes(self) -> Tensor:
        degrees = self.degrees.double()  # pyright: ignore[reportOptionalMemberAccess]
        logarithm = (degrees > 0).double() @ self.interaction.clamp_max(3.0) - self._falls(degrees).sum(1)
        constant = degrees.sum(1) == 0
        largest = torch.where(constant, -math.inf, logarithm).amax()  # of which the noise is a part
        return (logarithm - largest + constant * self.constant).exp()

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
