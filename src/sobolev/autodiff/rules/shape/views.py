"""Rules of functions that only rearrange elements."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped
from sobolev.autodiff.taylor.registry import NoRuleError, rule


def shifted(dim: int) -> int:
    """An axis of the value, seen from the coefficients."""
    return dim + 1 if dim >= 0 else dim


@rule("reshape")
def reshape(x: Jet, *sizes: Any, shape: Any = None) -> Jet:
    """Another shape, the elements in the same order."""
    value = x.value.reshape(sequence(sizes) if shape is None else shape)
    return mapped(x, value, x.full.reshape(len(x.higher), *value.shape))


@rule(Tensor.view)
def view(x: Jet, *sizes: Any, size: Any = None, dtype: Any = None) -> Jet:
    """Another shape."""
    if dtype is not None or any(isinstance(size, torch.dtype) for size in sizes):
        raise NoRuleError("Taylor mode has no rule for view(dtype), which takes the bits of numbers for something else")
    return reshape(x, *sizes, shape=size)


@rule(Tensor.reshape_as, Tensor.view_as)
def reshape_as(x: Any, other: Any) -> Any:
    """The shape of another tensor."""
    return x.reshape(tuple(other.shape))


@rule("flatten", "ravel")
def flatten(x: Jet, start_dim: int = 0, end_dim: int = -1) -> Jet:
    """Several axes become one."""
    return reshape(x, tuple(torch.empty(x.value.shape, device="meta").flatten(start_dim, end_dim).shape))


@rule("unflatten")
def unflatten(x: Jet, dim: int, sizes: Any) -> Jet:
    """One axis becomes several."""
    return reshape(x, tuple(x.value.unflatten(dim, sizes).shape))


@rule("squeeze")
def squeeze(x: Jet, *dims: Any, dim: Any = None) -> Jet:
    """Axes of length 1 go."""
    return reshape(x, tuple(x.value.squeeze(*dims, **({} if dim is None else {"dim": dim})).shape))


@rule("unsqueeze")
def unsqueeze(x: Jet, dim: int) -> Jet:
    """An axis of length 1 comes."""
    return reshape(x, tuple(x.value.unsqueeze(dim).shape))


@rule("permute")
def permute(x: Jet, *axes: Any, dims: Any = None) -> Jet:
    """The axes in another order."""
    order = [axis % x.value.dim() for axis in (sequence(axes) if dims is None else dims)]
    return mapped(x, x.value.permute(order), x.full.permute(0, *(dim + 1 for dim in order)))


@rule("transpose", "swapaxes", "swapdims")
def transpose(x: Jet, dim0: int, dim1: int) -> Jet:
    """Two axes swapped."""
    return mapped(x, x.value.transpose(dim0, dim1), x.full.transpose(shifted(dim0), shifted(dim1)))


@rule("t", Tensor.T.__get__)  # pyright: ignore[reportAttributeAccessIssue]
def reverse_axes(x: Jet) -> Jet:
    """The axes in reverse order."""
    return permute(x, *reversed(range(x.value.dim())))


@rule(Tensor.mT.__get__)  # pyright: ignore[reportAttributeAccessIssue]
def matrix_transpose(x: Jet) -> Jet:
    """The last two axes swapped."""
    return transpose(x, -2, -1)


@rule("movedim", "moveaxis")
def movedim(x: Jet, source: Any, destination: Any) -> Jet:
    """Some axes elsewhere."""
    n = x.value.dim()
    source, destination = ([axis % n for axis in sequence((axes,))] for axes in (source, destination))
    order = [axis for axis in range(n) if axis not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        order.insert(place, axis)
    return permute(x, order)


@rule("expand")
def expand(x: Jet, *sizes: Any, size: Any = None) -> Jet:
    """Axes of length 1 repeated."""
    value = x.value.expand(sequence(sizes) if size is None else size)
    ones = (1,) * (value.dim() - x.value.dim())
    higher = x.full.reshape(len(x.higher), *ones, *x.value.shape)
    return mapped(x, value, higher.expand(-1, *value.shape))


@rule(Tensor.expand_as)
def expand_as(x: Any, other: Any) -> Any:
    """The shape of another tensor."""
    return x.expand(tuple(other.shape))


@rule("clone", "contiguous")
def clone(x: Jet, **_: Any) -> Jet:
    """Itself: a jet's tensors are never written to."""
    return mapped(x, x.value, x.higher, x.rows_first)


def sequence(items: tuple[Any, ...]) -> list[int]:
    """view(2, 3) and view((2, 3)) mean the same."""
    return list(items[0] if len(items) == 1 and isinstance(items[0], Sequence) else items)
