"""Rules of functions that join and broadcast several tensors, some of which are jets."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from sobolev.autodiff.rules.shape.views import shifted
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import dims, padded
from sobolev.autodiff.taylor.registry import rule


@rule("cat", "concat", "concatenate")
def cat(tensors: Sequence[Any], dim: int = 0) -> Jet:
    """Joined along an axis; tensors that are no jets have zero coefficients."""
    tensors = [item for item in tensors if tuple(item.shape) != (0,)] or tensors  # they fit anywhere
    space = next(item.space for item in tensors if isinstance(item, Jet))
    length = max(len(item.higher) for item in tensors if isinstance(item, Jet))
    values = [item.value if isinstance(item, Jet) else item for item in tensors]
    result = Jet(space, torch.cat(values, dim), torch.cat([padded(item, length) for item in tensors], shifted(dim)))
    result.followed = all(item.followed for item in tensors if isinstance(item, Jet))
    return result


@rule("stack")
def stack(tensors: Sequence[Any], dim: int = 0) -> Jet:
    """Joined along a new axis."""
    return cat([item.unsqueeze(dim) for item in tensors], dim)


@rule("atleast_1d")
def atleast_1d(*tensors: Any) -> Any:
    """At least one axis."""
    return _each(tensors, lambda x: x.reshape(1) if dims(x) == 0 else x)


@rule("atleast_2d")
def atleast_2d(*tensors: Any) -> Any:
    """At least two axes, new ones in front."""
    return _each(tensors, lambda x: x if dims(x) > 1 else x.reshape(1, -1))


@rule("atleast_3d")
def atleast_3d(*tensors: Any) -> Any:
    """At least three axes, (1, n, 1) for a vector and (m, n, 1) for a matrix."""
    return _each(tensors, lambda x: x if dims(x) > 2 else x.unsqueeze(-1) if dims(x) == 2 else x.reshape(1, -1, 1))


@rule("hstack")
def hstack(tensors: Sequence[Any]) -> Any:
    """Joined along axis 1, vectors along axis 0."""
    tensors = [atleast_1d(x) for x in tensors]
    return torch.cat(tensors, 0 if dims(tensors[0]) == 1 else 1)


@rule("vstack", "row_stack")
def vstack(tensors: Sequence[Any]) -> Any:
    """Joined along axis 0, vectors as rows."""
    return torch.cat([atleast_2d(x) for x in tensors], 0)


@rule("dstack")
def dstack(tensors: Sequence[Any]) -> Any:
    """Joined along axis 2."""
    return torch.cat([atleast_3d(x) for x in tensors], 2)


@rule("column_stack")
def column_stack(tensors: Sequence[Any]) -> Any:
    """Joined along axis 1, vectors as columns."""
    return torch.cat([x if dims(x) > 1 else x.reshape(-1, 1) for x in tensors], 1)


@rule("broadcast_tensors")
def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """All of one shape."""
    tensors = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], Sequence) else tensors
    shape = torch.broadcast_shapes(*(tuple(x.shape) for x in tensors))
    return tuple(x.expand(shape) for x in tensors)


@rule("broadcast_to")
def broadcast_to(x: Any, size: Sequence[int]) -> Any:
    """X with axes of length 1 repeated."""
    return x.expand(tuple(size))


@rule("meshgrid")
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """The coordinates of all points of a grid."""
    tensors = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], Sequence) else tensors
    n = len(tensors)
    grid = broadcast_tensors(*(x.reshape(*[1] * i, -1, *[1] * (n - 1 - i)) for i, x in enumerate(tensors)))
    return tuple(x.transpose(0, 1) for x in grid) if indexing == "xy" and n > 1 else grid


@rule("block_diag")
def block_diag(*tensors: Any) -> Any:
    """Matrices along the diagonal of a larger one."""
    matrices = [atleast_2d(x) for x in tensors]
    width, left, rows = sum(x.shape[1] for x in matrices), 0, []
    for x in matrices:
        rows.append(functional.pad(x, (left, width - left - x.shape[1])))
        left += x.shape[1]
    return torch.cat(rows)


@rule("cartesian_prod")
def cartesian_prod(*tensors: Any) -> Any:
    """All combinations of the entries of some vectors, as rows."""
    if len(tensors) == 1:
        return tensors[0]
    return torch.stack([x.reshape(-1) for x in meshgrid(*tensors)], 1)


@rule("combinations")
def combinations(x: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of r entries of a vector, as rows."""
    return x[torch.combinations(torch.arange(x.shape[0], device=x.device), r, with_replacement)]


def _each(tensors: tuple[Any, ...], function: Any) -> Any:
    if len(tensors) == 1 and not isinstance(tensors[0], Sequence):
        return function(tensors[0])
    return tuple(function(x) for x in (tensors[0] if len(tensors) == 1 else tensors))
