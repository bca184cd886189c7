"""The lines of a text file, whatever its compression, encoding and line ends; what is no text is called by its name."""

import bz2
import gzip
import lzma
import re
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any

Lines = list[tuple[int, str]]
"""Lines with their numbers, the first of the file is 1; a quoted line break is no end of a line."""

COMMENTS = ("#", "%", "//", "!")
"""What a comment begins with."""

_HEAD, _PIECE = 1 << 16, 1 << 20
_LONGEST_QUOTE = 200
"""Lines that one quoted cell may span; beyond it the quote was never closed."""

_COMPRESSED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_NOT_TEXT = {
    b"\xd0\xcf\x11\xe0": "a workbook of an old Excel",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file",
    b"CDF": "a netCDF file",
    b"SQLite": "a database of SQLite",
    b"\x93NUMPY": "an array of NumPy",
    b"ARROW1": "an Arrow file",
    b"MATLAB": "a file of Matlab",
    b"{\\rtf": "a document of a word processor",
}
_NO_TABLE = "{} is no text and no Parquet file; write the table as one of them"
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a"))
_MARKUP = re.compile(rb"\s*<(!doctype|html|head|body|table|\?xml|svg|script)", re.IGNORECASE)
_DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError)


def check_file(path: Path) -> None:
    """Refuse what is no file that can be read, or an empty one."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the path of one CSV or Parquet file in it")
    if not path.exists():
        near = get_close_matches(path.name, _neighbours(path), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the current folder is {Path.cwd()}"
        raise ValueError(f"there is no file {path}; {hint}")
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    if not first:
        raise ValueError(f"{path} is empty; it needs a header and rows of numbers")


def _neighbours(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []


def is_parquet(path: Path) -> bool:
    """Whether the file is Parquet, or was meant to be."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1" or path.suffix.lower() in (".parquet", ".pq")


def blocks(path: Path) -> Iterator[Lines]:
    """The lines of a file that are not blank, comments among them, some at a time.

    Raises:
        ValueError: the file is damaged or no text; a quote is never closed.
    """
    number, left, quoted = 1, "", _Quoted(path)
    for piece in chain(_pieces(path), "\n"):
        lines = (left + piece).split("\n")
        left = lines.pop()
        yield quoted.whole(lines, number)
        number += len(lines)
    quoted.close()


def is_comment(line: str) -> bool:
    """Whether the line is one of the comments that files of numbers hold."""
    return line.lstrip().startswith(COMMENTS)


class _Quoted:
    """Puts lines together again that a quoted line break has torn."""

    def __init__(self, path: Path) -> None:
        self._path, self._number, self._open = path, 0, list[str]()

    def whole(self, lines: list[str], first: int) -> Lines:
        if not self._open and not any('"' in line for line in lines):
            return [(n, line) for n, line in enumerate(lines, first) if line and not line.isspace()]
        found = []
        for number, line in enumerate(lines, first):
            if self._open or (line.count('"') % 2 and not is_comment(line)):
                self._number = self._number if self._open else number
                self._open.append(line)
                if len(self._open) > 1 and line.count('"') % 2:
                    found.append((self._number, "\n".join(self._open)))
                    self._open = []
                elif len(self._open) > _LONGEST_QUOTE:
                    self.close()
            elif line and not line.isspace():
                found.append((number, line))
        return found

    def close(self) -> None:
        if self._open:
            raise ValueError(
                f"{self._path}: a quote in row {self._number} is not closed: {self._open[0][:60]!r}; remove it or "
                "write its partner"
            )


def _pieces(path: Path) -> Iterator[str]:
    """The text, with the line ends of Unix."""
    with path.open("rb") as file:
        magic = file.read(8)
    opener = next((opener for start, opener in _COMPRESSED.items() if magic.startswith(start)), open)
    with _explained(path):
        if magic.startswith(_ZSTANDARD):
            yield from _zstandard(path)
            return
        with opener(path, "rb") as file:
            encoding = _encoding(path, file.read(_HEAD))
        with opener(path, "rb") as file, TextIOWrapper(file, encoding, "replace") as text:
            while piece := text.read(_PIECE):
                yield piece


def _zstandard(path: Path) -> Iterator[str]:
    """Polars reads this compression on every Python: each line as one cell."""
    import polars as pl

    table = pl.scan_csv(path, glob=False, has_header=False, separator="\x01", quote_char=None, infer_schema=False)
    for frame in table.collect_batches(maintain_order=True, engine="streaming"):
        text = "\n".join(line or "" for line in frame.to_series())
        yield text.replace("\r\n", "\n").replace("\r", "\n") + "\n"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    from polars.exceptions import PolarsError

    try:
        yield
    except (*_DAMAGED, PolarsError):
        raise ValueError(f"{path} cannot be read: it is damaged or cut off; write or copy it again") from None


def _encoding(path: Path, head: bytes) -> str:
    """UTF-8, UTF-16, or else that of Windows; refuses what is no text."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    _refuse_other_kinds(path, head)
    if b"\0" in head:
        halves = head[: len(head) // 2 * 2]
        if not halves[1::2].strip(b"\0"):
            return "utf-16-le"
        if not halves[::2].strip(b"\0"):
            return "utf-16-be"
        raise ValueError(_NO_TABLE.format(path))
    try:
        getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        if sum(byte in _CONTROLS for byte in head) > len(head) // 100:
            raise ValueError(_NO_TABLE.format(path)) from None
        return "cp1252"
    return "utf-8"


def _refuse_other_kinds(path: Path, head: bytes) -> None:
    remedy = "save the table as CSV or Parquet"
    if head.startswith(b"PK\3\4"):
        excel = any(part in head for part in (b"[Content_Types].xml", b"xl/", b"mimetype"))
        what, remedy = ("a workbook of Excel", remedy) if excel else ("a zip archive", "unpack it")
    elif _MARKUP.match(head):
        what = "a page of HTML or XML"
    elif head.lstrip().startswith((b'{"', b"[{", b"{\n", b"[[")):
        what = "JSON"
    else:
        what = next((name for start, name in _NOT_TEXT.items() if head.startswith(start)), "")
    if what:
        raise ValueError(f"{path} is {what}, whatever its name says; {remedy}")
