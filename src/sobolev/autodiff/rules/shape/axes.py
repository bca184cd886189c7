"""Axes of a value, seen from its coefficients, which have one more in front."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.propagation import batched_linear, linear


def axes_of(x: Jet, dim: int | Sequence[int] | None) -> tuple[int, ...]:
    """The axes that `dim` names, counted from 0; None or an empty sequence names all."""
    axes = x.value.dim()
    if dim is None or (isinstance(dim, Sequence) and not len(dim)):
        return tuple(range(axes))
    return tuple(d % max(axes, 1) for d in ([dim] if isinstance(dim, int) else dim))[: axes or 0]


def length_of(x: Jet, axes: Sequence[int]) -> int:
    """How many elements lie along some axes."""
    return prod([x.value.shape[axis] for axis in axes])


def along(x: Jet, axes: Sequence[int], function: Callable[[Tensor, Any], Tensor]) -> Jet:
    """A linear `function(tensor, axes)` that works along some axes, counted from 0."""
    shifted = tuple(axis + 1 for axis in axes)
    return batched_linear(x, lambda value: function(value, tuple(axes)), lambda higher: function(higher, shifted))


def along_one(x: Jet, dim: int, function: Callable[[Tensor, int], Tensor]) -> Jet:
    """A linear `function(tensor, axis)` that works along one axis."""
    if not x.value.dim():  # no axis in front of which the coefficients could be told apart
        return linear(x, lambda value: function(value, -1))
    (axis,) = axes_of(x, dim)
    return batched_linear(x, lambda value: function(value, axis), lambda higher: function(higher, axis + 1))
