"""Points to predict at, batch by batch: those of a file, or of a grid."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sobolev.data.tables import Table

PredictPoints = str | dict[str, tuple[float, float, int]]
"""A path, or per input the ends and the number of points of a grid."""


class PointsSource(Protocol):
    """Where points come from, in an order that never changes."""

    def batches(self, size: int) -> Iterator[Float64[Tensor, "size inputs"]]:
        """Blocks of `size` points (size, inputs), float64; the last may be shorter."""
        ...


class PointsGrid:
    """A regular grid with its ends, the last input running fastest; made batch by batch.

    Args:
        axes: per input its lowest and highest value and the number of points.
        columns: the names of the inputs, in order.

    Raises:
        ValueError: the axes are not those of the inputs, or make no grid.
    """

    def __init__(self, axes: Mapping[str, tuple[float, float, int]], columns: Sequence[str]) -> None:
        if set(axes) != set(columns):
            raise ValueError(f"the grid has axes {', '.join(axes)}, but the inputs are {', '.join(columns)}")
        self._axes = [_axis(name, axes[name]) for name in columns]

    def batches(self, size: int) -> Iterator[Float64[Tensor, "size inputs"]]:
        """Blocks of `size` points (size, inputs), float64."""
        lengths = [len(axis) for axis in self._axes]
        total = math.prod(lengths)
        for start in range(0, total, size):
            left = torch.arange(start, min(start + size, total))
            coordinates = []
            for axis in reversed(self._axes):
                coordinates.append(axis[left % len(axis)])
                left = left // len(axis)
            yield torch.stack(coordinates[::-1], dim=1)


def points_source(source: PredictPoints | Path, columns: Sequence[str], **options: Any) -> PointsSource:
    """A `Table` for a path, a `PointsGrid` for axes; `options` are those of Table."""
    return PointsGrid(source, columns) if isinstance(source, Mapping) else Table(source, columns, **options)


class PointsLoader:
    """Batches `(x,)` of a source; of several processes, each takes every so-many-th batch.

    It is no torch DataLoader, so that Lightning leaves the sharding to it, and has no length: a file is read once.

    Args:
        source: of the points.
        batch_size: points per batch.
        dtype: of x.
        rank: the number of this process.
        world_size: how many processes there are.
    """

    def __init__(
        self,
        source: PointsSource,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.source, self.batch_size, self.dtype = source, batch_size, dtype
        self.rank, self.world_size = rank, world_size

    @property
    def batch_sampler(self) -> Iterator[range]:
        """Row numbers of this process's batches, without end; those of the last batch may be too many."""
        for number in count(self.rank, self.world_size):
            yield range(number * self.batch_size, (number + 1) * self.batch_size)

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "batch inputs"]]]:
        for number, block in enumerate(self.source.batches(self.batch_size)):
            if number % self.world_size == self.rank:
                yield (self._cast(block, number * self.batch_size),)

    def _cast(self, block: Float64[Tensor, "batch inputs"], before: int) -> Float[Tensor, "batch inputs"]:
        cast = block.to(self.dtype)
        if cast.isinf().any():
            row, column = cast.isinf().nonzero()[0].tolist()
            raise ValueError(
                f"point {before + row + 1}, input {column + 1} is {float(block[row, column]):g}, beyond {self.dtype}: "
                "take --trainer.precision 64-true (or network.double()), or write the points in other units"
            )
        return cast


def _axis(name: str, axis: tuple[float, float, int]) -> Float64[Tensor, " number"]:
    try:
        low, high, number = float(axis[0]), float(axis[1]), axis[2]
        valid = len(axis) == 3 and math.isfinite(low) and math.isfinite(high) and number == int(number) >= 1
    except (TypeError, ValueError, IndexError):
        valid = False
    if not valid:
        raise ValueError(f"the grid's axis {name} is {axis!r}; give low, high and a number of points: [0, 1, 50]")
    return torch.linspace(low, high, int(number), dtype=torch.float64)
