"""Rules of functions that repeat, shift, turn or surround elements."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.rules.shape.axes import along, along_one, axes_of
from sobolev.autodiff.rules.shape.views import clone, sequence
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped
from sobolev.autodiff.taylor.propagation import batched_linear
from sobolev.autodiff.taylor.registry import rule


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


@rule("diagflat")
def diagflat(x: Jet, offset: int = 0) -> Jet:
    """A matrix with all elements on a diagonal."""
    return x.reshape(-1).diag_embed(offset)


@rule("tril")
def tril(x: Jet, diagonal: int = 0) -> Jet:
    """The lower triangle."""
    return batched_linear(x, lambda t: t.tril(diagonal), lambda t: t.tril(diagonal))


@rule("triu")
def triu(x: Jet, diagonal: int = 0) -> Jet:
    """The upper triangle."""
    return batched_linear(x, lambda t: t.triu(diagonal), lambda t: t.triu(diagonal))


@rule("flip")
def flip(x: Jet, *axes: Any, dims: Any = None) -> Jet:
    """Axes in reverse; none where none is named."""
    dims = sequence(axes) if dims is None else sequence((dims,))
    return along(x, axes_of(x, dims), lambda t, axes: t.flip(axes)) if dims else clone(x)


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
def tile(x: Jet, *times: Any, dims: Any = None) -> Jet:
    """Repeated as a block; fewer numbers than axes leave the first axes alone."""
    dims = sequence(times) if dims is None else dims
    return repeat(x, *[1] * (x.value.dim() - len(dims)), *dims)


@rule(Tensor.repeat)
def repeat(x: Jet, *times: Any, repeats: Any = None) -> Jet:
    """Repeated as a block."""
    repeats = sequence(times) if repeats is None else repeats
    ones = (1,) * (len(repeats) - x.value.dim())
    higher = x.full.reshape(len(x.higher), *ones, *x.value.shape)
    return mapped(x, x.value.repeat(*repeats), higher.repeat(1, *repeats))


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


@rule("constant_pad_nd")
def constant_pad_nd(x: Any, pad: Sequence[int], value: float = 0.0) -> Any:
    """A constant at both ends."""
    return functional.pad(x, pad, value=value)


@rule("pad")
def pad(x: Jet, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Jet:
    """More elements at both ends: a constant, or copies."""
    padded_value = functional.pad(x.value, pad, mode, value)
    if mode == "constant":
        return mapped(x, padded_value, functional.pad(x.full, pad))
    flat = x.full.flatten(0, 1)
    return mapped(x, padded_value, functional.pad(flat, pad, mode).reshape(len(x.higher), *padded_value.shape))
