"""Rules of functions that put elements at given places of another tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.rules.shape.indexing import repeated
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import padded, settled
from sobolev.autodiff.taylor.registry import NoRuleError, rule


@rule("index_add")
def index_add(x: Any, dim: int, index: Tensor, source: Any, *, alpha: float = 1) -> Jet:
    """Slices added at given places along an axis."""
    return _placed(x, source, lambda a, b, axis: a.index_add(axis, index, b, alpha=alpha), dim)


@rule("index_copy")
def index_copy(x: Any, dim: int, index: Tensor, source: Any) -> Jet:
    """Slices put at given places along an axis."""
    return _placed(x, source, lambda a, b, axis: a.index_copy(axis, index, b), dim)


@rule("index_fill")
def index_fill(x: Any, dim: int, index: Tensor, value: Any) -> Jet:
    """A number put at given places along an axis."""
    if isinstance(value, Jet):
        shape = list(x.shape)
        shape[dim] = index.numel()
        return index_copy(x, dim, index, value.expand(shape))
    axis = dim % x.value.dim()
    return Jet(x.space, x.value.index_fill(axis, index, value), x.full.index_fill(axis + 1, index, 0))


@rule("scatter")
def scatter(x: Any, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Any = None) -> Jet:
    """Elements put at given places along an axis."""
    if reduce not in (None, "add"):
        raise NoRuleError(f"Taylor mode has no rule for scatter with reduce={reduce!r}")
    src = value if src is None else src
    source = src if isinstance(src, (Jet, Tensor)) else torch.full(index.shape, src, dtype=x.dtype, device=x.device)
    if reduce == "add":
        return scatter_add(x, dim, index, source)
    return _placed(x, _cropped(source, index), lambda a, b, axis: a.scatter(axis, repeated(index, b), b), dim)


@rule("scatter_add")
def scatter_add(x: Any, dim: int, index: Tensor, src: Any) -> Jet:
    """Elements added at given places along an axis."""
    return _placed(x, _cropped(src, index), lambda a, b, axis: a.scatter_add(axis, repeated(index, b), b), dim)


@rule("masked_scatter")
def masked_scatter(x: Any, mask: Tensor, source: Any) -> Any:
    """Elements put, one after the other, where the mask holds."""
    x, mask = torch.broadcast_tensors(x, mask)
    order = (mask.reshape(-1).cumsum(0) - 1).clamp(min=0).reshape(mask.shape)
    return torch.where(mask, source.reshape(-1)[order], x)


@rule("scatter_reduce")
def scatter_reduce(x: Any, dim: int, index: Tensor, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """Elements that come to the same place, added up, averaged, or the extreme one of them."""
    if reduce == "prod":
        raise NoRuleError("Taylor mode has no rule for scatter_reduce with reduce='prod'")
    src = _cropped(src, index)
    touched = torch.zeros(x.shape, dtype=torch.bool, device=index.device).scatter(dim, index, True)
    kept = torch.where(touched, 0.0, x) if not include_self else x
    if reduce == "sum":
        return scatter_add(kept, dim, index, src)
    values = [item.value if isinstance(item, Jet) else item for item in (x, src)]
    result = values[0].scatter_reduce(dim, index, values[1], reduce, include_self=include_self)
    mine, theirs = torch.ones_like(values[0]), torch.ones_like(values[1])
    if reduce != "mean":
        mine, theirs = mine * (values[0] == result), theirs * (values[1] == result.gather(dim, index))
    if not include_self:
        mine = torch.where(touched, 0.0, mine)
    share = mine.scatter_add(dim, index, theirs).clamp(min=1)
    total = scatter_add(torch.where(mine > 0, x, 0.0), dim, index, torch.where(theirs > 0, src, 0.0)) / share
    return settled(total.space, result, total.higher)


@rule("index_reduce")
def index_reduce(x: Any, dim: int, index: Tensor, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    """Slices that come to the same place, averaged, or the extremes of them."""
    axis = dim % len(x.shape)
    places = index.reshape(-1, *[1] * (len(x.shape) - 1 - axis)).expand(tuple(source.shape))
    return scatter_reduce(x, axis, places, source, reduce, include_self=include_self)


@rule("diagonal_scatter")
def diagonal_scatter(x: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Jet:
    """A diagonal replaced."""
    axes = len(x.shape)
    shift = (dim2 - dim1) % axes

    def place(a: Tensor, b: Tensor, first: int) -> Tensor:
        extra = first - dim1 % axes  # 1 where the coefficients come first
        return a.diagonal_scatter(b, offset, first, extra + (dim1 + shift) % axes)

    return _placed(x, src, place, dim1)


@rule("select_scatter")
def select_scatter(x: Any, src: Any, dim: int, index: int) -> Any:
    """A copy of x with one place of an axis replaced."""
    return torch.index_copy(x, dim, _places(x, dim, index, index + 1 or None, 1), src.unsqueeze(dim))


@rule("slice_scatter")
def slice_scatter(x: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    """A copy of x with a stretch of an axis replaced."""
    return torch.index_copy(x, dim, _places(x, dim, start, end, step), src)


def _cropped(source: Any, index: Tensor) -> Any:
    return source[tuple(slice(length) for length in index.shape)]


def _placed(x: Any, source: Any, function: Callable[[Tensor, Tensor, int], Tensor], dim: int) -> Jet:
    """A function that is linear in two tensors taken together."""
    jets = [item for item in (x, source) if isinstance(item, Jet)]
    length = max(len(jet.higher) for jet in jets)
    a, b = (item.value if isinstance(item, Jet) else item for item in (x, source))
    axis = dim % max(a.dim(), 1)
    return Jet(jets[0].space, function(a, b, axis), function(padded(x, length), padded(source, length), axis + 1))


def _places(x: Any, dim: int, start: Any, end: Any, step: int) -> Tensor:
    return torch.arange(x.shape[dim], device=x.device)[start:end:step]
