"""Rules of norms of vectors and matrices, and of what is scaled by them."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.rules.reductions.sums import root, total
from sobolev.autodiff.rules.shape.axes import axes_of
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import revalued
from sobolev.autodiff.taylor.propagation import with_square
from sobolev.autodiff.taylor.registry import rule


@rule(torch.linalg.vector_norm)
def vector_norm(
    x: Any,
    ord: Any = 2,  # noqa: A002
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Any:
    """(Σ |x|^ord)^(1/ord); the largest |x| where ord is infinite, the count of entries not 0 where it is 0."""
    x, axes = x if dtype is None else x.to(dtype), axes_of(x, dim)
    value = torch.linalg.vector_norm(x.value, ord, axes, keepdim)
    if ord == 0:
        return Jet(x.space, value, value.new_zeros(0, *value.shape))
    higher = _length(x, axes, keepdim) if ord == 2 else _root_of_powers(x, float(ord), axes, keepdim)
    result = revalued(higher, value)
    return with_square(result, lambda: _sum_of_squares(x, axes, keepdim)) if ord == 2 else result


@rule("norm")
def norm(x: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: torch.dtype | None = None) -> Any:
    """The vector norm along some axes; `"fro"` is the 2-norm."""
    if p == "nuc":
        return matrix_norm(x, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(x, 2 if p in (None, "fro") else p, dim, keepdim, dtype=dtype)


@rule(torch.linalg.norm)
def linalg_norm(
    x: Any,
    ord: Any = None,  # noqa: A002
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Any:
    """A vector norm along one axis, a matrix norm along two."""
    axes = axes_of(x, dim)
    if ord is not None and len(axes) == 2:
        return matrix_norm(x, ord, axes, keepdim, dtype=dtype)
    return vector_norm(x, 2 if ord is None else ord, axes, keepdim, dtype=dtype)


@rule(torch.linalg.matrix_norm)
def matrix_norm(
    x: Any,
    ord: Any = "fro",  # noqa: A002
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Any:
    """Frobenius, nuclear and spectral norm, or the largest (smallest) absolute sum of a row or column."""
    if ord == "fro":
        return vector_norm(x, 2, dim, keepdim, dtype=dtype)
    rows, columns = axes_of(x, dim)
    if ord in (2, -2, "nuc"):
        values = torch.linalg.svdvals((x if dtype is None else x.to(dtype)).movedim((rows, columns), (-2, -1)))
        result = values.sum(-1) if ord == "nuc" else values[..., 0 if ord == 2 else -1]
        return result.unsqueeze(min(rows, columns)).unsqueeze(max(rows, columns)) if keepdim else result
    summed, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = total(torch.abs(x if dtype is None else x.to(dtype)), summed, True)
    extreme = (torch.amax if ord > 0 else torch.amin)(sums, other, True)
    return extreme if keepdim else extreme.squeeze((rows, columns))


@rule("frobenius_norm")
def frobenius_norm(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The root of the sum of squares."""
    return vector_norm(x, 2, dim, keepdim)


@rule("nuclear_norm")
def nuclear_norm(x: Any, dim: Any = (-2, -1), keepdim: bool = False) -> Any:
    """The sum of the singular values."""
    return matrix_norm(x, "nuc", dim, keepdim)


@rule(functional.normalize)
def normalize(x: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """X divided by its norm, or by eps where that is larger."""
    return x / torch.clamp_min(vector_norm(x, p, dim, keepdim=True), eps)


@rule("renorm")
def renorm(x: Any, p: float, dim: int, maxnorm: float) -> Any:
    """Slices along an axis, shortened to a norm of at most maxnorm."""
    others = [axis for axis in range(x.value.dim()) if axis != dim % x.value.dim()]
    length = vector_norm(x, p, others, keepdim=True)
    return x * torch.where(length.value > maxnorm, maxnorm / (length + 1e-7), 1.0)


def _length(x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    """The 2-norm. Its derivatives need the squares of degree 1 and more only: x is scaled by how much it changes."""
    slopes = x.full[: 0 if x.space.tape else x.space.directions]  # both passes with a tape take the same scale
    own, kept = _scale(x.value.abs(), axes), _scale(slopes.abs().amax(0) if len(slopes) else x.value.abs(), axes)
    scaled = x / kept
    squares = torch.view_as_real(scaled).square().sum(-1) if x.value.is_complex() else scaled * scaled
    value = torch.linalg.vector_norm(x.value / own, 2, axes, True) * (own / kept)
    bent = (x.full != 0).any(0).sum(axes, keepdim=True) > 0 if len(x.higher) else None  # a kink, where the square is 0
    result = root(total(squares, axes, True), value, bent) * kept
    return result if keepdim else result.squeeze(axes)


def _sum_of_squares(x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    squares = torch.view_as_real(x).square().sum(-1) if x.value.is_complex() else x * x
    return total(squares, axes, keepdim)


def _root_of_powers(x: Any, ord: float, axes: tuple[int, ...], keepdim: bool) -> Any:  # noqa: A002
    """Other norms; powers are taken of numbers scaled to 1, so that they neither overflow nor vanish."""
    if math.isinf(ord):
        return (torch.amax if ord > 0 else torch.amin)(torch.abs(x), axes, keepdim)
    absolute: Any = torch.abs(x)
    if ord == 1:
        return total(absolute, axes, keepdim)
    kept = _scale(absolute.value, axes)
    root_of_scaled = power_or_zero(total((absolute / kept) ** ord, axes, keepdim), 1 / ord)
    return root_of_scaled * (kept if keepdim else kept.squeeze(axes))


def power_or_zero(x: Any, exponent: float) -> Any:
    """X ** exponent; where x is 0, all derivatives are 0, as PyTorch has them."""
    zero = x.value == 0
    safe: Any = Jet(x.space, torch.where(zero, 1.0, x.value), x.higher)
    return torch.where(zero, x.value**exponent, safe**exponent)


def _scale(value: Tensor, axes: tuple[int, ...]) -> Tensor:
    """A power of two near the largest entry; constant, for the norm does not depend on it."""
    if value.numel() == 0:
        return value.new_ones([1 if axis in axes else n for axis, n in enumerate(value.shape)])
    largest = value.detach().amax(axes, keepdim=True)
    _, exponent = torch.frexp(torch.where(torch.isfinite(largest) & (largest > 0), largest, 1.0))
    return torch.ldexp(torch.ones_like(largest), exponent)
