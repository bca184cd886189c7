"""Columns of numbers from a CSV or Parquet file; what is wrong with one is said with file, column and row."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float64
from torch import Tensor

if TYPE_CHECKING:
    import polars

_CSV = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_PARQUET = (".parquet", ".pq")


def read_columns(
    path: Path, columns: Sequence[str], separator: str, decimal_comma: bool, may_lack: Sequence[str] = ()
) -> dict[str, Float64[Tensor, " rows"]]:
    """Read columns of numbers.

    Args:
        path: a CSV (.csv, .tsv, .txt, each also .gz) or Parquet (.parquet, .pq) file.
        columns: the names of the columns.
        separator: between the cells of a CSV file.
        decimal_comma: numbers are written 1,5.
        may_lack: columns in which a cell may be empty or NaN; both become NaN.

    Returns:
        One float64 tensor (rows) per column.

    Raises:
        ValueError: the file or one of its cells cannot be used, with the remedy.
    """
    check_file(path)
    frame = _frame(path, columns, separator)
    return {name: _numbers(path, frame[name], decimal_comma, name in may_lack) for name in dict.fromkeys(columns)}


def check_file(path: Path) -> None:
    """Refuse what is no readable file of a known format."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the path of one CSV or Parquet file in it")
    if not path.exists():
        near = get_close_matches(path.name, _neighbours(path), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the current folder is {Path.cwd()}"
        raise ValueError(f"there is no file {path}; {hint}")
    if not path.name.lower().endswith(_CSV + _PARQUET):
        raise ValueError(f"{path} has an unknown format; use {', '.join(_CSV[:3])} (also .gz) or .parquet")
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    if not first:
        raise ValueError(f"{path} is empty; it needs a header and rows of numbers")


def _neighbours(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []


def _frame(path: Path, columns: Sequence[str], separator: str) -> "polars.DataFrame":
    import polars

    if path.name.lower().endswith(_PARQUET):
        with _explained(path, "it is damaged or cut off, or no Parquet file; write it again"):
            names = list(polars.read_parquet_schema(path))
            _check_names(path, names, columns, None)
            return polars.read_parquet(path, columns=list(dict.fromkeys(columns)))
    if len(separator) != 1:
        raise ValueError(f"separator is {separator!r}; it is one character, such as ';' (a tabulator is '\\t')")
    with _explained(path, f"is the separator {separator!r}, the text UTF-8, and each row as long as the header?"):
        header = polars.read_csv(path, has_header=False, n_rows=1, separator=separator, infer_schema=False)
        names = [str(name or "").removeprefix("\ufeff").strip() for name in header.row(0)]
        _check_names(path, names, columns, separator)
        schema = {str(i): polars.String for i in range(len(names))}  # by place: headers elsewhere may repeat
        cells = polars.read_csv(
            path, has_header=False, skip_rows=1, separator=separator, schema=schema, raise_if_empty=False
        )
        return cells.select(cells[str(names.index(name))].alias(name) for name in dict.fromkeys(columns))


@contextmanager
def _explained(path: Path, remedy: str) -> Iterator[None]:
    """Turns polars' own errors into a sentence."""
    from polars.exceptions import PolarsError

    try:
        yield
    except (PolarsError, OSError, EOFError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path} cannot be read ({reason}); {remedy}") from None


def _check_names(path: Path, names: list[str], columns: Sequence[str], separator: str | None) -> None:
    repeated = sorted({name for name in columns if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{path} has {names.count(repeated[0])} columns named {repeated[0]!r}; rename all but one")
    for column in columns:
        if column not in names:
            raise ValueError(f"{path} has no column {column!r}; {_nearest(column, names, separator)}")


def _nearest(column: str, names: list[str], separator: str | None) -> str:
    for other in ";\t,|":
        if separator is not None and other != separator and len(names) == 1 and other in names[0]:
            return f"its header {names[0]!r} looks separated by {other!r}: set separator to that"
    near = get_close_matches(column, names, n=3, cutoff=0.5)
    shown = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
    return f"did you mean {' or '.join(map(repr, near))}?" if near else f"its columns are {shown}"


def _numbers(path: Path, column: "polars.Series", decimal_comma: bool, may_lack: bool) -> Tensor:
    import polars

    if column.dtype == polars.String:
        texts = column.str.strip_chars()
        texts = texts.set(texts == "", None) if len(texts) else texts
        numbers = _from_text(texts, decimal_comma)
        text = texts.is_not_null() & numbers.is_null()
        if text.any():
            _refuse_text(path, texts, text, decimal_comma)
    elif column.dtype.is_numeric() or column.dtype == polars.Boolean or column.dtype == polars.Null:
        numbers = column.cast(polars.Float64)
    else:
        raise ValueError(f"{path}: column {column.name!r} holds {column.dtype}; convert it to numbers")
    numbers = numbers.rename(column.name)
    if not may_lack:
        _refuse_cells(path, numbers, numbers.is_null(), "is empty", "fill the cell or drop the row")
        _refuse_cells(path, numbers, numbers.is_nan(), "is NaN", "fill the cell or drop the row")
    _refuse_cells(path, numbers, numbers.is_infinite(), "is infinite", "correct the cell or drop the row")
    return torch.from_numpy(numbers.fill_null(float("nan")).to_numpy().copy())


def _from_text(texts: "polars.Series", decimal_comma: bool) -> "polars.Series":
    import polars

    if decimal_comma:
        texts = texts.set(texts.str.contains(".", literal=True).fill_null(False), "text")
        texts = texts.str.replace(",", ".", literal=True)
    return texts.cast(polars.Float64, strict=False)


def _refuse_text(path: Path, texts: "polars.Series", text: "polars.Series", decimal_comma: bool) -> None:
    row = text.arg_true()[0]
    cell = texts[row]
    remedy = "correct the cell or drop the row"
    if not decimal_comma and cell.replace(",", "", 1).lstrip("+-").isdigit():
        remedy = "if its numbers have decimal commas, set decimal_comma to true"
    elif decimal_comma and "." in cell:
        remedy = "with decimal_comma a number holds no point: drop it, or set decimal_comma to false"
    raise ValueError(
        f"{path}: column {texts.name!r}, row {row + 1} (the header not counted) is {cell[:40]!r}, which is no "
        f"number ({int(text.sum())} such cells); {remedy}"
    )


def _refuse_cells(path: Path, numbers: "polars.Series", bad: "polars.Series", what: str, remedy: str) -> None:
    bad = bad.fill_null(False)
    if bad.any():
        raise ValueError(
            f"{path}: column {numbers.name!r}, row {bad.arg_true()[0] + 1} (the header not counted) {what} "
            f"({int(bad.sum())} such cells); {remedy}"
        )
