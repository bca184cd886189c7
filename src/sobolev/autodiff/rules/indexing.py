"""Rules of functions that pick, place, repeat or shift elements."""

# A jet stands where torch's annotations say Tensor:
# pyright: reportReturnType=false

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.axes import along, along_one, axes_of
from sobolev.autodiff.rules.kinds import batched_linear, padded
from sobolev.autodiff.rules.memory import assigned, link, overwrite, with_coefficients
from sobolev.autodiff.rules.registry import NoRuleError, rule


@rule(Tensor.__getitem__)
def getitem(x: Any, index: Any) -> Jet:
    """x[index]: anything that PyTorch takes as an index."""
    places = index if isinstance(index, tuple) else (index,)
    if not isinstance(x, Jet) or any(isinstance(place, Jet) for place in places):
        raise NoRuleError("Taylor mode has no rule for a tensor of derivatives used as an index")
    basic = all(place is None or place is Ellipsis or isinstance(place, (int, slice)) for place in places)
    whole_rows = isinstance(places[0] if places else None, slice) and places[0] == slice(None)
    coefficients = x.higher if basic and whole_rows else x.full
    picked = coefficients.movedim(0, -1)[with_coefficients(index)].movedim(-1, 0)
    result = Jet(x.space, x.value[index], picked)
    return link(result, x, index) if basic else result


@rule(Tensor.__setitem__)
def setitem(x: Any, index: Any, item: Any) -> None:
    """x[index] = item."""
    if not isinstance(x, Jet):
        raise NoRuleError(
            "Taylor mode cannot write derivatives into an ordinary tensor: start from torch.zeros_like(x) or "
            "x.new_zeros(...), or join the parts by torch.stack or torch.cat"
        )
    overwrite(x, assigned(x, index, item))


@rule("gather")
def gather(x: Jet, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Jet:  # noqa: ARG001
    """Elements at given places along an axis."""
    return _indexed(x, dim, index, torch.gather)


@rule("take_along_dim")
def take_along_dim(x: Jet, indices: Tensor, dim: int | None = None) -> Jet:
    """Elements at given places along an axis, broadcasting."""
    if dim is None:
        return take_along_dim(x.reshape(-1), indices.reshape(-1), 0)
    return along_one(x, dim, lambda t, a: t.take_along_dim(indices if t is x.value else indices[None], a))


@rule("index_select")
def index_select(x: Jet, dim: int, index: Tensor) -> Jet:
    """Slices at given places along an axis."""
    return along_one(x, dim, lambda t, axis: t.index_select(axis, index))


@rule("take")
def take(x: Jet, index: Tensor) -> Jet:
    """Elements of the flattened tensor."""
    return x.reshape(-1)[index]


@rule("masked_select")
def masked_select(x: Jet, mask: Tensor) -> Jet:
    """Elements where the mask holds, as a vector."""
    shape = torch.broadcast_shapes(x.value.shape, mask.shape)
    return x.expand(shape)[mask.expand(shape)]


@rule("narrow")
def narrow(x: Jet, dim: int, start: int, length: int) -> Jet:
    """A stretch of an axis."""
    return along_one(x, dim, lambda t, axis: t.narrow(axis, start, length))


@rule("select")
def select(x: Jet, dim: int, index: int) -> Jet:
    """One place of an axis, which goes."""
    return along_one(x, dim, lambda t, axis: t.select(axis, index))


@rule("diagonal", torch.linalg.diagonal)
def diagonal(x: Jet, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Jet:
    """The diagonals of matrices."""
    return along(x, axes_of(x, (dim1, dim2)), lambda t, axes: t.diagonal(offset, *axes))


@rule("diag_embed")
def diag_embed(x: Jet, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Jet:
    """Matrices with the entries on the diagonal."""
    one, two = (dim % (x.value.dim() + 1) for dim in (dim1, dim2))
    return batched_linear(x, lambda t: t.diag_embed(offset, one, two), lambda t: t.diag_embed(offset, one + 1, two + 1))


@rule("diag")
def diag(x: Jet, diagonal: int = 0) -> Jet:
    """A matrix from its diagonal, or the diagonal of a matrix."""
    return x.diag_embed(diagonal) if x.value.dim() == 1 else x.diagonal(diagonal)


@rule("tril")
def tril(x: Jet, diagonal: int = 0) -> Jet:
    """The lower triangle."""
    return batched_linear(x, lambda t: t.tril(diagonal), lambda t: t.tril(diagonal))


@rule("triu")
def triu(x: Jet, diagonal: int = 0) -> Jet:
    """The upper triangle."""
    return batched_linear(x, lambda t: t.triu(diagonal), lambda t: t.triu(diagonal))


@rule("flip")
def flip(x: Jet, *dims: Any) -> Jet:
    """Axes in reverse."""
    dims = dims[0] if dims and not isinstance(dims[0], int) else dims
    return along(x, axes_of(x, dims), lambda t, axes: t.flip(axes))


@rule("fliplr")
def fliplr(x: Jet) -> Jet:
    """Axis 1 in reverse."""
    return flip(x, 1)


@rule("flipud")
def flipud(x: Jet) -> Jet:
    """Axis 0 in reverse."""
    return flip(x, 0)


@rule("roll")
def roll(x: Jet, shifts: Any, dims: Any = None) -> Jet:
    """Shifted along axes, what leaves coming in again."""
    if dims is None or dims == ():
        return roll(x.reshape(-1), shifts, 0).reshape(x.value.shape)
    return along(x, axes_of(x, dims), lambda t, axes: t.roll(shifts, axes))


@rule("rot90")
def rot90(x: Jet, k: int = 1, dims: Sequence[int] = (0, 1)) -> Jet:
    """Turned by k quarters in a plane."""
    return along(x, axes_of(x, dims), lambda t, axes: t.rot90(k, axes))


@rule("tile")
def tile(x: Jet, *dims: Any) -> Jet:
    """Repeated as a block; fewer numbers than axes leave the first axes alone."""
    dims = dims[0] if dims and not isinstance(dims[0], int) else dims
    return repeat(x, *[1] * (x.value.dim() - len(dims)), *dims)


@rule(Tensor.repeat)
def repeat(x: Jet, *repeats: Any) -> Jet:
    """Repeated as a block."""
    repeats = tuple(repeats[0]) if repeats and not isinstance(repeats[0], int) else repeats
    ones = (1,) * (len(repeats) - x.value.dim())
    higher = x.full.reshape(len(x.higher), *ones, *x.value.shape)
    return Jet(x.space, x.value.repeat(*repeats), higher.repeat(1, *repeats))


@rule("repeat_interleave")
def repeat_interleave(x: Jet, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Jet:
    """Every element repeated."""
    if dim is None:
        return repeat_interleave(x.reshape(-1), repeats, 0, output_size=output_size)
    return along_one(x, dim, lambda t, axis: t.repeat_interleave(repeats, axis, output_size=output_size))


@rule(Tensor.unfold)
def windows(x: Jet, dimension: int, size: int, step: int) -> Jet:
    """Windows along an axis, as a new last axis."""
    return along_one(x, dimension, lambda t, axis: t.unfold(axis, size, step))


@rule("pad")
def pad(x: Jet, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Jet:
    """More elements at both ends: a constant, or copies."""
    padded_value = functional.pad(x.value, pad, mode, value)
    if mode == "constant":
        return Jet(x.space, padded_value, functional.pad(x.full, pad))
    flat = x.full.flatten(0, 1)
    return Jet(x.space, padded_value, functional.pad(flat, pad, mode).reshape(-1, *padded_value.shape))


@rule("index_add")
def index_add(x: Any, dim: int, index: Tensor, source: Any, *, alpha: float = 1) -> Jet:
    """Slices added at given places along an axis."""
    return _placed(x, source, lambda a, b, axis: a.index_add(axis, index, b, alpha=alpha), dim)


@rule("index_copy")
def index_copy(x: Any, dim: int, index: Tensor, source: Any) -> Jet:
    """Slices put at given places along an axis."""
    return _placed(x, source, lambda a, b, axis: a.index_copy(axis, index, b), dim)


@rule("index_fill")
def index_fill(x: Jet, dim: int, index: Tensor, value: float) -> Jet:
    """A number put at given places along an axis."""
    axis = dim % x.value.dim()
    return Jet(x.space, x.value.index_fill(axis, index, value), x.full.index_fill(axis + 1, index, 0))


@rule("scatter")
def scatter(x: Any, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Any = None) -> Jet:
    """Elements put at given places along an axis."""
    if reduce is not None:
        raise NoRuleError("Taylor mode has no rule for scatter with a reduction")
    src = value if src is None else src
    source = src if isinstance(src, (Jet, Tensor)) else torch.full(index.shape, src, dtype=x.dtype, device=x.device)
    return _placed(x, _cropped(source, index), lambda a, b, axis: a.scatter(axis, _like(index, b), b), dim)


@rule("scatter_add")
def scatter_add(x: Any, dim: int, index: Tensor, src: Any) -> Jet:
    """Elements added at given places along an axis."""
    return _placed(x, _cropped(src, index), lambda a, b, axis: a.scatter_add(axis, _like(index, b), b), dim)


@rule("masked_scatter")
def masked_scatter(x: Any, mask: Tensor, source: Any) -> Jet:
    """Elements put, one after the other, where the mask holds."""
    mask = mask.expand(x.shape)
    order = (mask.reshape(-1).cumsum(0) - 1).clamp(min=0).reshape(mask.shape)
    return torch.where(mask, source.reshape(-1)[order], x)


@rule("embedding", functional.embedding_bag, "one_hot", "bucketize", "searchsorted")
def integers_only(*_: Any, **__: Any) -> Jet:
    """These turn numbers into places: no derivative goes through."""
    raise NoRuleError("Taylor mode cannot turn numbers that have derivatives into indices; detach them first: x.long()")


def _indexed(x: Jet, dim: int, index: Tensor, function: Callable) -> Jet:
    axis = dim % max(x.value.dim(), 1)
    return Jet(x.space, function(x.value, axis, index), function(x.full, axis + 1, _like(index, x.higher)))


def _cropped(source: Any, index: Tensor) -> Any:
    return source[tuple(slice(length) for length in index.shape)]


def _like(index: Tensor, tensor: Tensor) -> Tensor:
    """The index for the value, or repeated for every coefficient."""
    return index if tensor.dim() == index.dim() else index.expand(len(tensor), *index.shape)


def _placed(x: Any, source: Any, function: Callable[[Tensor, Tensor, int], Tensor], dim: int) -> Jet:
    """A function that is linear in two tensors taken together."""
    jets = [item for item in (x, source) if isinstance(item, Jet)]
    length = max(len(jet.higher) for jet in jets)
    a, b = (item.value if isinstance(item, Jet) else item for item in (x, source))
    axis = dim % max(a.dim(), 1)
    return Jet(jets[0].space, function(a, b, axis), function(padded(x, length), padded(source, length), axis + 1))
