"""Cells as numbers; those that are none are counted through the whole file, and the first is named."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sobolev.data.tables.layout import MISSING

if TYPE_CHECKING:
    import polars

_REMEDY = {
    "missing": "fill the cell or drop the row",
    "infinite": "correct the cell or drop the row",
    "text": "correct the cell or drop the row",
}


@dataclass
class _Kind:
    """Cells of one kind that cannot be used, and the first of them."""

    count: int = 0
    columns: set[str] = field(default_factory=set)
    row: int = 0
    column: str = ""
    text: str = ""


class BadCells:
    """What cannot be used, of one file.

    Args:
        path: of the file.
        counting: words that say how rows are counted.
        decimal_comma: whether numbers are written 1,5.
    """

    def __init__(self, path: Path, counting: str, decimal_comma: bool = False) -> None:
        self._path, self._counting, self._decimal_comma = path, counting, decimal_comma
        self._kinds: dict[str, _Kind] = {}

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def add(self, kind: str, bad: "polars.Series", cells: "polars.Series", rows: "polars.Series") -> None:
        """Count cells of one column.

        Args:
            kind: `missing`, `infinite` or `text`.
            bad: which cells.
            cells: as they stand in the file, with the column's name.
            rows: their rows.
        """
        places = bad.arg_true()
        if not len(places):
            return
        known = self._kinds.setdefault(kind, _Kind())
        known.count += len(places)
        known.columns.add(cells.name)
        row = int(rows[places[0]])
        if not known.row or row < known.row:
            known.row, known.column, known.text = row, cells.name, str(cells[places[0]] or "")

    def refuse(self) -> None:
        """Raise a ValueError about the first of them, if there are any."""
        if not self._kinds:
            return
        kind, first = min(self._kinds.items(), key=lambda item: item[1].row)
        what = {"missing": _missing, "infinite": _infinite, "text": _no_number}[kind](first.text)
        others = f"{first.count} such cell{'s' if first.count > 1 else ''} in the file"
        columns = f", in {len(first.columns)} columns" if len(first.columns) > 1 else ""
        remedy = self._remedy(first.text) if kind == "text" else _REMEDY[kind]
        raise ValueError(
            f"{self._path}: column {first.column!r}, row {first.row} ({self._counting}) {what} ({others}{columns}); "
            f"{remedy}"
        )

    def _remedy(self, text: str) -> str:
        if "." in text and "," in text:
            return "leave out the marks between thousands"
        if self._decimal_comma and "." in text:
            return "with decimal_comma a number holds no point: drop it, or set decimal_comma to false"
        if not self._decimal_comma and text.replace(",", "", 1).lstrip("+-").isdigit():
            return (
                "if its numbers have decimal commas, set decimal_comma to true (--data.decimal_comma true); marks "
                "between thousands have to go"
            )
        if sum(text.count(mark) for mark in "-/:T") > 1 and text[:1].isdigit():
            return "a date or time goes in as a number, such as the days since the first row"
        return _REMEDY["text"]


def _missing(text: str) -> str:
    return "is empty" if not text.strip() else "is NaN" if text.lower() == "nan" else f"is {text!r}, a missing number"


def _infinite(text: str) -> str:
    return f"is {text}, too large for float64" if any(digit in text for digit in "123456789") else "is infinite"


def _no_number(text: str) -> str:
    return f"is {text[:40]!r}, which is no number"


def numbers(
    cells: "polars.Series", rows: "polars.Series", bad: BadCells, decimal_comma: bool, may_lack: bool
) -> "polars.Series":
    """A column of float64, NaN where a cell may lack and does.

    Args:
        cells: texts, or numbers of any type.
        rows: the row of each.
        bad: where cells that cannot be used are counted.
        decimal_comma: texts are written 1,5.
        may_lack: whether cells may be missing.
    """
    import polars as pl

    texts = cells.str.strip_chars() if cells.dtype == pl.String else None
    found = cells.cast(pl.Float64) if texts is None else _from_text(texts, decimal_comma)
    missing = found.is_null() | found.is_nan().fill_null(value=False)
    if texts is not None and missing.any():
        words = texts.is_null() | texts.str.to_lowercase().is_in(list(MISSING))
        bad.add("text", missing & ~words, cells, rows)
        missing = missing & words
    if not may_lack:
        bad.add("missing", missing, cells, rows)
    bad.add("infinite", found.is_infinite().fill_null(value=False), cells, rows)
    return found.fill_null(float("nan"))


def _from_text(texts: "polars.Series", decimal_comma: bool) -> "polars.Series":
    import polars as pl

    if decimal_comma:
        texts = texts.set(texts.str.contains(".", literal=True).fill_null(value=False), "text")
        texts = texts.str.replace(",", ".", literal=True)
    found = texts.cast(pl.Float64, strict=False)
    failed = texts.is_not_null() & found.is_null()
    if failed.any():  # a typographic minus, an exponent of Fortran
        mended = texts.str.replace("−", "-", literal=True).str.replace(r"^(.*\d\.?)[dD]([+-]?\d+)$", "${1}e$2")
        found = mended.cast(pl.Float64, strict=False)
    return found


def refuse_types(path: Path, types: "Sequence[tuple[str, polars.DataType]]") -> None:
    """Refuse columns that hold neither numbers nor text."""
    import polars as pl

    for name, kind in types:
        if kind.is_numeric() or kind in (pl.Boolean, pl.Null, pl.String):
            continue
        if kind.is_temporal():
            remedy = "it is a time: write it as a number, such as the seconds since the first row"
        elif kind.is_nested():
            remedy = "several values in one cell: write each into a column of its own"
        else:
            remedy = "convert it to numbers"
        raise ValueError(f"{path}: column {name!r} holds {kind}; {remedy}")
