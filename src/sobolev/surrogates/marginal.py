"""The evidence of a Bayesian linear layer: value, gradient, solution; normal equations are never formed.

The targets are y ~ N(0, λ(Φ Φᵀ + σ² I)): weights with the prior N(0, λ), noise of variance λσ². The best λ of each
output is known, yᵀ(Φ Φᵀ + σ² I)⁻¹y / rows, and put in (Rasmussen & Williams, Gaussian Processes, 2006, chapter 5).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.linalg import solve_triangular

_RANGE = 20.0
"""Logarithm of the ratio of two noises: of rows that weigh less than by this, rounding of the others leaves nothing."""

Parts = tuple[Tensor, Tensor, Tensor, Tensor]
"""A loss, its gradient, and two parts of its Hessian: Gauss-Newton's, and the rest."""
_BLOCK = 64
"""Columns that a triangular factor is made of at a time."""


class Solution(NamedTuple):
    """The weights of the layer.

    Attributes:
    weights: the mean of the posterior, (features, outputs).
    left_out: what each row is missed by if it is left out, (rows, outputs).
    """

    weights: Float64[Tensor, "features outputs"]
    left_out: Float64[Tensor, "rows outputs"]


class Reduced(NamedTuple):
    """Rows as triangular factors keep them, one for each kind of noise: all that the evidence asks for."""

    features: Float64[Tensor, "kept features"]
    targets: Float64[Tensor, "kept outputs"]
    kinds: Int64[Tensor, " kept"]
    outside: Float64[Tensor, "kinds outputs"]
    """Squares of the targets that no feature reaches."""
    rows: Int64[Tensor, " kinds"]


def reduced(
    features: Float64[Tensor, "rows features"],
    targets: Float64[Tensor, "rows outputs"],
    kinds: Int64[Tensor, " rows"] | None = None,
) -> Reduced:
    """Of each kind as few rows as there are features; all of them where they are fewer."""
    kinds = torch.zeros(len(targets), dtype=torch.long, device=targets.device) if kinds is None else kinds
    rows = kinds.bincount()
    parts = [_reduced(features[kinds == k], targets[kinds == k]) for k in range(len(rows))]
    kept = [torch.full((len(part[0]),), k, device=targets.device) for k, part in enumerate(parts)]
    factors, sides, outside = zip(*parts, strict=True)
    return Reduced(torch.cat(factors), torch.cat(sides), torch.cat(kept), torch.stack(outside), rows)


def _reduced(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows, width = features.shape
    if rows < width:
        return features, targets, targets.new_zeros(targets.shape[1])
    factor = torch.linalg.qr(torch.cat([features, targets], 1), mode="r")[1]
    return factor[:width, :width], factor[:width, width:], factor[width:, width:].square().sum(0)


class LogSizes(NamedTuple):
    """Logarithms of prior deviations, as functions of some numbers.

    Attributes:
        values: (features,).
        slopes: by these numbers.
        curvature: of a sum of them with given weights, (features,); (numbers, numbers).
    """

    values: Float64[Tensor, " features"]
    slopes: Float64[Tensor, "features numbers"]
    curvature: Callable[[Tensor], Tensor]


def negative_log_evidence(data: Reduced, sizes: LogSizes, log_noise: Tensor) -> Parts:
    """But for a constant, of features multiplied by their sizes; its gradient, and about its Hessian in two parts.

    The first is what Gauss and Newton would take, of products of first derivatives of the covariance: the average of
    the Hessian's and of what is expected of them (Gilmour, Thompson & Cullis, Average information REML, 1995). The
    other one is that of the second derivatives.

    Args:
        data: rows.
        sizes: of the features, as functions of some numbers.
        log_noise: that of each kind of rows, (kinds,).

    Returns:
        The value, the gradient by these numbers and by the noises, (numbers + kinds,), and two square matrices.
    """
    found = _Evidence(data, sizes.values.exp(), log_noise)
    by_sizes, by_noise = found.by_log_sizes(), found.by_log_noise()
    bent = sizes.slopes.T @ (2 * by_sizes[:, None] * sizes.slopes) + sizes.curvature(by_sizes)
    gradient = torch.cat([sizes.slopes.T @ by_sizes, by_noise])
    return found.loss, gradient, found.information(sizes.slopes), torch.block_diag(bent, 2 * by_noise.diag())


def total_evidence(
    groups: Sequence[Reduced],
    sizes: LogSizes,
    log_noise: Tensor,
    least_noise: float,
    prior: tuple[Tensor, Tensor, Tensor],
) -> Parts:
    """`negative_log_evidence` of groups of outputs with common sizes and noises, and of a prior of the numbers.

    Args:
        groups: rows of each.
        sizes: see there.
        log_noise: one for each kind of rows, `bounded` here.
        least_noise: its bound.
        prior: value, gradient and Hessian of the prior, by all numbers and noises.
    """
    noise = bounded(log_noise, least_noise)
    value, gradient, information, rest = prior[0], prior[1].clone(), prior[2].clone(), torch.zeros_like(prior[2])
    for data in groups:
        kinds = len(data.rows)
        own = negative_log_evidence(data, sizes, noise[:kinds])
        free = torch.cat([noise.new_ones(sizes.slopes.shape[1]), (noise == log_noise)[:kinds].to(noise)])
        count, value = len(free), value + own[0]
        gradient[:count] += free * own[1]
        for total, part in ((information, own[2]), (rest, own[3])):
            total[:count, :count] += free.outer(free) * part
    return value, gradient, information, rest


def bounded(log_noise: Float64[Tensor, " kinds"], least: float) -> Float64[Tensor, " kinds"]:
    """At least so much, and of the kinds of rows no noises so different that float64 loses the noisier rows."""
    found = log_noise.clamp_min(least)
    return torch.maximum(found, found.detach().max() - _RANGE)


class _Evidence:
    """By the QR decomposition of the smaller side above the noise, rows in units of theirs.

    Errors grow with the condition, not its square; and derivatives by the sizes ask for weights, not for residuals,
    of which rounding leaves nothing where the noise is small.
    """

    def __init__(self, data: Reduced, sizes: Tensor, log_noise: Tensor) -> None:
        noise = log_noise.exp()
        units = noise[data.kinds][:, None]
        self.data, self.features = data, data.features * sizes / units
        targets, outside = data.targets / units, data.outside / noise[:, None].square()
        self.wide = len(sizes) > len(targets)
        if self.wide:
            self.solved = _wide(self.features, targets)
        else:
            self.solved = _narrow(self.features, targets, triangular=len(noise) == 1)
        self.squares = outside.index_add(0, data.kinds, self.solved.residuals.square())  # (kinds, outputs)
        self.square, self.outputs, rows = self.solved.square + outside.sum(0), targets.shape[1], int(data.rows.sum())
        self.shares = rows / self.square
        volume = self.solved.volume + (data.rows * log_noise).sum()
        self.loss = 0.5 * rows * (self.square / rows).log().sum() + self.outputs * volume

    def by_log_sizes(self) -> Float64[Tensor, " features"]:
        return self.outputs * self.solved.used - (self.solved.weights.square() * self.shares).sum(1)

    def by_log_noise(self) -> Float64[Tensor, " kinds"]:
        rows, kinds = self.data.rows, self.data.kinds
        if len(rows) == 1:
            leverages = self.solved.used.sum()[None]
        else:
            each = _leverages(self.features, self.solved.factor)
            leverages = each.new_zeros(len(rows)).index_add(0, kinds, each)
        return self.outputs * (rows - leverages) - (self.squares * self.shares).sum(1)

    def information(self, slopes: Tensor) -> Float64[Tensor, "numbers numbers"]:
        total = slopes.new_zeros(())
        kinds = torch.nn.functional.one_hot(self.data.kinds, len(self.data.rows)).to(slopes.dtype)
        for k in range(self.outputs):
            weights = self.solved.weights[:, k, None]
            by_sizes, by_noise = slopes * weights, kinds * self.solved.residuals[:, k, None]
            if self.wide:
                white = self._white(torch.cat([self.features @ by_sizes, by_noise], 1))
                products = white.T @ white
            else:
                white = self._white(torch.cat([by_sizes, -self.features.T @ by_noise], 1))
                products = torch.block_diag(by_sizes.T @ by_sizes, self.squares[:, k].diag()) - white.T @ white
            half = torch.cat([(by_sizes.T @ weights)[:, 0], self.squares[:, k]])  # minus half the slopes of the square
            total = total + 2 * self.shares[k] * (products - half.outer(half) / self.square[k])
        return total

    def _white(self, columns: Tensor) -> Tensor:
        return solve_triangular(self.solved.factor.T, columns, upper=False)


class _Solved(NamedTuple):
    """With A = Φ Φᵀ + 1.

    Attributes:
        square: yᵀA⁻¹y, (outputs,).
        weights: ΦᵀA⁻¹y, (features, outputs).
        residuals: A⁻¹y, (rows, outputs).
        used: the diagonal of ΦᵀA⁻¹Φ, (features,).
        volume: half the logarithm of the determinant.
        factor: the upper triangle R with RᵀR = ΦᵀΦ + 1 if features are fewer, else RᵀR = A.
    """

    square: Tensor
    weights: Tensor
    residuals: Tensor
    used: Tensor
    volume: Tensor
    factor: Tensor


def _narrow(features: Tensor, targets: Tensor, triangular: bool = False) -> _Solved:
    width, beyond = features.shape[1], targets.new_zeros(targets.shape[1])
    if not triangular:
        factor = torch.linalg.qr(torch.cat([features, targets], 1), mode="r")[1]
        top, beyond = factor[:width], factor[width:, width:].square().sum(0)
    else:
        top = torch.cat([features, targets], 1)
    R, rest = _above_one(top)
    R, half = R[:, :width], R[:, width:]
    weights = solve_triangular(R, half, upper=True)
    used = 1 - torch.cholesky_inverse(R, upper=True).diagonal()
    square, residuals = rest.square().sum(0) + beyond, targets - features @ weights
    return _Solved(square, weights, residuals, used, R.diagonal().abs().log().sum(), R)


def _wide(features: Tensor, targets: Tensor) -> _Solved:
    R, _ = _above_one(torch.linalg.qr(features.T, mode="r")[1])
    through = solve_triangular(R.T, torch.cat([targets, features], 1), upper=False)
    half, through = through.split([targets.shape[1], features.shape[1]], 1)
    square, residuals = half.square().sum(0), solve_triangular(R, half, upper=True)
    return _Solved(square, through.T @ half, residuals, through.square().sum(0), R.diagonal().abs().log().sum(), R)


def _inverse(R: Tensor) -> Tensor:
    return solve_triangular(R, torch.eye(len(R), dtype=R.dtype, device=R.device), upper=True)


def _leverages(features: Tensor, factor: Tensor) -> Float64[Tensor, " rows"]:
    """One minus the diagonal of A⁻¹."""
    inverse = _inverse(factor)
    if features.shape[1] > len(features):
        return 1 - inverse.square().sum(1)
    return (features @ inverse).square().sum(1)


def _above_one(top: Tensor) -> tuple[Tensor, Tensor]:
    """The triangular factor of rows [R, Y] above [1, 0], with R triangular, and what Y leaves below.

    By blocks of columns, below which only a triangle of the unit matrix has become anything but zero: less than half of
    the time of a decomposition that does not know (Golub & Van Loan, Matrix Computations, 2013, sections 5.2.3, 6.5.3).
    """
    top, width = top.clone(), len(top)
    below = torch.cat([torch.eye(width, dtype=top.dtype, device=top.device), torch.zeros_like(top[:, width:])], 1)
    for start in range(0, width, _BLOCK):
        end = min(start + _BLOCK, width)
        rows = torch.cat([top[start:end, start:], below[:end, start:]])
        reflectors, factors = torch.geqrf(rows[:, : end - start])
        top[start:end, start:end] = reflectors[: end - start].triu()
        rest = torch.ormqr(reflectors, factors, rows[:, end - start :], transpose=True)
        top[start:end, end:], below[:end, end:] = rest[: end - start], rest[end - start :]
    return top, below[:, width:]


def cost_of_choice(
    hessian: Float64[Tensor, "numbers numbers"], precision: Float64[Tensor, " numbers"]
) -> Float64[Tensor, ""]:
    """Logarithm of how much wider the prior of numbers is than their posterior, by Laplace's approximation.

    What evidence at the most probable numbers overstates that of all of them by (MacKay, Bayesian interpolation, 1992,
    section 2.2).

    Args:
        hessian: of minus the logarithm of evidence and prior.
        precision: of the normal prior of each; 0: left out.
    """
    chosen = precision > 0
    deviations = precision[chosen].rsqrt()
    scaled = hessian[chosen][:, chosen] * deviations.outer(deviations)
    return 0.5 * torch.linalg.eigvalsh((scaled + scaled.T) / 2).clamp_min(1.0).log().sum()


def solve(features: Float64[Tensor, "rows features"], targets: Tensor, noise: float) -> Solution:
    """The most probable weights, and the errors of each row without it, in closed form."""
    rows, width = features.shape
    eye = torch.eye(min(rows, width), dtype=features.dtype)
    if width <= rows:
        Q, R = torch.linalg.qr(torch.cat([features, noise * eye]))
        Q = Q[:rows]
        weights = solve_triangular(R, Q.T @ targets, upper=True)
        rest = targets - features @ weights
        return Solution(weights, rest / (1 - Q.square().sum(1, keepdim=True)).clamp_min(1e-12))
    Q, R = torch.linalg.qr(torch.cat([features.T, noise * eye]))
    half = solve_triangular(R.T, targets, upper=False)
    inverse = solve_triangular(R, eye, upper=True)
    alpha = solve_triangular(R, half, upper=True)
    return Solution(Q[:width] @ half, alpha / inverse.square().sum(1, keepdim=True))


def kernel_evidence(
    kernel: Float64[Tensor, "rows rows"], linear: Float64[Tensor, "rows columns"], targets: Tensor, log_noise: Tensor
) -> Tensor:
    """The same, given Φ Φᵀ and further features, and one noise or that of each row; infinite where no covariance.

    The further ones, of few columns and large, are kept apart: in the sum their rounding would hide a small noise.
    """
    return _KernelEvidence.apply(kernel, linear, targets, log_noise.expand(len(kernel)))


class _KernelEvidence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Tensor, linear: Tensor, targets: Tensor, log_noise: Tensor) -> Tensor:
        (rows, outputs), noise = targets.shape, (2 * log_noise).exp()
        factor, failed = torch.linalg.cholesky_ex(kernel + noise.diag())
        if failed:
            ctx.save_for_backward(*map(torch.zeros_like, (kernel, linear, log_noise)))
            return kernel.new_tensor(math.inf)
        white, found = _whitened(factor, linear, targets)
        shares = rows / found.square
        alpha = solve_triangular(factor.T, found.residuals, upper=True)
        inverse = _inverse(found.factor)
        through = solve_triangular(factor.T, white @ inverse, upper=True)
        by_linear = outputs * through @ inverse.T - (alpha * shares) @ found.weights.T
        by_kernel = outputs * (torch.cholesky_inverse(factor) - through @ through.T) - (alpha * shares) @ alpha.T
        ctx.save_for_backward(0.5 * by_kernel, by_linear, noise * by_kernel.diagonal())
        volume = factor.diagonal().log().sum() + found.volume
        return 0.5 * rows * (found.square / rows).log().sum() + outputs * volume

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        by_kernel, by_linear, by_noise = ctx.saved_tensors
        return gradient * by_kernel, gradient * by_linear, None, gradient * by_noise


def _whitened(factor: Tensor, linear: Tensor, targets: Tensor) -> tuple[Tensor, "_Solved"]:
    """Further features in units of the covariance of the rest, and the problem they leave."""
    white = solve_triangular(factor, torch.cat([linear, targets], 1), upper=False)
    white, sides = white.split([linear.shape[1], targets.shape[1]], 1)
    return white, _narrow(white, sides)


def kernel_solve(
    kernel: Float64[Tensor, "rows rows"], linear: Tensor, targets: Tensor, noise: Tensor | float
) -> tuple[Tensor, Tensor]:
    """As `solve`, given Φ Φᵀ and further features: weights of the kernel's columns, (rows, outputs), and of those."""
    squares = torch.as_tensor(noise, dtype=kernel.dtype, device=kernel.device).square()
    factor = torch.linalg.cholesky(kernel + squares.expand(len(kernel)).diag())
    found = _whitened(factor, linear, targets)[1]
    return solve_triangular(factor.T, found.residuals, upper=True), found.weights
