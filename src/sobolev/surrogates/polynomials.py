"""Sparse polynomials, as many and as smooth in each input, and of so few inputs at a time, as the evidence says."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
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

LEAST_NOISE = -32.0
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
MARGINS = (0.1, 0.3, 0.6)
"""From the outermost rows to the edge of the box, in parts of their range; of one input the evidence says how far."""
_HIGHEST = 400
"""A degree above this one would need more than its share of float64."""
_LOW = 8
"""Highest total degrees up to this one are looked at on their own."""
_FAR, _SAME = 30.0, 0.05
"""Logarithms of evidence: a sum that is so much worse has no part in the mean; one so near is the same sum again."""
_SMALLEST = 0.01
"""A part in the mean that counts."""
_HIGHEST_OF_SEVERAL = 30
"""With several inputs: higher degrees of small size would act as noise, and wreck the second derivatives."""


class _State(NamedTuple):
    """What was learnt, and how well."""

    loss: float
    margin: float
    terms: int
    degrees: Int64[Tensor, "terms inputs"]
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

    A factor that falls smoothly cannot say that a sum ends with some degree, as those of many laws do. So sums of low
    total degree are learnt, too, and what is fitted is the mean of all by their evidence (Hoeting et al., Bayesian
    model averaging, 1999): under noise it seldom tells them apart.

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
        self.degrees = torch.zeros(0, inputs, dtype=torch.long)
        self.margin = MARGINS[0]
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
        if not len(self.degrees):
            self.log_noise = self.log_noise.repeat(len(labels.tensors))
            self._choose_terms(groups)
            if len(self.decay) == 1:
                self._choose_margin(groups)
        else:
            self._climb(groups)
        self._weigh_low_degrees(groups)

    def _weigh_low_degrees(self, groups: Sequence[Entries]) -> None:
        """Sums that end with a total degree, and the part of each in the mean."""
        full = self._state(self.loss)
        found = [full]
        for degree in range(1, _LOW + 1):
            self._put(full.values)
            self.degrees = of_total_degree(len(self.decay), degree, self.highest)
            if len(self.degrees) > self.terms:
                break
            loss = self._loss(groups)
            if float(loss()) > full.loss + _FAR:
                continue
            found.append(self._state(minimise(self._parameters, loss, 60)))
            if abs(found[-1].loss - full.loss) < _SAME:
                found.pop()
                break
        self._take([full])
        parts = torch.tensor([-state.loss for state in found], dtype=torch.float64).softmax(0)
        parts = torch.where(parts < _SMALLEST, 0.0, parts)
        self.mean = [(part, state) for part, state in zip((parts / parts.sum()).tolist(), found, strict=True) if part]

    def _choose_terms(self, groups: Sequence[Entries]) -> None:
        """As many as the evidence wants: of one input, more than that would learn the rounding of the rows."""
        first, tries, most = [p.clone() for p in self._parameters], [], self.terms
        for terms in (most // 9, most // 3, most) if len(self.decay) == 1 else (most,):
            self.terms = terms
            self._put(first)
            self._start(groups)
            self._climb(groups)
            tries.append(self._state(self.loss))
            if float(self.log_noise.detach().max()) <= LEAST_NOISE:
                break
        self._take(tries)

    def _choose_margin(self, groups: Sequence[Entries]) -> None:
        """Larger ones for as long as the evidence grows."""
        for margin in MARGINS[1:]:
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
            if loss is None or not torch.equal(degrees, self.degrees):
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
        features = self._features(self.degrees, torch.ones(len(self.degrees), dtype=torch.float64))
        data = [reduced(features.derivatives(part.x, part.by), part.targets, part.order) for part in groups]

        def loss() -> Tensor:
            prior = 0.125 * self.interaction.square().sum() + ((self.decay - _START) / self.width).square().sum() / 2
            prior = prior + 2 * self.power.square().sum()
            sizes, noise = self._sizes(), self._noise()
            return torch.stack([negative_log_evidence(part, sizes, noise) for part in data]).sum() + prior

        return loss

    def fit(self, labels: Labels) -> Fit:
        """See `Family`; the features are the terms of all sums in the mean."""
        full, fits = self._state(self.loss), []
        for part, state in self.mean:
            self._take([state])
            features = partial(self._features, state.degrees)
            fits.append((part, solve_weights(self.name, features, self._sizes(), self._noise(), labels, -full.loss)))
        self._take([full])
        return fits[0][1] if len(fits) == 1 else self._mean_of(fits)

    @torch.no_grad()
    def _mean_of(self, fits: Sequence[tuple[float, Fit]]) -> Fit:
        degrees, places = _joined([fit.features.degrees for _, fit in fits])
        first = fits[0][1]
        sizes, coefficients = (
            first.weights.new_zeros(len(degrees)),
            first.weights.new_zeros(len(degrees), len(first.bias)),
        )
        for own, (part, fit) in zip(places, fits, strict=True):
            sizes[own] += part * fit.features.sizes
            coefficients[own] += part * fit.features.sizes[:, None] * fit.weights
        weights = coefficients / sizes.clamp_min(torch.finfo(sizes.dtype).tiny)[:, None]
        noise = torch.stack([part * fit.noise for part, fit in fits]).sum(0)
        return replace(first, features=self._features(degrees, sizes), weights=weights, noise=noise)

    def _features(self, degrees: Tensor, sizes: Tensor) -> ChebyshevFeatures:
        margin = self.margin * (self.high - self.low)
        return ChebyshevFeatures(degrees, sizes, self.low - margin, self.high + margin)

    def _falls(self, degrees: Tensor) -> Tensor:
        """What each degree costs, (terms, inputs)."""
        positive = degrees.clamp_min(1.0)  # the gradient of 0 to a power is no number
        return torch.where(degrees > 0, (positive * self.decay.exp()) ** self.power.clamp_min(0.0).exp(), 0.0)

    def _noise(self) -> Tensor:
        return bounded(self.log_noise, LEAST_NOISE)

    def _sizes(self) -> Tensor:
        degrees = self.degrees.double()
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


def _joined(sets: Sequence[Int64[Tensor, "terms inputs"]]) -> tuple[Int64[Tensor, "terms inputs"], list[Tensor]]:
    """All terms that occur, and the places among them of those of each set."""
    numbers: dict[tuple[int, ...], int] = {}
    places = [torch.tensor([numbers.setdefault(tuple(term), len(numbers)) for term in own.tolist()]) for own in sets]
    return torch.tensor(list(numbers)), places


def of_total_degree(inputs: int, most: int, limit: int) -> Int64[Tensor, "terms inputs"]:
    """The degrees of all products up to a total one, each factor's below a limit."""
    found: list[tuple[int, ...]] = [()]
    for _ in range(inputs):
        found = [(*term, k) for term in found for k in range(min(limit, most - sum(term) + 1))]
    return torch.tensor(found)
