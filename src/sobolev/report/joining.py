"""Rows that several processes wrote, brought into one table in the order of the data, on disk throughout."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    import polars

_CHUNK = 1 << 20
"""About so many numbers are in memory at a time."""


class PartWriter:
    """One process's rows: number of the row, then its values, as float64, appended batch by batch.

    Args:
        folder: shared by all processes.
        rank: the number of this process.
        numbered: whether the row numbers are those of all the data, not just counted by this process.
    """

    def __init__(self, folder: Path, rank: int, *, numbered: bool) -> None:
        self._folder, self._rank, self._numbered = folder, rank, numbered
        self._columns, self._dtype = [], "Float32"
        self._file = _records(folder, rank).open("wb")

    def append(self, rows: Sequence[int], values: Tensor, columns: list[str]) -> None:
        """Add rows.

        Args:
            rows: a number for each row.
            values: (rows, columns).
            columns: their names.
        """
        self._columns = columns
        self._dtype = "Float64" if values.dtype.itemsize == 8 else "Float32"
        record = np.empty((len(rows), 1 + len(columns)))
        record[:, 0] = rows
        record[:, 1:] = values.detach().cpu().double().numpy()
        record.tofile(self._file)

    def finish(self) -> None:
        """Close the part and leave word that it is complete."""
        self.close()
        about = {"columns": self._columns, "dtype": self._dtype, "numbered": self._numbered}
        _about(self._folder, self._rank).write_text(json.dumps(about), encoding="utf-8")

    def close(self) -> None:
        """Close the part's file; more than once does no harm."""
        self._file.close()


def join(folder: Path, world_size: int, target: Path) -> None:
    """Write the table, each row once, in the order of their numbers.

    Parts whose rows are not numbered follow each other by rank.

    Args:
        folder: where the parts lie; scratch files are left there.
        world_size: how many processes wrote one.
        target: a .csv or .parquet that is created.

    Raises:
        ValueError: a part is not there; nothing was predicted.
    """
    import polars as pl  # not wanted by those who write no table

    parts = [_about_part(folder, rank) for rank in range(world_size)]
    filled = [about for about in parts if about["columns"]]
    if not filled:
        raise ValueError("there was no point to predict at, so there is no table")
    columns, dtype = filled[0]["columns"], getattr(pl, filled[0]["dtype"])
    table = _scatter(folder, parts, 1 + len(columns))
    frames = (pl.from_numpy(rows, dict.fromkeys(columns, pl.Float64)).cast(dtype) for rows in _present(table, columns))
    _write_csv(frames, target) if target.suffix == ".csv" else _write_parquet(frames, target, folder)


def _about_part(folder: Path, rank: int) -> dict:
    about = _about(folder, rank)
    if not about.exists():
        raise ValueError(f"process {rank} left no part in {folder}; all processes must share the table's folder")
    return json.loads(about.read_text(encoding="utf-8"))


def _scatter(folder: Path, parts: list[dict], width: int) -> Path:
    """A file of all rows at their places, marked with a 1 in front; a place that nobody filled has a 0."""
    path, total = folder / "table", 0
    with path.open("wb") as table:
        for rank, about in enumerate(parts):
            offset = 0 if about["numbered"] else total
            for chunk in _chunks(_records(folder, rank), width):
                rows = chunk[:, 0].astype(np.int64) + offset
                total = max(total, int(rows.max()) + 1)
                chunk[:, 0] = 1
                _place(table, rows, chunk)
    return path


def _place(table: BinaryIO, rows: np.ndarray, chunk: np.ndarray) -> None:
    """Write rows at their places, those that follow each other at once; a memory map would stay in memory."""
    order = rows.argsort(kind="stable")
    for run in np.split(order, np.flatnonzero(np.diff(rows[order]) != 1) + 1):
        table.seek(int(rows[run[0]]) * chunk[0].nbytes)
        table.write(chunk[run].tobytes())


def _chunks(path: Path, width: int) -> Iterator[np.ndarray]:
    rows = max(1, _CHUNK // width)
    with path.open("rb") as file:
        while len(numbers := np.fromfile(file, count=rows * width)):
            yield numbers.reshape(-1, width)


def _present(table: Path, columns: Sequence[str]) -> Iterator[np.ndarray]:
    for chunk in _chunks(table, 1 + len(columns)):
        yield chunk[chunk[:, 0] == 1, 1:]


def _write_csv(frames: "Iterator[polars.DataFrame]", target: Path) -> None:
    with target.open("wb") as file:
        for number, frame in enumerate(frames):
            frame.write_csv(file, include_header=number == 0)


def _write_parquet(frames: "Iterator[polars.DataFrame]", target: Path, folder: Path) -> None:
    import polars as pl

    pieces = []
    for number, frame in enumerate(frames):
        pieces.append(folder / f"{number}.parquet")
        frame.write_parquet(pieces[-1])
    pl.scan_parquet(pieces, glob=False).sink_parquet(target)


def _records(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}"


def _about(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}.json"
