"""`Table`: columns of numbers in a file of the user's, a block of rows at a time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sobolev.data.tables.cells import BadCells, numbers, refuse_types
from sobolev.data.tables.layout import BLANKS, SAMPLE, Layout, fits, has_decimal_commas, recognized, split
from sobolev.data.tables.text import Lines, blocks, check_file, is_comment, is_parquet
from sobolev.data.tables.units import without_units

if TYPE_CHECKING:
    import polars

_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".parquet", ".pq")
_COMPRESSIONS = ("", ".gz", ".zst", ".bz2", ".xz")
_ROWS = 1 << 14


def is_table(source: str | Path) -> bool:
    """Whether a name is that of a table: .csv, .tsv, .txt, .dat, each also compressed, .parquet, .pq."""
    return str(source).lower().endswith(tuple(kind + packed for kind in _SUFFIXES for packed in _COMPRESSIONS))


class Rows(NamedTuple):
    """Some rows of a table."""

    numbers: Float64[Tensor, "rows columns"]
    places: Int64[Tensor, " rows"]
    """Where they stand in the file, the first row is 1."""


class Table:
    """Columns of a CSV or Parquet file, streamed: only a block of rows is in memory.

    The kind of the file, its compression (gzip, Zstandard, bzip2, xz), encoding, separator, decimal commas, header,
    comments and units, in a row below the header or in brackets behind a name, `Pressure [bar]`, are recognised by what
    is in it. Blank lines do not count as rows.

    Args:
        path: of the file.
        columns: their names, with or without units, in the order that is wanted, others are ignored; None takes all.
        may_lack: columns in which a cell may be empty or NaN; both become NaN.
        separator: between the cells, where it is not to be recognised.
        decimal_comma: whether numbers are written 1,5, where it is not to be recognised.

    Attributes:
        columns: the names, without units.
        called: what each name in the header is without its unit.
        units: what the header, or a row below it, says about them, `{name: unit}`.
        counting: how rows are counted, for messages.
        unnamed: the numbers of columns that hold something and have no name; they cannot be read.

    Raises:
        ValueError: no such file or column, or no table; while reading, with column and row, whatever is no finite
            number. Each with the remedy.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[str] | None = None,
        *,
        may_lack: Sequence[str] = (),
        separator: str | None = None,
        decimal_comma: bool | None = None,
    ) -> None:
        self.path = Path(path)
        check_file(self.path)
        self._layout, self.unnamed = None, ()
        if is_parquet(self.path):
            stored, self.counting = _parquet_names(self.path), "counted from 1"
        else:
            start = list(islice(chain.from_iterable(blocks(self.path)), SAMPLE))
            self._layout = recognized(self.path, start, columns, separator, decimal_comma)
            stored, self.counting = self._layout.names, "the file's first line is 1"
            self.unnamed = self._layout.unnamed
        whole = [name.strip() for name in stored]
        names, units = without_units(whole)
        self.called = dict(zip(whole, names, strict=True))
        wanted = names if columns is None else [self.called.get(name, name) for name in columns]
        self.columns = tuple(name for name in dict.fromkeys(wanted) if name)
        self._may_lack = frozenset(self.called.get(name, name) for name in may_lack)
        _check_names(self.path, names, self.columns, self._layout, separator)
        units |= dict(zip(names, self._layout.units, strict=False)) if self._layout else {}
        self.units = {name: unit for name, unit in units.items() if name in self.columns and unit}
        self._places = [names.index(name) for name in self.columns]
        self._stored = [stored[place] for place in self._places]
        self._decimal_comma = self._commas(decimal_comma) if self._layout is None else self._layout.decimal_comma

    def read(self) -> Rows:
        """All rows."""
        parts = list(self.blocks())
        if not parts:
            return Rows(torch.empty(0, len(self.columns), dtype=torch.float64), torch.empty(0, dtype=torch.int64))
        return Rows(*map(torch.cat, zip(*parts, strict=True)))

    def batches(self, size: int) -> Iterator[Float64[Tensor, "size columns"]]:
        """Blocks of `size` rows (size, columns), the last may be shorter, in the order of the file."""
        waiting: list[Tensor] = []
        for block, _ in self.blocks():
            waiting.append(block)
            if sum(map(len, waiting)) >= size:
                *full, rest = torch.cat(waiting).split(size)
                yield from full
                waiting = [rest]
        if any(map(len, waiting)):
            yield from torch.cat(waiting).split(size)

    def blocks(self) -> Iterator[Rows]:
        """All rows, as many at a time as suits the file."""
        bad = BadCells(self.path, self.counting, self._decimal_comma)
        for cells, rows in self._parquet() if self._layout is None else _text(self.path, self._layout, self._places):
            found = self._numbers(cells, rows, bad)
            if not bad:  # else the rest of the file is read for their number
                yield found
        bad.refuse()

    def _numbers(self, cells: "polars.DataFrame", rows: "polars.Series", bad: BadCells) -> Rows:
        import polars as pl

        columns = [
            numbers(cells.to_series(i).alias(name), rows, bad, self._decimal_comma, name in self._may_lack)
            for i, name in enumerate(self.columns)
        ]
        return Rows(pl.DataFrame(columns).to_torch(dtype=pl.Float64), rows.to_torch())

    def _commas(self, known: bool | None) -> bool:
        """Whether texts in a Parquet file are written with decimal commas."""
        import polars as pl

        if known is not None:
            return known
        with _readable(self.path):
            start = pl.scan_parquet(self.path, glob=False).select(self._stored).head(SAMPLE).collect()
        texts = [
            start[name].drop_nulls().str.strip_chars().to_list()
            for name in self._stored
            if start[name].dtype == pl.String
        ]
        return has_decimal_commas(self.path, [text for column in texts for text in column])

    def _parquet(self) -> "Iterator[tuple[polars.DataFrame, polars.Series]]":
        import polars as pl

        with _readable(self.path):
            table = pl.scan_parquet(self.path, glob=False).select(self._stored)
            refuse_types(self.path, list(zip(self.columns, table.collect_schema().dtypes(), strict=True)))
            first = 1
            for frame in table.collect_batches(chunk_size=_ROWS, maintain_order=True, engine="streaming"):
                yield frame, pl.int_range(first, first + len(frame), dtype=pl.Int64, eager=True)
                first += len(frame)


def _parquet_names(path: Path) -> tuple[str, ...]:
    import polars as pl

    with _readable(path):
        return tuple(pl.read_parquet_schema(path))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    from polars.exceptions import PolarsError

    try:
        yield
    except (PolarsError, OSError):
        raise ValueError(
            f"{path} cannot be read: it is damaged or cut off, or no Parquet file; write it again"
        ) from None


def _text(path: Path, layout: Layout, places: list[int]) -> "Iterator[tuple[polars.DataFrame, polars.Series]]":
    import polars as pl

    for block in blocks(path):
        lines = [(number, line) for number, line in block if number > layout.last and not is_comment(line)]
        if lines:
            cells = _cells(path, layout, places, lines)
            yield cells, pl.Series([number for number, _ in lines], dtype=pl.Int64)


def _cells(path: Path, layout: Layout, places: list[int], lines: Lines) -> "polars.DataFrame":
    """The texts of the columns at these places."""
    import polars as pl

    texts, separator, width = [line for _, line in lines], layout.separator, len(layout.names)
    schema = {str(i): pl.String for i in range(width)}
    if any('"' in text for text in texts):
        rows = [split(text, separator) for text in texts]
        _check_lengths(path, width, lines, map(len, rows), separator)
        return pl.DataFrame([row[:width] for row in rows], schema, orient="row")[:, places]
    if separator == BLANKS:
        texts, separator = ["\t".join(text.split()) for text in texts], "\t"
    lengths = [text.count(separator) + 1 for text in texts]
    _check_lengths(path, width, lines, lengths, layout.separator)
    if max(lengths) > width:
        texts = [separator.join(text.split(separator)[:width]) for text in texts]
    content = "\n".join(texts).encode()
    return pl.read_csv(content, has_header=False, separator=separator, quote_char=None, schema=schema)[:, places]


def _check_lengths(path: Path, width: int, lines: Lines, lengths: Iterable[int], separator: str) -> None:
    for (number, line), length in zip(lines, lengths, strict=True):
        if length != width and not fits(cells := split(line, separator), width):
            remedy = "fill it up or drop it" if len(cells) < width else "give each column a name, or drop the row"
            if separator == "," and len(cells) > width:
                remedy = "drop the row, give each column a name, or separate cells by ';' if commas are decimal"
            raise ValueError(
                f"{path}: row {number} (the file's first line is 1) has {len(cells)} cells, but the header "
                f"has {width}: {line[:60]!r}; {remedy}"
            )


def _check_names(
    path: Path, names: Sequence[str], columns: Sequence[str], layout: Layout | None, separator: str | None
) -> None:
    for column in columns:
        if names.count(column) > 1:
            raise ValueError(f"{path} has {names.count(column)} columns named {column!r}; rename all but one")
        if column not in names:
            raise ValueError(f"{path} has no column {column!r}; {_nearest(column, names, layout, separator)}")
    if not columns:
        raise ValueError(f"{path} has no column with a name; it needs a header")


def _nearest(column: str, names: Sequence[str], layout: Layout | None, separator: str | None) -> str:
    if layout is not None and not layout.header:
        called = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        return f"it has no header, its first row is numbers: write one, or name its columns {called}"
    if separator is not None and len(names) == 1:
        return f"its header {names[0]!r} is not separated by {separator!r}: leave the separator out to recognise it"
    near = [name for name in names if name.lower() == column.lower()] or get_close_matches(column, names, 3, 0.5)
    shown = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
    return f"did you mean {' or '.join(map(repr, near))}?" if near else f"its columns are {shown}"
