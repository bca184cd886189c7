"""The evidence of a Bayesian linear layer: value, gradient, solution; normal equations are never formed.

The targets are y ~ N(0, λ(Φ Φᵀ + σ² I)): weights with the prior N(0, λ), noise of variance λσ². The best λ of each
output is known, yᵀ(Φ Φᵀ + σ² I)⁻¹y / rows, and put in (Rasmussen & Williams, Gaussian Processes, 2006, chapter 5).
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.linalg import solve_triangular

_TINY = 1e-150
"""A size below this one is none."""
_RANGE = 20.0
"""Logarithm of the ratio of two noises: of rows that weigh less than by this, rounding of the others leaves nothing."""


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
    if rows <= width:
        return features, targets, targets.new_zeros(targets.shape[1])
    factor = torch.linalg.qr(torch.cat([features, targets], 1), mode="r")[1]
    return factor[:width, :width], factor[:width, width:], factor[width:, width:].square().sum(0)


def negative_log_evidence(data: Reduced, sizes: Tensor, log_noise: Tensor) -> Tensor:
    """Of features multiplied by their sizes (features,), but for a constant; differentiable by sizes and noise.

    Args:
        data: rows.
        sizes: (features,).
        log_noise: one number, or that of each kind of rows, (kinds,).
    """
    return _Evidence.apply(sizes, log_noise.reshape(-1)[: len(data.rows)], data)


def bounded(log_noise: Float64[Tensor, " kinds"], least: float) -> Float64[Tensor, " kinds"]:
    """At least so much, and of the kinds of rows no noises so different that float64 loses the noisier rows."""
    found = log_noise.clamp_min(least)
    return torch.maximum(found, found.detach().max() - _RANGE)


class _Evidence(torch.autograd.Function):
    """By the QR decomposition of the smaller side above the noise, rows in units of theirs.

    Errors grow with the condition, not its square; and derivatives by the sizes ask for weights, not for residuals,
    of which rounding leaves nothing where the noise is small.
    """

    @staticmethod
    def forward(ctx: Any, sizes: Tensor, log_noise: Tensor, data: Reduced) -> Tensor:
        noise = log_noise.exp()
        units = noise[data.kinds][:, None]
        features, targets = data.features * sizes / units, data.targets / units
        outside = data.outside / noise[:, None].square()
        found = (_narrow if sizes.numel() <= len(targets) else _wide)(features, targets)
        rows, outputs = int(data.rows.sum()), targets.shape[1]
        square = found.square + outside.sum(0)
        shares = rows / square
        by_sizes = (outputs * found.used - (found.weights.square() * shares).sum(1)) / sizes.clamp_min(_TINY)
        own = outputs * (1 - found.leverages) - (found.residuals.square() * shares).sum(1)
        beyond = outputs * (data.rows - data.kinds.bincount(minlength=len(noise))) - (outside * shares).sum(1)
        ctx.save_for_backward(by_sizes, beyond.index_add(0, data.kinds, own))
        return 0.5 * rows * (square / rows).log().sum() + outputs * (found.volume + (data.rows * log_noise).sum())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        by_sizes, by_noise = ctx.saved_tensors
        return gradient * by_sizes, gradient * by_noise, None


class _Solved(NamedTuple):
    """With A = Φ Φᵀ + 1.

    Attributes:
        square: yᵀA⁻¹y, (outputs,).
        weights: ΦᵀA⁻¹y, (features, outputs).
        residuals: A⁻¹y, (rows, outputs).
        used: the diagonal of ΦᵀA⁻¹Φ, (features,).
        leverages: one minus that of A⁻¹, (rows,).
        volume: half the logarithm of the determinant.
        inverse: X with A⁻¹ = 1 - Φ X Xᵀ Φᵀ if features are fewer, else with A⁻¹ = X Xᵀ.
    """

    square: Tensor
    weights: Tensor
    residuals: Tensor
    used: Tensor
    leverages: Tensor
    volume: Tensor
    inverse: Tensor


def _narrow(features: Tensor, targets: Tensor) -> _Solved:
    width = features.shape[1]
    eye = torch.eye(width, dtype=features.dtype, device=features.device)
    below = torch.cat([eye, targets.new_zeros(width, targets.shape[1])], 1)
    R = torch.linalg.qr(torch.cat([torch.cat([features, targets], 1), below]), mode="r")[1]
    R, half, rest = R[:width, :width], R[:width, width:], R[width:, width:]
    weights, inverse = solve_triangular(R, half, upper=True), solve_triangular(R, eye, upper=True)
    used, leverages = 1 - inverse.square().sum(1), (features @ inverse).square().sum(1)
    volume = R.diagonal().abs().log().sum()
    return _Solved(rest.square().sum(0), weights, targets - features @ weights, used, leverages, volume, inverse)


def _wide(features: Tensor, targets: Tensor) -> _Solved:
    eye = torch.eye(len(features), dtype=features.dtype, device=features.device)
    R = torch.linalg.qr(torch.cat([features.T, eye]), mode="r")[1]
    half = solve_triangular(R.T, targets, upper=False)
    inverse = solve_triangular(R, eye, upper=True)
    through = features.T @ inverse
    leverages = 1 - inverse.square().sum(1)
    volume = R.diagonal().abs().log().sum()
    square = half.square().sum(0)
    return _Solved(square, through @ half, inverse @ half, through.square().sum(1), leverages, volume, inverse)


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
        through = solve_triangular(factor.T, white @ found.inverse, upper=True)
        by_linear = outputs * through @ found.inverse.T - (alpha * shares) @ found.weights.T
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
