"""Points in a file of the user's, read batch by batch."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float64
from torch import Tensor

if TYPE_CHECKING:
    import polars


class PointsFile:
    """Columns of a CSV (plain or compressed) or Parquet file, streamed: only a batch is in memory.

    Args:
        path: a file ending in `.csv`, `.csv.gz`, `.csv.zst` or `.parquet`.
        columns: their names, in the order of the inputs, others are ignored; None takes all.
        separator: between the fields of a CSV.
        decimal_comma: whether a CSV writes 1,5 for one and a half.

    Raises:
        ValueError: another kind of file, an unreadable one, a missing column; while reading, with its row,
            anything that is not a finite number.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[str] | None = None,
        *,
        separator: str = ",",
        decimal_comma: bool = False,
    ) -> None:
        self.path, self._decimal_comma = Path(path), decimal_comma
        table, names = self._opened(separator)
        self.columns = names if columns is None else list(columns)
        for column in self.columns:
            if column not in names:
                near = get_close_matches(column, names, 3, 0.4) or names[:10]
                raise ValueError(f"{self.path} has no column {column!r}; did you mean {' or '.join(map(repr, near))}?")
        self._table = table.select(self.columns)

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
        if any(map(len, waiting)):
            yield pl.concat(waiting).to_torch(dtype=pl.Float64)

    def _opened(self, separator: str) -> "tuple[polars.LazyFrame, list[str]]":
        """The table, of which nothing is read yet but the names of its columns."""
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
            return table, table.collect_schema().names()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(error) from error

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
