"""Where a function is drawn, if nothing binds a figure to the points that were measured."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_LINE = 400
_GRID, _COARSER = 53, 27
"""Points of a line, along each axis of a grid, and of the coarser one, every other of these."""
_SLICE = 60
"""Points along each of many inputs."""
_FAR, _MOST_POINTS = 1.5, 5000
"""Outside is what is so many times as far from all points as nearly all of these from their neighbours."""


def drawing_points(seen: Tensor, data: Any) -> Tensor:
    """Points (n, inputs): a line, a grid, or lines along each of many inputs through the middle of the data.

    Args:
        seen: points that were measured, (rows, inputs).
        data: the data module; where it knows the domain, that is drawn.
    """
    low, high = _box(seen, data)
    if seen.shape[1] == 1:
        return torch.linspace(float(low), float(high), _LINE, dtype=seen.dtype)[:, None]
    if seen.shape[1] == 2:
        axes = [
            torch.linspace(*ends, _GRID, dtype=seen.dtype) for ends in zip(low.tolist(), high.tolist(), strict=True)
        ]
        return torch.cartesian_prod(*axes)
    lines = []
    for i, ends in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        line = seen.median(0).values.repeat(_SLICE, 1)
        line[:, i] = torch.linspace(*ends, _SLICE, dtype=seen.dtype)
        lines.append(line)
    return torch.cat(lines)


def on_coarser_grid(tensor: Tensor) -> Tensor:
    """Of the points of a grid, as `drawing_points` returns them, (n, ...), a quarter: every other one of each axis."""
    step = (_GRID - 1) // (_COARSER - 1)
    return tensor.unflatten(0, (_GRID, _GRID))[::step, ::step].flatten(0, 1)


def on_whole_grid(coarser: Tensor) -> Tensor:
    """Numbers at the points of `on_coarser_grid`, (m, ...), at all of the grid, linear in between."""
    columns = coarser.flatten(1).T.unflatten(1, (_COARSER, _COARSER))
    whole = interpolate(columns[None], size=(_GRID, _GRID), mode="bilinear", align_corners=True)[0]
    return whole.flatten(1).T.unflatten(1, coarser.shape[1:])


def has_points(data: Any) -> bool:
    """Whether the domain of a data module is no box, but given by points."""
    return isinstance(getattr(data, "points", None), Tensor)


def outside_of(data: Any, x: Tensor) -> Tensor:
    """Which points (n, inputs) lie outside of such a domain: farther from all of its points than these from another."""
    points = data.points[:_MOST_POINTS].double()
    scale = points.std(0)
    apart = torch.cdist(points / scale, points / scale).fill_diagonal_(torch.inf).amin(1)
    return torch.cdist(x.double().cpu() / scale, points / scale).amin(1) > _FAR * apart.quantile(0.99)


def _box(seen: Tensor, data: Any) -> tuple[Tensor, Tensor]:
    """The domain; else the ranges of all rows that the data module holds; else those of the points."""
    domain, rows = getattr(data, "domain", None), getattr(getattr(data, "training", None), "inputs", None)
    if isinstance(domain, Mapping) and len(domain) == seen.shape[1]:
        low, high = torch.tensor(list(domain.values()), dtype=torch.float64).T
        return low.to(seen), high.to(seen)
    if isinstance(rows, Tensor) and rows.dim() == 2 and rows.shape[1] == seen.shape[1] and len(rows):
        seen = rows.to(seen)
    low, high = seen.aminmax(dim=0)
    return low, high
