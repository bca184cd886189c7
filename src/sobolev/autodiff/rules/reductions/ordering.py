"""Rules of functions that pick elements by their size: max, min, sort, topk, median and running extremes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise.piecewise import maximum, minimum
from sobolev.autodiff.rules.shape.axes import axes_of
from sobolev.autodiff.rules.shape.views import clone
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.registry import rule


class Selected(NamedTuple):
    """What `torch.return_types` of these functions hold."""

    values: Any
    indices: Tensor


class Extremes(NamedTuple):
    """Minimum and maximum."""

    min: Jet
    max: Jet


@rule("amax")
def amax(x: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The largest entry; of several equal ones, the mean of their derivatives."""
    return _shared(x, x.value.amax(axes_of(x, dim), keepdim=True), axes_of(x, dim), keepdim)


@rule("amin")
def amin(x: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The smallest entry; of several equal ones, the mean of their derivatives."""
    return _shared(x, x.value.amin(axes_of(x, dim), keepdim=True), axes_of(x, dim), keepdim)


@rule("aminmax")
def aminmax(x: Any, *, dim: Any = (), keepdim: bool = False) -> Extremes:
    """Both."""
    return Extremes(amin(x, dim, keepdim), amax(x, dim, keepdim))


@rule("max")
def largest(x: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest of all entries, those along an axis with their places, or the larger of two."""
    return _extreme(x, dim if other is None else other, keepdim, torch.max, maximum, amax)


@rule("min")
def smallest(x: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest of all entries, those along an axis with their places, or the smaller of two."""
    return _extreme(x, dim if other is None else other, keepdim, torch.min, minimum, amin)


@rule("sort")
def sort(x: Any, dim: Any = -1, descending: bool = False, *, stable: bool = False) -> Selected:
    """The entries along an axis in order of size, with their places."""
    return picked(x, dim, torch.sort(x.value, dim=dim, descending=descending, stable=stable).indices)


@rule("msort")
def msort(x: Any) -> Any:
    """The entries along axis 0 in order of size."""
    return sort(x, 0).values


@rule("topk")
def topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Selected:  # noqa: A002
    """The k largest or smallest along an axis, with their places."""
    return picked(x, dim, torch.topk(x.value, k, dim, largest, sorted).indices)


@rule("kthvalue")
def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Selected:
    """The k-th smallest along an axis, with its place."""
    return picked(x, dim, torch.kthvalue(x.value, k, dim, keepdim=True).indices, keepdim)


@rule("median")
def median(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of all entries, or those along an axis with their places."""
    if dim is None:
        return median(x.reshape(-1), 0).values
    return picked(x, dim, torch.median(x.value, dim, keepdim=True).indices, keepdim)


@rule("cummax")
def cummax(x: Any, dim: int) -> Selected:
    """Running maxima."""
    return picked(x, dim, torch.cummax(x.value, dim).indices)


@rule("cummin")
def cummin(x: Any, dim: int) -> Selected:
    """Running minima."""
    return picked(x, dim, torch.cummin(x.value, dim).indices)


def picked(x: Any, dim: int, indices: Tensor, keepdim: bool = True) -> Selected:
    """The entries at some places along an axis, with these places."""
    if not x.value.dim():
        return Selected(clone(x), indices)
    values = torch.take_along_dim(x, indices, dim)
    return Selected(values, indices) if keepdim else Selected(values.squeeze(dim), indices.squeeze(dim))


def _extreme(x: Any, dim: Any, keepdim: bool, function: Callable, of_two: Callable, of_all: Callable) -> Any:
    if dim is None:
        return of_all(x)
    if isinstance(dim, (Jet, Tensor)) or not isinstance(x, Jet):
        return of_two(x, dim)
    return picked(x, dim, function(x.value, dim, keepdim=True).indices, keepdim)


def _shared(x: Any, extreme: Tensor, axes: tuple[int, ...], keepdim: bool) -> Any:
    """The extreme entries, which share the derivatives where there are several."""
    if not axes:  # a sum along no axis would be one along all
        return x
    ties = (x.value == extreme).to(x.value.dtype)
    shares = ties / ties.sum(axes, keepdim=True)
    picked = torch.where(shares > 0, shares * x.higher, 0).sum([axis + 1 for axis in axes], keepdim=True)
    if keepdim:
        return Jet(x.space, extreme, picked)
    return Jet(x.space, extreme.squeeze(axes), picked.squeeze(tuple(axis + 1 for axis in axes)))
