"""A Gaussian process through the rows, and what it knows of the function's derivatives (O'Hagan, 1992)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.estimates.hyperparameters import JITTER, hyperparameters, kernel

Moments = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From covariances with the values at the centres and prior variances to posterior means and variances."""

_EVIDENCE_ROWS = 300
"""So many are enough to tell length scales and noise."""
_CENTRES = 512
"""So many rows carry the process; the others enter by projection (Titsias, 2009)."""
_NUMBERS = 1 << 22
"""About so many are in memory at a time."""
_SEEN = 1.5
"""Times the noise that is added for the matrix's sake: beyond that the labels have some."""
_ROUNDING = 1e-13
"""A variance below this part of the prior one is rounding."""


@dataclass(frozen=True)
class GaussianProcess:
    """The posterior of a function and its derivatives, squared exponential covariance with a length for each input.

    Attributes:
        input_mean: of the rows, (inputs,).
        input_scale: their standard deviations.
        output_mean: of the values.
        output_scale: their standard deviation.
        lengths: of each input, in its standard deviations.
        amplitude: in standard deviations of the output.
        noise: standard deviation of the labels' noise, in the units of the output.
        centres: the standardised rows that carry the process.
        weights: of the kernel functions of the centres: the posterior mean.
        factors: inverse triangular factors; what is known of a covariance vector k is Σ ± ‖factor k‖².
        inflation: of the variance, from residuals with each row left out in turn.
    """

    input_mean: Float64[Tensor, " inputs"]
    input_scale: Float64[Tensor, " inputs"]
    output_mean: float
    output_scale: float
    lengths: Float64[Tensor, " inputs"]
    amplitude: float
    noise: float
    centres: Float64[Tensor, "centres inputs"]
    weights: Float64[Tensor, " centres"]
    factors: Float64[Tensor, "factors centres centres"]
    inflation: float

    @classmethod
    def fit(cls, x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, " rows"]) -> Self:
        """Hyperparameters by evidence, then the posterior.

        Args:
            x: at least two different rows, in an order that is random.
            y: their values.
        """
        mean, scale = x.mean(0), _scale(x)
        output_mean, output_scale = float(y.mean()), float(_scale(y[:, None]))
        inputs, values = (x - mean) / scale, (y - output_mean) / output_scale
        lengths, amplitude, noise = hyperparameters(inputs[:_EVIDENCE_ROWS], values[:_EVIDENCE_ROWS])
        units = mean, scale, output_mean, output_scale
        empty = inputs[:0]
        prior = cls(*units, lengths, amplitude, noise * output_scale, empty, empty.sum(1), empty[:, :0, None], 1.0)
        return prior.given(x, y)

    @property
    def seen_noise(self) -> float:
        """The noise, 0 where it is what keeps the matrix positive rather than any of the labels."""
        return self.noise if self.noise > _SEEN * JITTER**0.5 * self.amplitude * self.output_scale else 0.0

    def left_out(self) -> Float64[Tensor, " centres"] | None:
        """Residuals of the rows, each left out in turn, in standard deviations; None where not all are centres.

        Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, equations 5.10 to 5.12.
        """
        return _left_out(self.weights, self.factors[0]) if len(self.factors) == 1 else None

    def given(self, x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, " rows"]) -> Self:
        """The posterior of these hyperparameters after other rows, in an order that is random."""
        inputs, values = (x - self.input_mean) / self.input_scale, (y - self.output_mean) / self.output_scale
        solve = _exact if len(x) <= _CENTRES else _projected
        noise = self.noise / self.output_scale
        weights, factors, inflation = solve(inputs, values, self.lengths, self.amplitude, noise)
        return replace(self, centres=inputs[:_CENTRES], weights=weights, factors=factors, inflation=inflation)

    def derivatives(
        self, x: Float64[Tensor, "points inputs"], order: int
    ) -> list[tuple[Float64[Tensor, "points *inputs"], Float64[Tensor, "points *inputs"]]]:
        """Posterior mean and variance of the value, the gradient and the Hessian, up to an order of 2."""
        return self._in_pieces(x, order, self._moments)

    def means(self, x: Float64[Tensor, "points inputs"], order: int) -> list[Float64[Tensor, "points *inputs"]]:
        """The posterior means alone, which cost far less."""

        def mean(covariance: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
            found = covariance @ self.weights
            return found, found

        return [found for found, _ in self._in_pieces(x, order, mean)]

    def _in_pieces(self, x: Tensor, order: int, moments: Moments) -> list[tuple[Tensor, Tensor]]:
        d = x.shape[1]
        entries = d * (d + 1) // 2 if order > 1 else d if order else 1
        rows = max(1, _NUMBERS // (entries * len(self.centres)))
        parts = [self._derivatives(piece, order, moments) for piece in x.split(rows)]
        return [
            (torch.cat([part[k][0] for part in parts]), torch.cat([part[k][1] for part in parts]))
            for k in range(order + 1)
        ]

    def _derivatives(self, x: Tensor, order: int, moments: Moments) -> list[tuple[Tensor, Tensor]]:
        points = (x - self.input_mean) / self.input_scale
        values = kernel(points, self.centres, self.lengths, self.amplitude)
        slopes = (self.centres - points[:, None]) / self.lengths.square()
        mean, variance = moments(values[:, None], self.amplitude**2 * torch.ones(1, dtype=x.dtype))
        found = [(mean[:, 0] * self.output_scale + self.output_mean, variance[:, 0] * self.output_scale**2)]
        unit = self.output_scale / self.input_scale
        precisions = self.lengths**-2
        if order > 0:
            mean, variance = moments((slopes * values[:, :, None]).movedim(2, 1), self.amplitude**2 * precisions)
            found.append((mean * unit, variance * unit.square()))
        if order > 1:
            i, j = torch.triu_indices(x.shape[1], x.shape[1])
            same = (i == j).double()
            bend = slopes[:, :, i] * slopes[:, :, j] - same * precisions[i]
            prior = self.amplitude**2 * precisions[i] * precisions[j] * (1 + 2 * same)
            mean, variance = moments((bend * values[:, :, None]).movedim(2, 1), prior)
            unit = unit[i] / self.input_scale[j]
            found.append((symmetric(mean * unit), symmetric(variance * unit.square())))
        return found

    def _moments(self, covariance: Float64[Tensor, "points entries centres"], prior: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of what has this covariance with the values at the centres."""
        known = (covariance @ self.factors[0].T).square().sum(2)
        if len(self.factors) > 1:
            known = known - (covariance @ self.factors[1].T).square().sum(2)
        variance = torch.maximum(prior - known, _ROUNDING * prior)
        return covariance @ self.weights, self.inflation * variance

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return dict(self.__dict__)


def symmetric(entries: Float64[Tensor, "points entries"]) -> Float64[Tensor, "points inputs inputs"]:
    """The matrices whose upper triangles these are."""
    d = round((2 * entries.shape[1]) ** 0.5 - 0.5)
    i, j = torch.triu_indices(d, d)
    whole = entries.new_zeros(len(entries), d, d)
    whole[:, i, j] = whole[:, j, i] = entries
    return whole


def _scale(values: Tensor) -> Tensor:
    deviation = values.std(0)
    return deviation.where(deviation > 0, torch.ones_like(deviation))


def _exact(x: Tensor, y: Tensor, lengths: Tensor, amplitude: float, noise: float) -> tuple[Tensor, Tensor, float]:
    """All rows are centres; the inflation is the mean square of the standardised residuals when rows are left out."""
    eye = torch.eye(len(x), dtype=x.dtype)
    L = torch.linalg.cholesky(kernel(x, x, lengths, amplitude) + noise**2 * eye)
    factor = torch.linalg.solve_triangular(L, eye, upper=False)
    weights = factor.T @ (factor @ y)
    return weights, factor[None], max(1.0, float(_left_out(weights, factor).square().mean()))


def _left_out(weights: Tensor, factor: Tensor) -> Float64[Tensor, " rows"]:
    return weights / factor.square().sum(0).sqrt()


def _projected(x: Tensor, y: Tensor, lengths: Tensor, amplitude: float, noise: float) -> tuple[Tensor, Tensor, float]:
    """The first rows are centres, all rows are seen through them."""
    z = x[:_CENTRES]
    eye = torch.eye(len(z), dtype=x.dtype)
    L = torch.linalg.cholesky(kernel(z, z, lengths, amplitude) + JITTER * amplitude**2 * eye)
    inverse = torch.linalg.solve_triangular(L, eye, upper=False)
    seen = inverse @ kernel(z, x, lengths, amplitude) / noise
    LB = torch.linalg.cholesky(eye + seen @ seen.T)
    factor = torch.linalg.solve_triangular(LB, inverse, upper=False)
    weights = factor.T @ (torch.linalg.solve_triangular(LB, (seen @ y)[:, None], upper=False)[:, 0] / noise)
    return weights, torch.stack([inverse, factor]), 1.0
