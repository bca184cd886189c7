"""Points to predict at, read or made batch by batch: a file of the user's, or a grid."""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from jaxtyping import Float, Float64
from torch import Tensor

if TYPE_CHECKING:
    import polars

PredictPoints = str | dict[str, tuple[float, float, int]]
"""A path, or per input the ends and the number of points of a grid."""


class PointsSource(Protocol):
    """Where points come from, in an order that never changes."""

    def batches(self, size: int) -> Iterator[Float64[Tensor, "size inputs"]]:
        """Blocks of `size` points (size, inputs), float64; the last may be shorter."""
        ...


class PointsFile:
    """Columns of a CSV (plain or compressed) or Parquet file, streamed: only a batch is in memory.

    Args:
        path: a file ending in `.csv`, `.csv.gz`, `.csv.zst` or `.parquet`.
        columns: their names, in the order of the inputs; others are ignored.
        separator: between the fields of a CSV.
        decimal_comma: whether a CSV writes 1,5 for one and a half.

    Raises:
        ValueError: another kind of file, an unreadable one, a missing column; while reading, with its row,
            anything that is not a finite number.
    """

    def __init__(
        self, path: str | Path, columns: Sequence[str], *, separator: str = ",", decimal_comma: bool = False
    ) -> None:
        self.path, self.columns = Path(path), list(columns)
        self._decimal_comma = decimal_comma
        self._table = self._scan(separator)

    def batches(self, size: int) -> Iterator[Float64[Tensor, "size inputs"]]:
        """Blocks of `size` rows (size, columns), float64, in the order of the file."""
        import polars as pl

        waiting, first = [], 0
        for frame in self._stream(size):
            waiting.append(self._numbers(frame, first))
            first += len(frame)
            while sum(map(len, waiting)) >= size:
                block = pl.concat(waiting)
                yield block[:size].to_torch(dtype=pl.Float64)
                waiting = [block[size:]]
        if rest := sum(map(len, waiting)):
            yield pl.concat(waiting)[:rest].to_torch(dtype=pl.Float64)

    def all_columns(self) -> list[str]:
        """The names of all columns of the file, also of those that are not asked for."""
        return self._names

    def _scan(self, separator: str) -> "polars.LazyFrame":
        import polars as pl

        if not self.path.is_file():
            raise ValueError(f"{self.path} is {'a folder' if self.path.is_dir() else 'not there'}; give a file")
        kind = "".join(self.path.suffixes[-2:]).lower()
        try:
            if kind.endswith(".parquet"):
                table = pl.scan_parquet(self.path, glob=False)
            elif kind.endswith((".csv", ".csv.gz", ".csv.zst")):
                table = pl.scan_csv(self.path, glob=False, separator=separator, infer_schema=False)
            else:
                raise ValueError(f"{self.path} is no .csv, .csv.gz, .csv.zst or .parquet")
            names = table.collect_schema().names()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(error) from error
        self._names = names
        for column in self.columns:
            if column not in names:
                near = difflib.get_close_matches(column, names, 3, 0.4) or names[:10]
                raise ValueError(f"{self.path} has no column {column!r}; did you mean {' or '.join(map(repr, near))}?")
        return table.select(self.columns)

    def _stream(self, size: int) -> "Iterator[polars.DataFrame]":
        from polars.exceptions import PolarsError

        try:
            yield from self._table.collect_batches(chunk_size=size, maintain_order=True, engine="streaming")
        except (PolarsError, OSError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> ValueError:
        return ValueError(f"{self.path} cannot be read: {str(error).strip().splitlines()[0]}")

    def _numbers(self, frame: "polars.DataFrame", first: int) -> "polars.DataFrame":
        """As finite float64, or an error that names the first cell that is not."""
        import polars as pl

        strings = pl.col(pl.String).str.strip_chars()
        if self._decimal_comma:
            strings = strings.str.replace(",", ".", literal=True)
        numbers = frame.with_columns(strings).cast(pl.Float64, strict=False)
        bad = numbers.select(~pl.all().is_finite().fill_null(value=False))
        for column in self.columns:
            if bad[column].any():
                row = int(bad[column].arg_true()[0])
                raise ValueError(
                    f"{self.path}, column {column!r}, row {first + row + 1}: {frame[column][row]!r} is no finite "
                    "number; correct or remove the row"
                )
        return numbers


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


def points_source(source: PredictPoints | Path, columns: Sequence[str], **csv: Any) -> PointsSource:
    """A `PointsFile` for a path, a `PointsGrid` for axes; `csv` are PointsFile's options."""
    return PointsGrid(source, columns) if isinstance(source, Mapping) else PointsFile(source, columns, **csv)


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
                yield (block.to(self.dtype),)


def _axis(name: str, axis: tuple[float, float, int]) -> Float64[Tensor, " number"]:
    try:
        low, high, number = float(axis[0]), float(axis[1]), axis[2]
        valid = len(axis) == 3 and math.isfinite(low) and math.isfinite(high) and number == int(number) >= 1
    except (TypeError, ValueError, IndexError):
        valid = False
    if not valid:
        raise ValueError(f"the grid's axis {name} is {axis!r}; give low, high and a number of points: [0, 1, 50]")
    return torch.linspace(low, high, int(number), dtype=torch.float64)
