"""Operations that only rearrange: shapes, parts, and what joins them. The first axis stays the cells'."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sobolev.certify.balls import Ball, exact
from sobolev.certify.double_double import Pair
from sobolev.certify.enclosure import Enclosure, constant
from sobolev.certify.registry import NoEnclosureError, rule
from sobolev.certify.rules.kinds import fixed_beside


@rule("reshape", "view")
def reshape(x: Enclosure, *shape: Any) -> Enclosure:
    """To a shape whose first axis is the cells."""
    shape = tuple(shape[0]) if isinstance(shape[0], Sequence) else shape
    if shape[0] not in (-1, x.shape[0]) or (shape[0] == -1 and np.prod(shape[1:]) != np.prod(x.shape[1:])):
        raise NoEnclosureError("no proof goes through a change of shape that mixes samples")
    return x.mapped(lambda part: part.reshape(len(part), x.shape[0], *shape[1:]))


@rule("flatten")
def flatten(x: Enclosure, start_dim: int = 0, end_dim: int = -1) -> Enclosure:
    """From an axis behind the cells on."""
    start, end = start_dim % x.ndim, end_dim % x.ndim
    if start == 0 and x.ndim > 1:
        raise NoEnclosureError("no proof goes through a change of shape that mixes samples")
    return reshape(x, *x.shape[:start], int(np.prod(x.shape[start : end + 1])), *x.shape[end + 1 :])


@rule("unsqueeze")
def unsqueeze(x: Enclosure, dim: int) -> Enclosure:
    """An axis of length 1 behind the cells."""
    axis = _behind(dim, x.ndim + 1)
    return x.mapped(lambda part: np.expand_dims(part, axis + 1))


@rule("squeeze")
def squeeze(x: Enclosure, dim: int | None = None) -> Enclosure:
    """Without axes of length 1."""
    axes = [i for i in range(1, x.ndim) if x.shape[i] == 1] if dim is None else [_behind(dim, x.ndim)]
    axes = [axis for axis in axes if x.shape[axis] == 1]
    return x.mapped(lambda part: np.squeeze(part, tuple(axis + 1 for axis in axes)))


@rule("getitem", "__getitem__")
def item(x: Enclosure, index: Any) -> Enclosure:
    """Parts of the axes behind the cells: slices, numbers, lists, None and ...."""
    index = index if isinstance(index, tuple) else (index,)
    if not (index[0] is Ellipsis or (isinstance(index[0], slice) and index[0] == slice(None))):
        raise NoEnclosureError("no proof goes through a choice of samples: index x[:, ...] or x[..., i]")
    if index[0] is Ellipsis and sum(i is not None for i in index) > x.ndim:
        raise NoEnclosureError("no proof goes through a choice of samples: index x[:, ...] or x[..., i]")
    plain = tuple(np.asarray(i.cpu()) if isinstance(i, Tensor) else i for i in index)
    return x.mapped(lambda part: part[(slice(None), *plain)])


@rule("cat", "concat", "concatenate")
def concatenate(tensors: Sequence[Any], dim: int = 0) -> Enclosure:
    """Along an axis behind the cells."""
    parts = _alike(tensors)
    axis = _behind(dim, parts[0].ndim)
    shape = np.broadcast_shapes(*((*p.shape[:axis], 1, *p.shape[axis + 1 :]) for p in parts))
    grown = [p.mapped(lambda part: _grown(part, shape, axis)) for p in parts]
    return _joined(grown, lambda arrays: np.concatenate(arrays, axis + 1))


@rule("stack")
def stack(tensors: Sequence[Any], dim: int = 0) -> Enclosure:
    """Along a new axis behind the cells."""
    parts = _alike(tensors)
    axis = _behind(dim, parts[0].ndim + 1)
    return _joined(parts, lambda arrays: np.stack(np.broadcast_arrays(*arrays), axis + 1))


@rule("chunk")
def chunk(x: Enclosure, chunks: int, dim: int = 0) -> tuple[Enclosure, ...]:
    """Parts along an axis behind the cells."""
    axis = _behind(dim, x.ndim)
    size = -(-x.shape[axis] // chunks)
    return split(x, size, axis)


@rule("split")
def split(x: Enclosure, split_size: Any, dim: int = 0) -> tuple[Enclosure, ...]:
    """Parts along an axis behind the cells."""
    axis, length = _behind(dim, x.ndim), x.shape[dim]
    sizes = list(split_size) if isinstance(split_size, Sequence) else [split_size] * (length // split_size)
    ends = [min(int(end), length) for end in np.cumsum(sizes)]
    pieces = [np.arange(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    return tuple(x.mapped(lambda part, piece=piece: part.take(piece, axis + 1)) for piece in pieces)


@rule("unbind")
def unbind(x: Enclosure, dim: int = 0) -> tuple[Enclosure, ...]:
    """One part for each place of an axis behind the cells."""
    axis = _behind(dim, x.ndim)
    return tuple(x.mapped(lambda part, i=i: part.take(i, axis + 1)) for i in range(x.shape[axis]))


@rule("clone", "contiguous", "double", "float")
def same(x: Enclosure, **_: Any) -> Enclosure:
    """Copies, and other precisions: numbers are real here."""
    return x


@rule("to", "type_as")
def converted(x: Enclosure, *target: Any, **more: Any) -> Enclosure:
    """Another device, or another precision of 32 bits or more."""
    given = [*target, *more.values()]
    kinds = [t.dtype if isinstance(t, Tensor | Enclosure) else t for t in given]
    if any(isinstance(kind, torch.dtype) and kind not in (torch.float32, torch.float64) for kind in kinds):
        raise NoEnclosureError("no proof goes through a conversion to whole numbers or to half precision")
    return x


@rule(Tensor.size)
def size(x: Enclosure, dim: int | None = None) -> Any:
    """The shape, or the length of one axis."""
    return torch.Size(x.shape) if dim is None else x.shape[dim]


@rule("flip")
def flip(x: Enclosure, *dims: Any) -> Enclosure:
    """The order of axes behind the cells reversed."""
    axes = dims[0] if isinstance(dims[0], Sequence) else dims
    places = tuple(_behind(axis, x.ndim) + 1 for axis in axes)
    return x.mapped(lambda part: np.flip(part, places))


@rule("expand")
def expand(x: Enclosure, *sizes: Any) -> Enclosure:
    """Axes of length 1 behind the cells repeated."""
    sizes = tuple(sizes[0]) if isinstance(sizes[0], Sequence) else sizes
    if len(sizes) != x.ndim or sizes[0] not in (-1, x.shape[0]):
        raise NoEnclosureError("no proof goes through an expansion by new axes or along the batch")
    wanted = [old if new == -1 else new for old, new in zip(x.shape, sizes, strict=True)]
    return x.mapped(lambda part: np.broadcast_to(part, (len(part), *wanted)).copy())


@rule("zeros_like")
def zeros_like(x: Enclosure, **_: Any) -> Enclosure:
    """Zeros of the same shape."""
    return constant(x.space, exact(np.zeros(x.shape)))


@rule("ones_like")
def ones_like(x: Enclosure, **_: Any) -> Enclosure:
    """Ones of the same shape."""
    return constant(x.space, exact(np.ones(x.shape)))


def _joined(parts: Sequence[Enclosure], join: Callable[[list[np.ndarray]], np.ndarray]) -> Enclosure:
    ball = Ball(*(join(list(arrays)) for arrays in zip(*(p.ball for p in parts), strict=True)))
    fine = [p.fine for p in parts if p.fine is not None]
    if len(fine) < len(parts):
        return Enclosure(parts[0].space, ball)
    rows = min(len(f.high) for f in fine)
    joined = (join([array[:rows] for array in arrays]) for arrays in zip(*fine, strict=True))
    return Enclosure(parts[0].space, ball, Pair(*joined))


def _alike(tensors: Sequence[Any]) -> list[Enclosure]:
    """Tensors among enclosures as enclosures."""
    like = next(t for t in tensors if isinstance(t, Enclosure))
    parts = [t if isinstance(t, Enclosure) else constant(like.space, fixed_beside(like, t)) for t in tensors]
    if any(part.ndim != like.ndim for part in parts):
        raise NoEnclosureError("no proof joins results with different numbers of axes")
    return parts


def _grown(part: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    wanted = (len(part), *shape[:axis], part.shape[axis + 1], *shape[axis + 1 :])
    return np.broadcast_to(part, wanted)


def _behind(dim: int, axes: int) -> int:
    """An axis that is not the cells'."""
    axis = dim % axes
    if axis == 0:
        raise NoEnclosureError("no proof goes through an operation along the batch")
    return axis
