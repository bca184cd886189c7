"""Plane waves, as few as the residuals have significant peaks in their spectrum, and polynomials of low degree.

Of functions that oscillate over many periods bumps and polynomials need several for each of them; of sums and products
of sines a handful of waves is all there is. Their frequencies are no grid: each is found as the highest peak of the
spectrum that the others leave, and then all are refined together by Gauss-Newton steps (Mamandipoor, Ramasamy & Madhow,
Newtonized orthogonal matching pursuit, 2016), weights eliminated (Kaufman, A variable projection method, 1975).
"""

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.networks.wave_features import WaveFeatures
from sobolev.surrogates.family import Fit
from sobolev.surrogates.labels import Entries, Labels, levels
from sobolev.surrogates.marginal import LogSizes, Parts, bounded, cost_of_choice, reduced, total_evidence
from sobolev.surrogates.minimise import minimise_by_newton
from sobolev.surrogates.polynomials import LEAST_NOISE, MARGINS, of_total_degree
from sobolev.surrogates.weights import least_squares, solve_weights

_MOST = 16
"""Waves."""
_ROWS = 2000
"""In which they are looked for."""
_TERMS = 60
"""Of the polynomials, about."""
_HIGHEST = {1: 1000, 2: 128, 3: 32}
"""Half periods in the range of an input, for waves along so many inputs at a time."""
_LEVELS = 8
"""Steps from value to value of an input below which anything is a sum of waves along it."""
_CHANCE = 8.0
"""How improbable the peak of a spectrum of noise is, as minus a logarithm."""
_WORTH = 0.2
"""Of what the polynomials miss, waves must leave less than this part; else they are no good description."""
_ROUGH, _EXACT = 1e-2, 1e-13
"""Of the values' size: what polynomials must miss, waves may leave as noise, and more waves are looked for down to."""
_FARTHEST = 50.0
"""Logarithms up to which sizes are looked for."""
_STEPS = 12
_LITTLE = 0.99
"""A step that leaves more of the squared residuals is the last."""


class Waves:
    """Sines and cosines of common prior size, polynomials that fall with their degree; see `Family`.

    Args:
        inputs: how many.
    """

    kind = name = "waves"

    def __init__(self, inputs: int) -> None:
        self.frequencies = torch.zeros(0, inputs, dtype=torch.float64)
        self.left = 1.0
        self.found = self.all_found = False
        # logarithms of the polynomials' decay, of the waves' size, of the noise of values, gradients and Hessians
        self.numbers = torch.tensor([0.0, 0.0, -2.0], dtype=torch.float64)

    @property
    def worth(self) -> bool:
        """Whether waves are most of what polynomials of low degree miss, or all that is no noise."""
        return self.left < _WORTH or self.all_found

    def learn(self, labels: Labels) -> None:
        """See `Family`."""
        low, high = labels.x.amin(0), labels.x.amax(0)
        if not self.found:
            self.low, self.high = low - MARGINS[0] * (high - low), high + MARGINS[0] * (high - low)
            self.degrees = _of_low_degree(labels.x.shape[1], min(_TERMS, len(labels) // 4))
            self.numbers = torch.cat([self.numbers, self.numbers[2:].repeat(len(labels.tensors) - 1)])
        known = labels.tensors[0].isfinite().all(1)
        x, y = labels.x[known], labels.tensors[0][known]
        if not self.found:
            self._find(x[:_ROWS], y[:_ROWS])
        self.found = True
        self.frequencies = _Problem(x, y, self._polynomials()(x)).refined(self.frequencies)
        self._weigh(labels.entries())

    def evidence(self, labels: Labels) -> float:
        """See `Family`."""
        return -float(self._loss(labels.entries())(self.numbers)[0])

    def cost(self, labels: Labels) -> float:
        """See `Family`."""
        sizes = cost_of_choice(self._loss(labels.entries())(self.numbers)[2], self._precision())
        return float(sizes) + self._cost_of_frequencies(labels)

    def fit(self, labels: Labels) -> Fit:
        """See `Family`."""
        return solve_weights(self.name, self._features, self._sizes(), self._noise(), labels, -self.loss)

    def _cost_of_frequencies(self, labels: Labels) -> float:
        """See `cost_of_choice`; their prior is uniform where they are looked for."""
        if not len(self.frequencies):
            return 0.0
        known = labels.tensors[0].isfinite().all(1)
        x, y = labels.x[known], labels.tensors[0][known]
        waves, problem = len(self.frequencies), _Problem(x, y, self._polynomials()(x))
        widths = (2 * problem.highest).clamp_min(1e-150).repeat(waves)
        uniform = 2 * math.pi / widths.square()  # as dense as a normal prior of this precision
        alike = math.lgamma(waves + 1) + waves * math.log(2)  # in another order, of other signs
        return max(0.0, float(cost_of_choice(problem.precision(self.frequencies), uniform)) - alike)

    def _find(self, x: Tensor, y: Tensor) -> None:
        """One after the other, as long as there is more in the spectrum than chance."""
        problem = _Problem(x, y, self._polynomials()(x))
        residuals = first = problem.residuals(self.frequencies)
        most = min(_MOST, len(x) // (10 * (2 + x.shape[1]))) if first.norm() > _ROUGH * y.norm() else 0
        while len(self.frequencies) < most and residuals.norm() > _EXACT * y.norm():
            peak = highest_peak(x, residuals)
            if peak is None:
                self.all_found = True
                break
            self.frequencies = problem.refined(torch.cat([self.frequencies, peak[None]]))
            residuals = problem.residuals(self.frequencies)
        self.left = float(residuals.norm() / first.norm()) if len(self.frequencies) else 1.0
        self.all_found &= len(self.frequencies) > 0 and bool(residuals.norm() > _ROUGH * y.norm())

    def _weigh(self, groups: Sequence[Entries]) -> None:
        """Sizes and noise by the evidence."""
        low, high = torch.full_like(self.numbers, -_FARTHEST), torch.full_like(self.numbers, _FARTHEST)
        low[2:] = LEAST_NOISE
        self.loss, self.numbers = minimise_by_newton(self.numbers, low, high, self._loss(groups))

    def _loss(self, groups: Sequence[Entries]) -> Callable[[Tensor], Parts]:
        features = self._features(torch.ones_like(self._sizes()))
        data = [reduced(features.derivatives(part.x, part.by), part.targets, part.order) for part in groups]
        precision = self._precision()

        def loss(numbers: Tensor) -> Parts:
            prior = 0.5 * (precision * numbers.square()).sum(), precision * numbers, precision.diag()
            return total_evidence(data, self._log_sizes(numbers), numbers[2:], LEAST_NOISE, prior)

        return loss

    def _precision(self) -> Tensor:
        """Of the normal prior of the numbers; 0: all are as likely."""
        precision = torch.zeros_like(self.numbers)
        precision[0], precision[1] = 1.0, 0.25
        return precision

    def _log_sizes(self, numbers: Tensor) -> LogSizes:
        """Of all features, as functions of decay and size."""
        falls = -numbers[0].exp() * self.degrees.sum(1)
        waves = numbers.new_ones(2 * len(self.frequencies))
        slopes = torch.block_diag(falls[:, None], waves[:, None])

        def curvature(weights: Tensor) -> Tensor:
            return torch.diag(torch.stack([weights[: len(falls)] @ falls, numbers.new_zeros(())]))

        return LogSizes(torch.cat([falls, numbers[1] * waves]), slopes, curvature)

    def _sizes(self) -> Tensor:
        return self._log_sizes(self.numbers).values.exp()

    def _noise(self) -> Tensor:
        return bounded(self.numbers[2:], LEAST_NOISE)

    def _polynomials(self, sizes: Tensor | None = None) -> ChebyshevFeatures:
        sizes = torch.ones(len(self.degrees), dtype=torch.float64) if sizes is None else sizes
        return ChebyshevFeatures(self.degrees, sizes, self.low, self.high)

    def _features(self, sizes: Tensor) -> WaveFeatures:
        terms, waves = sizes.split([len(self.degrees), 2 * len(self.frequencies)])
        size = waves[0] if len(waves) else terms.new_ones(())
        return WaveFeatures(self.frequencies, size, self._polynomials(terms))


class _Problem:
    """Values, as polynomials and waves.

    Args:
        x: (rows, inputs).
        y: (rows, outputs), finite.
        polynomials: (rows, terms).
    """

    def __init__(self, x: Tensor, y: Tensor, polynomials: Tensor) -> None:
        self.x, self.y, self.polynomials = x, y, polynomials
        self.highest = _highest(x)

    def residuals(self, frequencies: Tensor) -> Float64[Tensor, "rows outputs"]:
        """What no weights reach."""
        return self._solved(frequencies)[1]

    def refined(self, frequencies: Float64[Tensor, "waves inputs"]) -> Float64[Tensor, "waves inputs"]:
        """Those nearby that leave least, none of them higher than where peaks are looked for.

        What is left of clean rows is rounding, in which any frequency is as good as another.
        """
        for _ in range(_STEPS if len(frequencies) else 0):
            weights, before = self._solved(frequencies)
            step, part = self._step(frequencies, weights, before), 1.0
            while part > 1e-3 and not self._is_better(frequencies + part * step, before):
                part /= 4
            if part <= 1e-3:
                break
            frequencies = frequencies + part * step
            if self.residuals(frequencies).square().sum() > _LITTLE * before.square().sum():
                break
        return frequencies

    def _is_better(self, frequencies: Tensor, before: Tensor) -> bool:
        within = bool((frequencies.abs() <= self.highest).all())
        return within and bool(self.residuals(frequencies).norm() < before.norm())

    def _features(self, frequencies: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        phases = self.x @ frequencies.T
        sines, cosines = phases.sin(), phases.cos()
        return torch.cat([self.polynomials, sines, cosines], 1), sines, cosines

    def _solved(self, frequencies: Tensor) -> tuple[Tensor, Tensor]:
        features = self._features(frequencies)[0]
        weights = least_squares(features, self.y)
        return weights, self.y - features @ weights

    def _step(self, frequencies: Tensor, weights: Tensor, residuals: Tensor) -> Tensor:
        """Gauss-Newton, all weights following."""
        beside = self._beside(frequencies, weights).flatten(0, 1)
        norms = beside.norm(dim=0).clamp_min(1e-300)
        return (least_squares(beside / norms, residuals.reshape(-1, 1))[:, 0] / norms).view_as(frequencies)

    def precision(self, frequencies: Tensor) -> Float64[Tensor, "parameters parameters"]:
        """Of the posterior of frequencies, whatever the weights are."""
        weights, residuals = self._solved(frequencies)
        free = max(1, len(self.x) - len(weights))
        deviations = (residuals.square().sum(0) / free).sqrt().clamp_min(_EXACT * self.y.norm())
        beside = (self._beside(frequencies, weights) / deviations[:, None]).flatten(0, 1)
        return beside.T @ beside

    def _beside(self, frequencies: Tensor, weights: Tensor) -> Float64[Tensor, "rows outputs parameters"]:
        """What a change of each frequency makes that no weights do."""
        features, sines, cosines = self._features(frequencies)
        waves = len(frequencies)
        of_sines, of_cosines = weights[-2 * waves :].split(waves)
        slopes = cosines[:, None] * of_sines.T - sines[:, None] * of_cosines.T  # (rows, outputs, waves)
        by_frequency = (slopes[..., None] * self.x[:, None, None]).flatten(2)
        Q = torch.linalg.qr(features).Q
        columns = by_frequency.flatten(1)
        return (columns - Q @ (Q.T @ columns)).view_as(by_frequency)


def highest_peak(x: Float64[Tensor, "rows inputs"], residuals: Tensor) -> Float64[Tensor, " inputs"] | None:
    """The frequency that residuals (rows, outputs) have most of, along up to two inputs, or three of three.

    None where the highest peak may be chance. On a grid of a quarter of the width of a peak, and, as waves of higher
    frequency cannot be told from lower ones in rows that are a grid, up to half a period a distinct value.
    """
    inputs = x.shape[1]
    distinct = [count - 1 for count in levels(x)]
    step = math.pi / (x.amax(0) - x.amin(0)).clamp_min(1e-300)
    chosen = list(combinations(range(inputs), min(2, inputs))) + ([(0, 1, 2)] if inputs == 3 else [])
    best, frequency, count = 0.0, torch.zeros_like(step), 0
    for axes in chosen:
        if min(distinct[j] for j in axes) < _LEVELS:
            continue
        highest = [min(_HIGHEST[len(axes)], distinct[j]) for j in axes]
        numbers = [torch.arange(-k if place else 0, k + 1, dtype=x.dtype) for place, k in enumerate(highest)]
        power = _power([x[:, j, None] * step[j] * n for j, n in zip(axes, numbers, strict=True)], residuals)
        count += power.numel()
        if float(power.max()) > best:
            best = float(power.max())
            places = torch.unravel_index(power.argmax(), power.shape)
            frequency = torch.zeros_like(step)
            for j, n, place in zip(axes, numbers, places, strict=True):
                frequency[j] = n[place] * step[j]
    return frequency if count and best > (math.log(count) + _CHANCE) * residuals.square().sum() else None


def _highest(x: Float64[Tensor, "rows inputs"]) -> Float64[Tensor, " inputs"]:
    """Where peaks are looked for, and a half period in the range of an input more."""
    halves = [min(_HIGHEST[min(2, x.shape[1])], count - 1) + 1 for count in levels(x)]
    return math.pi * x.new_tensor(halves) / (x.amax(0) - x.amin(0)).clamp_min(1e-300)


def _power(phases: Sequence[Tensor], residuals: Tensor) -> Tensor:
    """Squares of the sums of residuals times the waves, over all outputs; (numbers of each axis)."""
    factors = [torch.polar(torch.ones_like(p), -p) for p in phases]
    total: Tensor | float = 0.0
    for column in residuals.T:
        inner = factors[0] * column[:, None]
        for factor in factors[1:-1]:
            inner = (inner[:, :, None] * factor[:, None]).flatten(1)
        sums = inner.T @ factors[-1] if len(factors) > 1 else inner.sum(0)
        total = total + sums.abs().square()
    return total.view([p.shape[1] for p in phases])  # pyright: ignore[reportAttributeAccessIssue]


def _of_low_degree(inputs: int, terms: int) -> Tensor:
    """The degrees of all products up to a total one, about so many."""
    degree = 0
    while math.comb(degree + 1 + inputs, inputs) <= terms:
        degree += 1
    return of_total_degree(inputs, degree, degree + 1)
