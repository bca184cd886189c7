"""How a text file is laid out: what separates its cells, where its header is, how numbers are written."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sobolev.data.tables.text import COMMENTS, Lines, is_comment
from sobolev.data.tables.units import without_units

BLANKS = " "
"""As a separator: any number of blanks."""

MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "-nan", "+nan", "null", "none", "missing", "?", "-", "--", "."))
"""What stands for a missing number, in small letters."""

_SEPARATORS = ("\t", ";", ",", "|", BLANKS)
_SPELLINGS = {r"\t": "\t", "tab": "\t", "tabulator": "\t", "blank": BLANKS, "space": BLANKS, r"\s+": BLANKS}
_PREAMBLE, SAMPLE = 50, 1000
"""Lines among which the header is looked for, and rows that are looked at."""
_NUMBER = re.compile(r"[+\-−]?(\d+[.,]?\d*|[.,]\d+)([eEdD][+-]?\d+)?|[+-]?inf(inity)?|[+-]?nan", re.IGNORECASE)
_COMMA = re.compile(r"[+\-−]?(\d*,\d+([eEdD][+-]?\d+)?|\d{1,3}(,\d{3})+)")
_THOUSANDS = re.compile(r"[+\-−]?[1-9]\d{0,2}(,\d{3})+")


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are read.

    Args:
        names: of all columns.
        separator: between the cells.
        decimal_comma: whether numbers are written 1,5.
        last: the number of the last line that is no row of data.
        units: of the columns, where a row below the header holds them.
        header: whether the file has one; without one the columns are `column_1`, `column_2`, ....
        unnamed: the numbers of the columns that hold something and have no name.
    """

    names: tuple[str, ...]
    separator: str
    decimal_comma: bool
    last: int
    units: tuple[str, ...] = ()
    header: bool = True
    unnamed: tuple[int, ...] = ()


def recognized(
    path: Path,
    lines: Lines,
    columns: Sequence[str] | None,
    separator: str | None = None,
    decimal_comma: bool | None = None,
) -> Layout:
    """The layout of a file by its first lines.

    Args:
        path: for the messages.
        lines: those at the beginning.
        columns: names that the header has, with or without units; None: not known.
        separator: where it is known; tab and space can be spelt out.
        decimal_comma: where it is known.

    Raises:
        ValueError: there is no table; whether a comma is a decimal one cannot be told.
    """
    given = checked_separator(separator)
    if lines and (said := re.fullmatch(r'"?sep=(.)"?\s*', lines[0][1])):
        given, lines = given or said[1], lines[1:]
    if all(is_comment(line) for _, line in lines):
        raise ValueError(f"{path} holds no table; it needs a header and rows of numbers")
    candidates = [given] if given else list(_SEPARATORS)
    names, separator, last, header = _header(lines, candidates, columns)
    rows = _rows(lines, separator, last)
    both = zip(names, without_units(names)[0], strict=True)
    wanted = [i for i, pair in enumerate(both) if columns is None or not set(pair).isdisjoint(columns)]
    units: tuple[str, ...] = ()
    if header and len(rows) > 1 and _are_units(rows[0][1], rows[1][1], wanted):
        (last, cells), rows = rows[0], rows[1:]
        units = tuple(cells[: len(names)])
    if decimal_comma is None:
        cells = [cells[i] for _, cells in rows for i in wanted if i < len(cells)]
        decimal_comma = has_decimal_commas(path, cells)
    unnamed = tuple(
        i + 1 for i, name in enumerate(names) if not name and any(cells[i : i + 1] != [""] for _, cells in rows)
    )
    return Layout(names, separator, decimal_comma, last, units, header, unnamed)


def checked_separator(separator: str | None) -> str | None:
    """The separator that is meant."""
    found = _SPELLINGS.get(separator or "", separator)
    if found is not None and (len(found) != 1 or found in '"\n\r'):
        raise ValueError(f"separator is {separator!r}; it is one character, such as ';', or tab or space")
    return found


def split(line: str, separator: str) -> list[str]:
    """The cells of a line, without the blanks and quotes around them."""
    if '"' not in line:
        cells = line.split() if separator == BLANKS else line.split(separator)
    elif separator == BLANKS:
        cells = _unquoted(" ".join(line.split()), BLANKS)
    else:
        cells = _unquoted(line, separator)
    return [cell.strip() for cell in cells]


def _unquoted(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except csv.Error:  # a line break outside of quotes, with this separator
        return [line]


def fits(cells: Sequence[str], count: int) -> bool:
    """Whether a row has so many cells; separators more at its end do no harm."""
    return len(cells) >= count and not any(cells[count:])


def _header(
    lines: Lines, separators: list[str], columns: Sequence[str] | None
) -> tuple[tuple[str, ...], str, int, bool]:
    """The names, the separator, the number of the last line of the header, and whether there is one."""
    if columns is not None:
        found = [
            header
            for header in _possible(lines, separators)
            if set(columns) <= {*header[0], *without_units(header[0])[0]}
        ]
        if found:
            names, separator, last = max(found, key=lambda header: _regularity(lines, *header))
            return names, separator, last, True
    return _first_line(lines, separators)


def _possible(lines: Lines, separators: list[str]) -> Iterator[tuple[tuple[str, ...], str, int]]:
    for number, line in lines[:_PREAMBLE]:
        for separator in separators:
            yield tuple(split(line, separator)), separator, number
            if is_comment(line):  # the rows below it may be separated otherwise
                for other in separators:
                    yield tuple(split(_uncommented(line), other)), separator, number


def _first_line(lines: Lines, separators: list[str]) -> tuple[tuple[str, ...], str, int, bool]:
    """Without names to look for: the first line that is no comment, or the comment above it if that holds numbers."""
    first = next(i for i, (_, line) in enumerate(lines) if not is_comment(line))
    number, line = lines[first]
    regular = [s for s in separators if _regularity(lines, split(line, s), s, number) > 0.9]
    several = [s for s in regular if len(split(line, s)) > 1]
    separator = (several or [max(separators, key=lambda s: len(split(line, s)) if s != BLANKS else 0)])[0]
    names = split(line, separator)
    if not all(_NUMBER.fullmatch(cell) for cell in names if cell):
        whole = names[-1] or any(any(cells[len(names) - 1 :]) for _, cells in _rows(lines, separator, number))
        return tuple(names if whole else names[:-1]), separator, number, True
    above = split(_uncommented(lines[first - 1][1]), separator) if first else []
    if len(above) != len(names) and first:
        above = split(_uncommented(lines[first - 1][1]), BLANKS)
    if len(above) == len(names):
        return tuple(above), separator, lines[first - 1][0], True
    names = names if names[-1] else names[:-1]
    return tuple(f"column_{i + 1}" for i in range(len(names))), separator, number - 1, False


def _regularity(lines: Lines, names: Sequence[str], separator: str, last: int) -> float:
    """The share of rows that are as long as the header."""
    rows = _rows(lines, separator, last)
    return sum(fits(cells, len(names)) for _, cells in rows) / max(1, len(rows))


def _rows(lines: Lines, separator: str, last: int) -> list[tuple[int, list[str]]]:
    rows = ((number, line) for number, line in lines if number > last and not is_comment(line))
    return [(number, split(line, separator)) for number, line in rows]


def _uncommented(line: str) -> str:
    return line.lstrip().lstrip("".join(COMMENTS)).lstrip()


def _are_units(cells: list[str], below: list[str], wanted: list[int]) -> bool:
    """Whether a row holds words where the next one holds numbers."""
    if max(wanted, default=0) >= min(len(cells), len(below)):
        return False
    words, numbers = [cells[i] for i in wanted], [below[i] for i in wanted]
    if any(_NUMBER.fullmatch(word) for word in words) or all(word.lower() in MISSING for word in words):
        return False
    return any(_NUMBER.fullmatch(text) for text in numbers) and all(
        _NUMBER.fullmatch(text) or text.lower() in MISSING for text in numbers
    )


def has_decimal_commas(path: Path, cells: Sequence[str]) -> bool:
    """Whether numbers are written 1,5.

    Raises:
        ValueError: every comma could stand between thousands as well.
    """
    commas = [cell for cell in cells if "," in cell]
    points = any("." in cell and _NUMBER.fullmatch(cell) for cell in cells)
    if not commas or points or not all(_COMMA.fullmatch(cell) for cell in commas):
        return False
    if all(_THOUSANDS.fullmatch(cell) for cell in commas):
        cell = commas[0]
        raise ValueError(
            f"{path}: whether {cell!r} means {cell.replace(',', '.')} or {cell.replace(',', '')} cannot be told; set "
            "decimal_comma (--data.decimal_comma true or false), or write the numbers with a decimal point"
        )
    return True
