"""Rows that several processes wrote, brought into one table in the order of the data, on disk throughout."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from torch import Tensor

_CHUNK = 1 << 22
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
    parts = [_read(folder, rank) for rank in range(world_size)]
    filled = [about for about, records in parts if len(records)]
    if not filled:
        raise ValueError("there was no point to predict at, so there is no table")
    columns, dtype = filled[0]["columns"], getattr(pl, filled[0]["dtype"])
    table = _scatter(folder, parts, 1 + len(columns))
    frames = (pl.from_numpy(rows, dict.fromkeys(columns, pl.Float64)).cast(dtype) for rows in _present(table))
    _write_csv(frames, target) if target.suffix == ".csv" else _write_parquet(frames, target, folder)


def _read(folder: Path, rank: int) -> tuple[dict, np.ndarray]:
    about = _about(folder, rank)
    if not about.exists():
        raise ValueError(f"process {rank} left no part in {folder}; all processes must share the table's folder")
    facts = json.loads(about.read_text(encoding="utf-8"))
    path, width = _records(folder, rank), 1 + len(facts["columns"])
    if not path.stat().st_size:
        return facts, np.empty((0, width))
    return facts, np.memmap(path, np.float64, "r").reshape(-1, width)


def _scatter(folder: Path, parts: list[tuple[dict, np.ndarray]], width: int) -> np.ndarray:
    """All rows at their places, marked with a 1 in front; a place that nobody filled has a 0."""
    offsets, total = [], 0
    for about, records in parts:
        offsets.append(0 if about["numbered"] else total)
        highest = max((int(chunk[:, 0].max()) for chunk in _chunks(records)), default=-1)
        total = max(total, offsets[-1] + highest + 1)
    table = np.memmap(folder / "table", np.float64, "w+", shape=(total, width))
    for offset, (_, records) in zip(offsets, parts, strict=True):
        for chunk in _chunks(records):
            rows = chunk[:, 0].astype(np.int64) + offset
            table[rows, 0] = 1
            table[rows, 1:] = chunk[:, 1:]
    return table


def _chunks(records: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, _CHUNK // records.shape[1])
    for start in range(0, len(records), rows):
        yield np.asarray(records[start : start + rows])


def _present(table: np.ndarray) -> Iterator[np.ndarray]:
    for chunk in _chunks(table):
        yield chunk[chunk[:, 0] == 1, 1:]


def _write_csv(frames: Iterator[pl.DataFrame], target: Path) -> None:
    with target.open("wb") as file:
        for number, frame in enumerate(frames):
            frame.write_csv(file, include_header=number == 0)


def _write_parquet(frames: Iterator[pl.DataFrame], target: Path, folder: Path) -> None:
    pieces = []
    for number, frame in enumerate(frames):
        pieces.append(folder / f"{number}.parquet")
        frame.write_parquet(pieces[-1])
    pl.scan_parquet(pieces, glob=False).sink_parquet(target)


def _records(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}"


def _about(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}.json"
