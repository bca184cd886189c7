"""Rules of sums, means and products along axes."""

from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.rules.shape.axes import along, along_one, axes_of
from sobolev.autodiff.rules.shape.views import clone, sequence
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped, padded, revalued
from sobolev.autodiff.taylor.propagation import compose
from sobolev.autodiff.taylor.registry import rule
from sobolev.autodiff.taylor.sides import is_watched, note, one_sided, root_from_one_side
from sobolev.autodiff.taylor.space import Space


@rule("sum")
def total(x: Any, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """The sum."""
    x = x if dtype is None else x.to(dtype)
    axes = axes_of(x, dim)
    return along(x, axes, lambda t, a: t.sum(a, keepdim)) if axes else x


@rule(Tensor.sum_to_size)
def sum_to_size(x: Any, *sizes: Any, size: Any = None) -> Any:
    """Sums along the axes that a tensor of that size would be broadcast along."""
    shape = sequence(sizes) if size is None else size
    extra = x.value.dim() - len(shape)
    axes = [axis for axis, n in enumerate(x.value.shape) if axis < extra or shape[axis - extra] != n]
    return total(x, axes, True).reshape(shape) if axes else x


@rule("mean")
def mean(x: Any, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """The mean."""
    x = x if dtype is None else x.to(dtype)
    axes = axes_of(x, dim)
    return along(x, axes, lambda t, a: t.mean(a, keepdim)) if axes else x


@rule("nansum")
def nansum(x: Any, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """The sum of what is not NaN."""
    return total(torch.where(x.value.isnan(), 0.0, x), dim, keepdim, dtype=dtype)


@rule("nanmean")
def nanmean(x: Any, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """The mean of what is not NaN."""
    return nansum(x, dim, keepdim, dtype=dtype) / (~x.value.isnan()).sum(axes_of(x, dim), keepdim)


@rule("cumsum")
def cumsum(x: Any, dim: int, *, dtype: torch.dtype | None = None) -> Any:
    """Running sums."""
    x = x if dtype is None else x.to(dtype)
    return along_one(x, dim, lambda t, axis: t.cumsum(axis))


@rule("diff")
def diff(x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours, n times."""
    if n == 0:
        return x
    parts = [part for part in (prepend, x, append) if part is not None]
    joined: Any = torch.cat(parts, dim) if len(parts) > 1 else x
    return along_one(joined, dim, lambda t, axis: t.diff(n, axis))


@rule("trapz", "trapezoid")
def trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The integral by the trapezoidal rule."""
    if isinstance(x, Jet):
        step = diff(x, dim=-1 if x.value.dim() == 1 else dim)
        height = (y.narrow(dim, 1, y.shape[dim] - 1) + y.narrow(dim, 0, y.shape[dim] - 1)) / 2
        return (height.movedim(dim, -1) * (step if step.value.dim() == 1 else step.movedim(dim, -1))).sum(-1)
    spacing = {"dx": dx} if x is None else {"x": x}
    return along_one(y, dim, lambda t, axis: torch.trapezoid(t, dim=axis, **spacing))


@rule("trace")
def trace(x: Any) -> Any:
    """The sum of the diagonal of a matrix."""
    return total(torch.diagonal(x, 0, -2, -1), -1)


@rule("prod")
def product(x: Any, dim: int | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """The product, by halves: no division, so that zeros do no harm."""
    x = x if dtype is None else x.to(dtype)
    if dim is None or not x.value.dim():
        return product(x.reshape(-1), 0)
    (axis,) = axes_of(x, dim)
    factors: Any = x
    while (length := factors.value.shape[axis]) > 1:
        half = length // 2
        pairs = factors.narrow(axis, 0, half) * factors.narrow(axis, half, half)
        factors = torch.cat([pairs, factors.narrow(axis, length - 1, 1)], axis) if length % 2 else pairs
    value = x.value.prod(axis, keepdim)
    if x.value.shape[axis] == 0:
        return Jet(x.space, value, value.new_zeros(0, *value.shape))
    return revalued(factors if keepdim else factors.squeeze(axis), value)


@rule("cumprod")
def cumprod(x: Any, dim: int, *, dtype: torch.dtype | None = None) -> Any:
    """Running products, in as many steps as the length has binary digits."""
    products = x if dtype is None else x.to(dtype)
    if not products.value.dim():
        return clone(products)
    length, step = products.value.shape[dim], 1
    while step < length:
        later = products.narrow(dim, step, length - step) * products.narrow(dim, 0, length - step)
        products = torch.cat([products.narrow(dim, 0, step), later], dim)
        step *= 2
    return products


def root(squares: Any, value: Any = None, bent: Any = None) -> Any:
    """√s of a sum of squares. At 0: slope 0, as PyTorch has it; from the second degree on NaN, for there is none.

    Where all coefficients are 0 as well, as in the distance of a point to itself, so are those of the root.

    Args:
        squares: the sum.
        value: its root, where it is known; the value of `squares` may then have overflowed.
        bent: whether any of what is squared has a slope; with a tape, which knows no second degrees.
    """
    space, d = squares.space, squares.space.directions
    value = torch.sqrt(squares.value) if value is None else value
    zero = value == 0
    s, half = squares.full, 0.5 / torch.where(zero, 1.0, value)
    if space.tape is not None:
        inner = squares.value if space.tape.probing else value.square()
        safe: Any = mapped(squares, torch.where(zero, 1.0, inner), squares.higher, squares.rows_first)
        result: Any = compose(safe, _root_coefficients(safe.value, zero if bent is None else zero & bent))
        result = mapped(result, result.value * ~zero, torch.where(zero, 0.0, result.higher), result.rows_first)
        return revalued(result, value)
    higher = s[:d] * half
    if space.order > 1 and len(s):
        s = padded(squares, sum(space.sizes))
        higher = torch.cat([higher, _later_degrees(space, higher, s, half)])
        kink = zero & (s != 0).any(0)
        if one_sided():
            return Jet(space, value, torch.where(zero, root_from_one_side(s), higher))
        if is_watched(space):
            note(kink, squares.rows_first)
        higher = torch.where(zero, torch.cat([0 * s[:d], torch.where(kink, torch.nan, 0 * s[d:])]), higher)
    else:
        higher = torch.where(zero, 0.0, higher)
    return Jet(space, value, higher)


def _root_coefficients(s: Tensor, kink: Tensor) -> list[Tensor]:
    value = torch.sqrt(s)
    return [value, 0.5 / value, torch.where(kink, torch.nan, -0.125 / (s * value))]


def _later_degrees(space: Space, first: Tensor, s: Tensor, half: Tensor) -> Tensor:
    """Degrees 2 and up of the root v: 2 v_0 v_k = s_k - Σ v_i v_(k - i)."""
    if space.order == 2:
        return (s[space.directions :] - space.second_degree(torch.mul, first, first)) * half
    v = [first[0]]
    for k in range(2, space.order + 1):
        v.append((s[k - 1] - sum(v[i - 1] * v[k - i - 1] for i in range(1, k))) * half)
    return torch.stack(v[1:])
