"""What rows leave open of a kernel in learnt coordinates, whose reach and tails are not known for sure."""

from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.linalg import solve_triangular

from sobolev.estimates.label_rows import LabelRows
from sobolev.estimates.local_levels import LeftOut
from sobolev.estimates.most_probable import MostProbable, most_probable
from sobolev.estimates.upper_triangles import upper_triangles
from sobolev.networks.kernel_features import KernelFeatures, covariance, linear_features, places
from sobolev.surrogates.weights import least_squares

CENTRES = 1000
"""So many labels carry a kernel."""
_EVIDENCE_ROWS = 300
"""So many tell how large its noise is, and which hypothesis is how probable."""
_HYPOTHESES = ((0.0, 1.0), (0.5, 0.7), (0.5, 1.0), (2.0, 0.7), (2.0, 1.0))
"""How heavy the tails are, and what the coordinates are multiplied by. The evidence has chosen the lengths for one
that has none; that the function is rougher in some places than in others is a mixture of lengths, the rational
quadratic (Rasmussen & Williams, 2006, section 4.2.1)."""
_IMPROBABLE = 0.1
"""A hypothesis that is left out."""
_ROUNDING = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class KernelPosterior:
    """Hypotheses on a kernel, and how probable each is.

    Attributes:
        noise: variances of the labels' noise, (outputs,).
        hypotheses: these.
        shares: their probabilities, (hypotheses, outputs).
    """

    noise: Float64[Tensor, " outputs"]
    hypotheses: list["KernelHypothesis"]
    shares: Float64[Tensor, "hypotheses outputs"]

    @classmethod
    def fit(cls, features: KernelFeatures, labels: LabelRows) -> Self:
        """By the evidence, the coordinates given; of many labels each that is kept stands for several."""
        tried = _HYPOTHESES if labels.plain else _HYPOTHESES[:1]
        found = [_Kernel(features, *each).most_probable(labels) for each in tried]
        shares = torch.stack([each.evidence for each in found]).softmax(0)
        kept = [i for i, share in enumerate(shares) if share.max() > _IMPROBABLE]
        bumps = [KernelHypothesis.fit(_Kernel(features, *tried[i]), labels, found[i]) for i in kept]
        shares = shares[kept] / shares[kept].sum(0)
        return cls(sum(s * b.noise for s, b in zip(shares, bumps, strict=True)), bumps, shares)  # pyright: ignore[reportArgumentType]

    def left_out(self, features: KernelFeatures, labels: LabelRows) -> LeftOut:  # noqa: ARG002
        """What the first rows, all of them values, are missed by if they are left out; the mean of the hypotheses."""
        found = [bump.left_out() for bump in self.hypotheses]
        parts = (sum(s * part for s, part in zip(self.shares, each, strict=True)) for each in zip(*found, strict=True))
        return LeftOut(*parts)  # pyright: ignore[reportArgumentType]

    def squares(
        self, features: KernelFeatures, x: Float64[Tensor, "points inputs"], order: int, given: list[Tensor] | None
    ) -> list[Float64[Tensor, "points outputs entries"]]:
        """Of the errors in value, gradient and upper triangle of the Hessian; see `WeightsPosterior.squares`."""
        coordinates, linear = (upper_triangles(function, x, order) for function in (features.coordinates, _linear))
        found = [bump.squares(features, x, coordinates, linear, given) for bump in self.hypotheses]
        shares = self.shares[:, :, None]
        return [sum(s * each[k] for s, each in zip(shares, found, strict=True)) for k in range(order + 1)]  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class KernelHypothesis:
    """A kernel on top of a linear function of the inputs of which nothing is known before.

    Attributes:
        tails: see `_Kernel`.
        stretch: the same.
        noise: variances of the labels' noise, (outputs,).
        prior: variances of the kernel's part of the values, (outputs,).
        x: of the labels, (rows, inputs).
        by: the inputs they are differentiated by, (rows, 2).
        weights: of the labels, (rows,).
        factors: triangular, of the rows' covariance, (outputs, rows, rows).
        trends: the linear functions at the rows, divided by them, (outputs, rows, 1 + inputs).
        slopes: the linear function, (outputs, 1 + inputs, 1).
        along: labels without it, divided by the factors, (outputs, rows, 1).
    """

    tails: float
    stretch: float
    noise: Float64[Tensor, " outputs"]
    prior: Float64[Tensor, " outputs"]
    x: Float64[Tensor, "rows inputs"]
    by: Int64[Tensor, "rows 2"]
    weights: Float64[Tensor, " rows"]
    factors: Float64[Tensor, "outputs rows rows"]
    trends: Float64[Tensor, "outputs rows trends"]
    slopes: Float64[Tensor, "outputs trends 1"]
    along: Float64[Tensor, "outputs rows 1"]

    @classmethod
    def fit(cls, kernel: "_Kernel", labels: LabelRows, found: MostProbable) -> Self:
        """The posterior for the most probable noise."""
        kept = labels.first(CENTRES)
        share = len(kept.x) / len(labels.x)
        matrix = kernel.matrix(kept)
        factors = torch.stack([_cholesky(matrix, each * share) for each in found.noise.tolist()])
        trends = solve_triangular(factors, _trend(kept)[None], upper=False)
        y = solve_triangular(factors, (kept.weights[:, None] * kept.y).T[:, :, None], upper=False)
        slopes = least_squares(trends, y)
        tails, stretch, noise = kernel.tails, kernel.stretch, found.prior * found.noise
        known = kept.x.clone(), kept.by.clone(), kept.weights.clone(), factors, trends
        return cls(tails, stretch, noise, found.prior, *known, slopes, y - trends @ slopes)

    def left_out(self) -> LeftOut:
        """Of its rows (Rasmussen & Williams, 2006, equation 5.12, where linear functions are not known before)."""
        found = []
        for o, factor in enumerate(self.factors):
            inverse = solve_triangular(factor, torch.eye(len(factor), dtype=factor.dtype), upper=False)
            Q = torch.linalg.qr(self.trends[o])[0]
            precision = inverse.square().sum(0) - (Q.T @ inverse).square().sum(0)
            precision = precision.clamp_min(torch.finfo(factor.dtype).tiny)
            residuals = (inverse.T @ self.along[o])[:, 0] / precision
            found.append((residuals.square(), (self.prior[o] / precision - self.noise[o]).clamp_min(0)))
        squares, variances = (torch.stack(column, 1) for column in zip(*found, strict=True))
        return LeftOut(squares, variances)

    def squares(
        self,
        features: KernelFeatures,
        x: Tensor,
        coordinates: list[Tensor],
        linear: list[Tensor],
        given: list[Tensor] | None,
    ) -> list[Tensor]:
        """As those of `KernelPosterior`; of coordinates and linear functions, what `upper_triangles` says of them."""
        kernel = _Kernel(features, self.tails, self.stretch)
        covariances = kernel.covariances(x, coordinates, self.x, self.by)
        rest, found = torch.linalg.qr(self.trends, mode="r")[1].mT, []
        for k, (prior, known, trend) in enumerate(zip(kernel.priors(coordinates), covariances, linear, strict=True)):
            shape, trend = (len(self.prior), *prior.shape), trend.flatten(0, 1).T
            seen = solve_triangular(self.factors, (known * self.weights).flatten(0, 1).T[None], upper=False)
            unseen = solve_triangular(rest, trend - self.trends.mT @ seen, upper=False)
            told, open_ = (t.square().sum(1).reshape(shape) for t in (seen, unseen))
            left = torch.maximum(prior - told, 8 * _ROUNDING * prior) + open_
            squares = (left * self.prior[:, None, None]).transpose(0, 1)
            mean = (seen.mT @ self.along + trend.T @ self.slopes).reshape(shape).transpose(0, 1)
            found.append(squares if given is None else squares + (mean - given[k]).square())
        return found


@dataclass(frozen=True)
class _Kernel:
    """exp(-½ r²), or with heavier tails (1 + tails r²/2)^(-1/tails), r the distance of stretched coordinates."""

    features: KernelFeatures
    tails: float
    stretch: float

    def covariances(
        self, x: Tensor, coordinates: list[Tensor], centres: Tensor, by: Tensor
    ) -> list[Float64[Tensor, "points entries rows"]]:
        """Of values and derivatives at points, where the coordinates are known (see `upper_triangles`), with labels."""
        here = self.features
        if bool((by >= 0).any()):
            bumps = KernelFeatures(centres, here.scales, 0, by)
            bumps.scales, bumps.units, bumps.strengths = here.scales, here.units, here.strengths
            return upper_triangles(bumps, x, len(coordinates) - 1)
        return self._by_chain_rule(coordinates, self.features.coordinates(centres).cpu())

    def _by_chain_rule(self, coordinates: list[Tensor], there: Tensor) -> list[Tensor]:
        """A function of half the squared distance, whose derivatives are products."""
        here, factor = coordinates[0], self.stretch**2
        values, firsts, seconds = self._of_half_squares(factor * self._half_squares(here[:, 0], there))
        found = [values[:, None]]
        if len(coordinates) > 1:
            slopes = coordinates[1]
            rates = factor * ((slopes * here).sum(2, keepdim=True) - slopes @ there.T)
            found.append(firsts[:, None] * rates)
        if len(coordinates) > 2:
            bends, (i, j) = coordinates[2], torch.triu_indices(slopes.shape[1], slopes.shape[1])
            both = (slopes[:, i] * slopes[:, j] + bends * here).sum(2, keepdim=True) - bends @ there.T
            found.append(seconds[:, None] * rates[:, i] * rates[:, j] + factor * firsts[:, None] * both)
        return found

    def _of_half_squares(self, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The kernel and its derivatives by half the squared distance."""
        if self.tails == 0:
            value = torch.exp(-half)
            return value, -value, value
        base = 1 + self.tails * half
        value = base ** (-1 / self.tails)
        return value, -value / base, (1 + self.tails) * value / base.square()

    @staticmethod
    def _half_squares(here: Tensor, there: Tensor) -> Tensor:
        return 0.5 * ((here * here).sum(1, keepdim=True) + (there * there).sum(1)) - here @ there.T

    def matrix(self, labels: LabelRows) -> Float64[Tensor, "rows rows"]:
        """Covariances of labels, weighted."""
        if labels.plain:
            at = self.features.coordinates(labels.x)
            return self._of_half_squares(self.stretch**2 * self._half_squares(at, at))[0].cpu()
        own = self.features
        found = covariance(places(labels.x, labels.by, own.scales, own.units, own.strengths)).cpu()
        return found * labels.weights * labels.weights[:, None]

    def priors(self, coordinates: list[Tensor]) -> list[Float64[Tensor, "points entries"]]:
        """Variances of values and derivatives, the coordinates being functions of x; see `upper_triangles`."""
        found = [torch.ones_like(coordinates[0][:, :, 0])]
        if len(coordinates) > 1:
            slopes = self.stretch * coordinates[1]
            found.append(slopes.square().sum(2))
        if len(coordinates) > 2:
            i, j = torch.triu_indices(slopes.shape[1], slopes.shape[1])
            products = (slopes[:, i] * slopes[:, j]).sum(2)
            both = found[1][:, i] * found[1][:, j] + 2 * products.square()
            found.append((1 + self.tails) * both + (self.stretch * coordinates[2]).square().sum(2))
        return [prior.cpu() for prior in found]

    def most_probable(self, labels: LabelRows) -> MostProbable:
        """Noise and size, by the evidence of what no linear function of the inputs explains."""
        labels = labels.first(_EVIDENCE_ROWS)
        Q = torch.linalg.qr(_trend(labels))[0]
        matrix, y = self.matrix(labels), labels.weights[:, None] * labels.y
        matrix = matrix - Q @ (Q.T @ matrix)
        matrix = matrix - (matrix @ Q) @ Q.T
        squares, U = torch.linalg.eigh((matrix + matrix.T) / 2)
        squares, U = squares[Q.shape[1] :].clamp_min(0), U[:, Q.shape[1] :]
        along = U.T @ (y - Q @ (Q.T @ y))
        return most_probable(squares, along, torch.zeros_like(y[0]), len(squares), 4 * _ROUNDING)


def _linear(x: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(x[:, :1]), x], 1)


def _trend(labels: LabelRows) -> Float64[Tensor, "rows trends"]:
    """What each label makes of the linear functions, weighted."""
    return labels.weights[:, None] * linear_features(labels.x, labels.by).cpu()


def _cholesky(matrix: Tensor, noise: float) -> Tensor:
    """With more noise where rounding asks for it."""
    eye = torch.eye(len(matrix), dtype=matrix.dtype)
    factor, failed = torch.linalg.cholesky_ex(matrix + noise * eye)
    while failed:
        noise = max(4 * noise, _ROUNDING)
        factor, failed = torch.linalg.cholesky_ex(matrix + noise * eye)
    return factor
