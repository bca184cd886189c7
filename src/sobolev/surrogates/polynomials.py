"""Sparse polynomials, as many and as smooth in each input, and of so few inputs at a time, as the evidence says."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.surrogates.family import Fit
from sobolev.surrogates.labels import Entries, Labels, levels
from sobolev.surrogates.marginal import LogSizes, Parts, bounded, cost_of_choice, reduced, total_evidence
from sobolev.surrogates.minimise import minimise_by_newton
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
_SHARPNESS = 8.0
"""Of the largest prior: that of terms of the same size must not have a corner where another one becomes the largest."""
_LARGEST, _FARTHEST = 3.0, 50.0
"""Logarithms of α, and of all else, up to which they are looked for."""
_LITTLE = 1.0
"""Logarithm of evidence: terms that bring less of it need not be chosen anew."""
_TRIED = 2
"""Beginnings from which several inputs are learnt: there is more than one optimum."""
_FAR, _SAME = 30.0, 0.05
"""Logarithms of evidence: a sum that is so much worse has no part in the mean; one so near is the same sum again."""
_SMALLEST = 0.01
"""A part in the mean that counts."""
_HIGHEST_OF_SEVERAL = 30
"""With several inputs: higher degrees of small size would act as noise, and wreck the second derivatives."""


class _Prior(NamedTuple):
    """The numbers that are chosen, all of them logarithms: for each input α, r and p; of the constant; of the noise."""

    interaction: Float64[Tensor, " inputs"]
    decay: Float64[Tensor, " inputs"]
    power: Float64[Tensor, " inputs"]
    constant: Float64[Tensor, "1"]
    log_noise: Float64[Tensor, " orders"]

    @classmethod
    def of(cls, numbers: Tensor, inputs: int) -> "_Prior":
        """Views of them."""
        return cls(*numbers.tensor_split([inputs, 2 * inputs, 3 * inputs, 3 * inputs + 1]))


class _State(NamedTuple):
    """What was learnt, and how well."""

    loss: float
    margin: float
    terms: int
    degrees: Int64[Tensor, "terms inputs"]
    numbers: Tensor


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
        self.numbers = torch.zeros(3 * inputs + 2, dtype=torch.float64)  # see `_Prior`
        self.prior.decay.fill_(_START)
        self.prior.constant.fill_(1.0)
        self.prior.log_noise.fill_(_START_NOISE)

    @property
    def inputs(self) -> int:
        """How many."""
        return self.degrees.shape[1]

    @property
    def prior(self) -> _Prior:
        """What is chosen, as views."""
        return _Prior.of(self.numbers, self.inputs)

    def learn(self, labels: Labels) -> None:
        """See `Family`."""
        groups, self.low, self.high = labels.entries(), labels.x.amin(0), labels.x.amax(0)
        if not len(self.degrees):
            self.limits = self._limits(labels)
            self.numbers = torch.cat([self.numbers, self.prior.log_noise.repeat(len(labels.tensors) - 1)])
            self._choose_terms(groups)
            if self.inputs == 1:
                self._choose_margin(groups)
        else:
            self._climb(groups)
        self._weigh_low_degrees(groups)

    def _limits(self, labels: Labels) -> list[int]:
        """Degrees of each input below which they are told by the rows: of a grid there are as many as levels."""
        told = [count * len(labels.tensors) if 2 * count <= len(labels) else self.highest for count in levels(labels.x)]
        return [min(count, self.highest) for count in told]

    def _weigh_low_degrees(self, groups: Sequence[Entries]) -> None:
        """Sums that end with a total degree, and the part of each in the mean."""
        full = self._state()
        found = [full]
        for degree in range(1, _LOW + 1):
            self.numbers = full.numbers
            self.degrees = of_total_degree(self.inputs, degree, self.highest)
            self.degrees = self.degrees[(self.degrees < torch.tensor(self.limits)).all(1)]
            if len(self.degrees) > self.terms:
                break
            loss = self._loss(groups)
            if float(loss(self.numbers)[0]) > full.loss + _FAR:
                continue
            found.append(self._minimise(loss))
            if any(abs(found[-1].loss - former.loss) < _SAME for former in found[:-1]):
                found.pop()
                break
        self._take([full])
        parts = torch.tensor([-state.loss for state in found], dtype=torch.float64).softmax(0)
        parts = torch.where(parts < _SMALLEST, 0.0, parts)
        self.mean = [(part, state) for part, state in zip((parts / parts.sum()).tolist(), found, strict=True) if part]

    def _choose_terms(self, groups: Sequence[Entries]) -> None:
        """As many as the evidence wants: of one input, more than that would learn the rounding of the rows.

        Of several inputs and many rows half of the terms tell at a small price where to go on with all.
        """
        first, tries, most, single = self.numbers, [], self.terms, self.inputs == 1
        many = sum(len(part.x) for part in groups) > most
        stages = (most // 9, most // 3, most) if single else (most // 2, most) if many else (most,)
        for terms in stages:
            self.terms = terms
            beginnings = [self.numbers]
            if single or not tries:
                self.numbers = first
                beginnings = self._beginnings(groups)[: 1 if single else _TRIED]
            for self.numbers in beginnings:
                self.degrees = self._largest()
                self._climb(groups)
                tries.append(self._state())
            self._take(tries)
            if single and float(self._noise().max()) <= LEAST_NOISE:
                break

    def _choose_margin(self, groups: Sequence[Entries]) -> None:
        """Larger ones for as long as the evidence grows."""
        for margin in MARGINS[1:]:
            before, self.margin = self._state(), margin
            self._climb(groups)
            self._take([before, self._state()])
            if self.margin != margin:
                return

    def _climb(self, groups: Sequence[Entries]) -> None:
        """From where the numbers are, and never down: other terms are another loss."""
        tries: list[_State] = []
        for k in range(self.rounds):
            if k:
                self.degrees = self._largest()
            tries.append(self._minimise(self._loss(groups)))
            if k and tries[-2].loss - tries[-1].loss < _LITTLE:
                break
        self._take(tries)

    def _minimise(self, loss: "_Loss") -> "_State":
        """Where the loss of the terms as they are is least, near where the numbers are."""
        low, high = torch.full_like(self.numbers, -_FARTHEST), torch.full_like(self.numbers, _FARTHEST)
        _Prior.of(high, self.inputs).interaction.fill_(_LARGEST)
        _Prior.of(low, self.inputs).power.zero_()
        _Prior.of(low, self.inputs).log_noise.fill_(LEAST_NOISE)
        self.loss, self.numbers = minimise_by_newton(self.numbers, low, high, loss)
        return self._state()

    def _state(self) -> "_State":
        return _State(self.loss, self.margin, self.terms, self.degrees, self.numbers)

    def _take(self, tries: Sequence["_State"]) -> None:
        """The best."""
        self.loss, self.margin, self.terms, self.degrees, self.numbers = min(tries, key=lambda found: found.loss)

    def _beginnings(self, groups: Sequence[Entries]) -> list[Tensor]:
        """Numbers to begin with, those of the largest evidence first."""
        several, losses, loss = self.inputs > 1, {}, None
        for decay in _STARTS if several else (*_STARTS, *_CUTOFFS):
            self.numbers = self._beginning(decay, 0.0, _START_NOISE)
            degrees = self._largest()
            if loss is None or not torch.equal(degrees, self.degrees):
                self.degrees = degrees
                loss = self._loss(groups)
            for start in product([decay], _POWERS[:1] if several else _POWERS, _NOISES[:1] if several else _NOISES):
                losses[start] = float(loss(self._beginning(*start))[0])
        return [self._beginning(*start) for start in sorted(losses, key=lambda start: losses[start])]

    def _beginning(self, decay: float, power: float, noise: float) -> Tensor:
        """The same for all inputs and orders."""
        numbers = self.numbers.clone()
        prior = _Prior.of(numbers, self.inputs)
        for part, value in ((prior.decay, decay), (prior.power, power), (prior.log_noise, noise)):
            part.fill_(value)
        return numbers

    def _loss(self, groups: Sequence[Entries]) -> "_Loss":
        """Minus the logarithm of the evidence and of the prior, for the terms as they are."""
        features = self._features(self.degrees, torch.ones(len(self.degrees), dtype=torch.float64))
        data = [reduced(features.derivatives(part.x, part.by), part.targets, part.order) for part in groups]
        degrees, inputs = self.degrees, self.inputs
        precision, centre = self._precision(), torch.zeros_like(self.numbers)
        _Prior.of(centre, inputs).decay.fill_(_START)

        def loss(numbers: Tensor) -> Parts:
            prior, off = _Prior.of(numbers, inputs), numbers - centre
            own = 0.5 * (precision * off.square()).sum(), precision * off, precision.diag()
            return total_evidence(data, _log_sizes(degrees, prior), prior.log_noise, LEAST_NOISE, own)

        return loss

    def _precision(self) -> Float64[Tensor, " numbers"]:
        """Of the normal prior of the numbers; 0: all are as likely."""
        precision = torch.zeros_like(self.numbers)
        for part, value in zip(_Prior.of(precision, self.inputs), (0.25, self.width**-2, 4.0), strict=False):
            part.fill_(value)
        return precision

    def evidence(self, labels: Labels) -> float:
        """See `Family`; of the mean."""
        full, groups, found = self._state(), labels.entries(), []
        for part, state in self.mean:
            self._take([state])
            found.append(math.log(part) - self._loss(groups)(self.numbers)[0])
        self._take([full])
        return float(torch.stack(found).logsumexp(0))

    def cost(self, labels: Labels) -> float:
        """See `Family`; of all terms."""
        return float(cost_of_choice(self._loss(labels.entries())(self.numbers)[2], self._precision()))

    def fit(self, labels: Labels) -> Fit:
        """See `Family`; the features are the terms of all sums in the mean."""
        full, fits = self._state(), []
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

    def _noise(self) -> Float64[Tensor, " orders"]:
        return bounded(self.prior.log_noise, LEAST_NOISE)

    def _sizes(self) -> Float64[Tensor, " terms"]:
        return _log_sizes(self.degrees, self.prior).values.exp()

    def _largest(self) -> Int64[Tensor, "terms inputs"]:
        """The degrees of the terms whose prior is largest, by a search from the constant outwards."""
        degrees = torch.arange(1.0, self.highest, dtype=torch.float64)[:, None]
        table = torch.maximum(_falls(degrees, self.prior) - self.prior.interaction, 1e-9 * degrees)
        costs = [[0.0, *column] for column in table.T.tolist()]
        start = (0,) * self.inputs
        waiting, seen, found = [(0.0, start)], {start}, []
        while waiting and len(found) < self.terms:
            cost, degrees = heapq.heappop(waiting)
            found.append(degrees)
            for j in range(self.inputs):
                k = degrees[j] + 1
                following = (*degrees[:j], k, *degrees[j + 1 :])
                if k < self.limits[j] and following not in seen:
                    seen.add(following)  # pyright: ignore[reportArgumentType]
                    heapq.heappush(waiting, (cost - costs[j][k - 1] + costs[j][k], following))  # pyright: ignore[reportArgumentType]
        return torch.tensor(found)


def _falls(degrees: Tensor, prior: _Prior) -> Float64[Tensor, "terms inputs"]:
    """What each degree costs."""
    return torch.where(degrees > 0, (degrees * prior.decay.exp()) ** prior.power.exp(), 0.0)


def _log_sizes(degrees: Tensor, prior: _Prior) -> LogSizes:
    """Of the terms, as functions of all numbers that are no noises."""
    degrees, above, powers = degrees.double(), (degrees > 0).double(), prior.power.exp()
    falls, logarithms = _falls(degrees, prior), degrees.clamp_min(1.0).log() + prior.decay
    found = above @ prior.interaction - falls.sum(1)
    by_decay, by_power = -powers * falls, -powers * falls * logarithms
    slopes = torch.cat([above, by_decay, by_power, torch.zeros_like(found)[:, None]], 1)
    constant = above.sum(1) == 0
    exponents = _SHARPNESS * found.masked_fill(constant, -math.inf)
    largest, parts = exponents.logsumexp(0) / _SHARPNESS, exponents.softmax(0)  # of which the noise is a part
    slopes = slopes - parts @ slopes

    def curvature(weights: Tensor) -> Tensor:
        total = weights.sum()
        bends = powers * by_decay, by_decay * (1 + powers * logarithms), by_power * (1 + powers * logarithms)
        twice, mixed, other = (torch.diag((weights - total * parts) @ bend) for bend in bends)
        of_falls = torch.cat([torch.cat([twice, mixed], 1), torch.cat([mixed, other], 1)])
        nothing = torch.zeros_like(twice)
        of_largest = _SHARPNESS * slopes.T @ (parts[:, None] * slopes)
        return torch.block_diag(nothing, of_falls, nothing[:1, :1]) - total * of_largest

    by_all = torch.cat([slopes[:, :-1], constant.double()[:, None]], 1)
    return LogSizes(found - largest + constant * prior.constant, by_all, curvature)


def _joined(sets: Sequence[Int64[Tensor, "terms inputs"]]) -> tuple[Int64[Tensor, "terms inputs"], list[Tensor]]:
    """All terms that occur, and the places among them of those of each set."""
    numbers: dict[tuple[int, ...], int] = {}
    places = [torch.tensor([numbers.setdefault(tuple(term), len(numbers)) for term in own.tolist()]) for own in sets]
    return torch.tensor(list(numbers)), places


_Loss = Callable[[Tensor], Parts]


def of_total_degree(inputs: int, most: int, limit: int) -> Int64[Tensor, "terms inputs"]:
    """The degrees of all products up to a total one, each factor's below a limit."""
    found: list[tuple[int, ...]] = [()]
    for _ in range(inputs):
        found = [(*term, k) for term in found for k in range(min(limit, most - sum(term) + 1))]
    return torch.tensor(found)
