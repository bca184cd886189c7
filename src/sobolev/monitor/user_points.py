"""Points of the user's own choice: a grid, a file, or whatever a callable returns."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sobolev.data.prediction_points import PointsGrid, PredictPoints
from sobolev.data.tables import Table, is_table

Places = PredictPoints | Callable[[], Any]

_BLOCK = 1 << 16


def places(source: Places, names: Sequence[str] | None) -> Tensor:
    """All points of a source, (points, inputs), float64.

    Args:
        source: the axes of a grid, `{"x": [-1, 1, 50]}`, in the order of the inputs; the path of a CSV or Parquet file
            with a column for each input; a callable or the import path of one, which returns (points, inputs).
        names: of the inputs; where a grid or file has others, its own axes and columns in their order are taken.

    Raises:
        ValueError: no such file, column or callable; no point; anything that is no finite number.
    """
    if isinstance(source, Mapping):
        own = list(source)
        axes = list(names) if names and set(names) == set(own) else own
        return torch.cat(list(PointsGrid(source, axes).batches(_BLOCK)))
    if isinstance(source, str | Path) and is_table(source):
        own = Table(source).columns
        columns = list(names) if names and set(names) <= set(own) else own
        points = list(Table(source, columns).batches(_BLOCK))
        return _checked(torch.cat(points) if points else torch.empty(0, len(columns)), source)
    return _checked(torch.as_tensor(_imported(source)()), source)


def _checked(points: Tensor, source: Any) -> Tensor:
    points = points.detach().double().cpu()
    points = points[:, None] if points.dim() == 1 else points
    if points.dim() < 2 or not points.numel() or not points.isfinite().all():
        raise ValueError(
            f"points: {source} gives shape {tuple(points.shape)}; finite numbers (points, inputs) are needed"
        )
    return points.flatten(1)


def _imported(source: Any) -> Callable[[], Any]:
    if callable(source):
        return source
    module, _, name = str(source).rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"points is {source!r}: neither a .csv or .parquet file, nor the import path of a function, such as "
            f"my_package.my_points ({error})"
        ) from None
