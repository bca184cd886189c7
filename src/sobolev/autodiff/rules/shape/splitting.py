"""Rules of functions that split a tensor into several."""

from typing import Any

from torch import Tensor

from sobolev.autodiff.rules.shape.views import shifted
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped
from sobolev.autodiff.taylor.registry import rule


@rule("split")
def split(x: Jet, split_size_or_sections: Any, dim: int = 0) -> tuple[Jet, ...]:
    """Pieces along an axis."""
    values = x.value.split(split_size_or_sections, dim)
    higher = x.full.split(split_size_or_sections, shifted(dim))
    return tuple(mapped(x, v, h) for v, h in zip(values, higher, strict=True))


@rule("chunk", "unsafe_chunk")
def chunk(x: Jet, chunks: int, dim: int = 0) -> tuple[Jet, ...]:
    """So many pieces along an axis."""
    return split(x, [piece.shape[dim] for piece in x.value.chunk(chunks, dim)], dim)


@rule("unbind", Tensor.__iter__)
def unbind(x: Jet, dim: int = 0) -> tuple[Jet, ...]:
    """One piece for every place along an axis."""
    pairs = zip(x.value.unbind(dim), x.full.unbind(shifted(dim)), strict=True)
    return tuple(mapped(x, v, h) for v, h in pairs)


@rule("tensor_split")
def tensor_split(x: Any, indices_or_sections: Any, dim: int = 0, *, sections: Any = None, indices: Any = None) -> Any:
    """Pieces of nearly equal length, or between given places."""
    places = next(item for item in (sections, indices, indices_or_sections) if item is not None)
    return x.split([piece.shape[dim] for piece in x.value.tensor_split(places, dim)], dim)


@rule("hsplit")
def hsplit(x: Any, places: Any) -> Any:
    """Pieces along axis 1, of a vector along axis 0."""
    return tensor_split(x, places, 0 if x.value.dim() == 1 else 1)


@rule("vsplit")
def vsplit(x: Any, places: Any) -> Any:
    """Pieces along axis 0."""
    return tensor_split(x, places, 0)


@rule("dsplit")
def dsplit(x: Any, places: Any) -> Any:
    """Pieces along axis 2."""
    return tensor_split(x, places, 2)


@rule("split_with_sizes", "unsafe_split", "unsafe_split_with_sizes")
def split_with_sizes(x: Any, sizes: Any, dim: int = 0) -> Any:
    """Pieces of given lengths."""
    return x.split(sizes, dim)
