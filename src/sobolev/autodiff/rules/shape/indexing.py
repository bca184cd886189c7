"""Rules of functions that pick elements by their places."""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.rules.memory.writing import assigned, link, overwrite, with_coefficients
from sobolev.autodiff.rules.shape.axes import along_one
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped, padded
from sobolev.autodiff.taylor.new_tensors import OrdinaryTensorError
from sobolev.autodiff.taylor.registry import NoRuleError, rule


@rule(Tensor.__getitem__)
def getitem(x: Any, index: Any) -> Jet:
    """x[index]: anything that PyTorch takes as an index."""
    places = index if isinstance(index, tuple) else (index,)
    if not isinstance(x, Jet) or any(isinstance(place, Jet) for place in places):
        raise NoRuleError("Taylor mode has no rule for a tensor of derivatives used as an index")
    basic = all(_is_basic(place) for place in places)
    whole_rows = isinstance(places[0] if places else None, slice) and places[0] == slice(None)
    coefficients = x.higher if basic and whole_rows else x.full
    picked = coefficients.movedim(0, -1)[with_coefficients(index)].movedim(-1, 0)
    result = mapped(x, x.value[index], picked)
    return link(result, x, index) if basic else result


def _is_basic(place: Any) -> bool:
    """Whether what PyTorch gives for it shares memory: a slice or a whole number of whatever type, no truth value."""
    if isinstance(place, Tensor):
        return place.dim() == 0 and place.dtype not in (torch.bool, torch.uint8)
    whole = isinstance(place, Integral) and not isinstance(place, bool)
    return place is None or place is Ellipsis or whole or isinstance(place, slice)


@rule(Tensor.__setitem__)
def setitem(x: Any, index: Any, item: Any) -> None:
    """x[index] = item."""
    if not isinstance(x, Jet):
        raise OrdinaryTensorError(
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


@rule("index_put")
def index_put(x: Any, indices: Any, values: Any, accumulate: bool = False) -> Jet:
    """Elements put, or added, where index tensors say."""
    item = values if isinstance(values, Jet) else x
    x = x if isinstance(x, Jet) else Jet(item.space, x, x.new_zeros(0, *x.shape))
    if accumulate:
        places = torch.zeros_like(x.value)[tuple(indices)].shape
        length = max(len(item.higher) for item in (x, values) if isinstance(item, Jet))
        value = x.value.index_put(indices, values.value if isinstance(values, Jet) else values, True)
        added = padded(values.expand(places), length).movedim(0, -1)
        higher = padded(x, length).movedim(0, -1).index_put(indices, added, True).movedim(-1, 0)
        return Jet(x.space, value, higher)
    return assigned(x, tuple(indices), values)


@rule("put")
def put(x: Any, index: Tensor, source: Any, accumulate: bool = False) -> Any:
    """Elements put, or added, at places of the flattened tensor."""
    return index_put(x.reshape(-1), (index.reshape(-1),), source.reshape(-1), accumulate).reshape(tuple(x.shape))


def _indexed(x: Jet, dim: int, index: Tensor, function: Callable) -> Jet:
    axis = dim % max(x.value.dim(), 1)
    return mapped(x, function(x.value, axis, index), function(x.full, axis + 1, repeated(index, x.higher)))


def repeated(index: Tensor, tensor: Tensor) -> Tensor:
    """The index for the value, or repeated for every coefficient."""
    return index if tensor.dim() == index.dim() else index.expand(len(tensor), *index.shape)
