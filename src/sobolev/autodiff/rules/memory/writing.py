"""Writing to jets, which in PyTorch also changes every tensor that shares memory with the one written to.

A jet's tensors are never written to; the jet gets new ones. Jets that share memory in PyTorch know of each other:
a write through `x[...]` reaches x as well, and every other relative becomes unusable, so that none keeps old numbers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import ref

import torch

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import padded


class Links(NamedTuple):
    """What a jet shares memory with.

    Attributes:
        family: references to all jets that share the memory.
        base: the jet whose part this one is, where it came from basic indexing.
        index: which part.
    """

    family: list[Callable[[], Jet | None]]
    base: Jet | None = None
    index: Any = None


def link(view: Any, base: Jet, index: Any = None) -> Any:
    """Note that a jet, or a tuple of jets, shares memory with its base."""
    if isinstance(view, tuple):
        return tuple(link(part, base) for part in view)
    if isinstance(view, Jet) and view is not base:
        if base.links is None:
            base.links = Links([_reference(base)])
        base.links.family.append(_reference(view))
        view.links = Links(base.links.family, None if index is None else base, index)
    return view


def overwrite(x: Jet, result: Jet, inplace: bool = True) -> Jet:
    """The result of an operation; where `inplace` says so, it is put into x."""
    if not inplace:
        return result
    if result.value.shape != x.value.shape:
        raise ValueError(
            f"an in-place operation would change the shape {tuple(x.value.shape)} to {tuple(result.value.shape)}"
        )
    written = x
    x.value, x.higher = result.value.to(x.value.dtype), result.higher.to(x.value.dtype)
    x.rows_first, x.followed, x.rows, x.squared = result.rows_first, result.followed, None, None
    current = [x]
    while x.links and x.links.base is not None:
        base, index = x.links.base, x.links.index
        changed = assigned(base, index, x)
        base.value, base.higher, base.rows, base.squared = changed.value, changed.higher, None, None
        base.rows_first, base.followed = False, changed.followed
        current.append(x := base)
    _invalidate(written, current)
    return written


def assigned(x: Jet, index: Any, item: Any) -> Jet:
    """A copy of x in which x[index] = item."""
    value = x.value.clone()
    value[index] = item.value if isinstance(item, Jet) else item
    length = max(len(x.higher), len(item.higher) if isinstance(item, Jet) else 0)
    higher = padded(x, length).clone()
    part = padded(item, length).movedim(0, -1) if isinstance(item, Jet) else 0
    higher.movedim(0, -1)[with_coefficients(index)] = part if isinstance(part, int) else part.to(higher.dtype)
    result = Jet(x.space, value, higher)
    result.followed = x.followed and (item.followed if isinstance(item, Jet) else True)
    return result


def with_coefficients(index: Any) -> Any:
    """The same index where one more axis comes last; an ellipsis must not swallow it."""
    places = index if isinstance(index, tuple) else (index,)
    return (*places, slice(None)) if any(place is Ellipsis for place in places) else index


def _invalidate(x: Jet, current: list[Jet]) -> None:
    """Make the relatives of x unusable, except those that are up to date."""
    if x.links is None:
        return
    for relative in [reference() for reference in x.links.family]:
        if relative is not None and not any(relative is jet for jet in current):
            relative.invalidate()
    x.links.family[:] = [_reference(jet) for jet in current]


def _reference(jet: Jet) -> Callable[[], Jet | None]:
    return (lambda: jet) if torch.compiler.is_compiling() else ref(jet)
