"""What is wrong with the numbers of a table, or may be: refused with column and row, or said in a line each."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

_LARGEST, _SMALLEST = 1e75, 1e-75
"""Beyond these the squares of second derivatives leave float64."""
_DIGITS = 1e-10
"""A column that varies by less than this part of its size has lost its digits in float64."""
_CONSTANT = 1e-6
_SINGLE_LARGEST, _SINGLE_SMALLEST, _SINGLE_SPREAD = 1e18, 1e-18, 1e-4
"""Beyond these float32 is not enough: squares of second derivatives overflow, or rounding is 1e-3 of the spread."""
_DEPENDENT, _ROUNDED = 1e-5, 1e-2
"""Parts of the inputs' size: what a combination of dependent inputs varies by, and at most by rounding."""
_FEW_LEVELS = 3
"""So many values of an input, or fewer, leave its curve open."""
_COPIES = 20
"""One of so many rows, of a table with as many, may be a copy of another by chance."""
_LOW_HALF, _DECADES = 0.02, 1e3
"""Half of an input's values lie below that part of the largest, and the smallest below the largest by such a factor."""
_FILLERS = (1e20, 1e30, 1e35, 1e36)
_CLOCK = re.compile(r"time|date|stamp|epoch|unix|clock", re.IGNORECASE)
_EPOCHS = ((8e8, 3e9), (8e11, 3e12), (8e14, 3e15), (8e17, 3e18))
"""The years 1995 to 2065 in seconds, milliseconds, microseconds, nanoseconds since 1970."""


class Columns(NamedTuple):
    """Columns of a table."""

    names: tuple[str, ...]
    values: Float64[Tensor, "rows columns"]
    rows: Int64[Tensor, " rows"]
    """Where the rows stand in the file."""


def refuse_beyond_float64(path: object, table: Columns) -> None:
    """Refuse columns whose size, or whose digits, float64 cannot work with.

    Raises:
        ValueError: with column, row and remedy.
    """
    for name, column in zip(table.names, table.values.T, strict=True):
        sizes = column.abs().nan_to_num(nan=0.0)
        if not len(sizes) or not sizes.any():
            continue
        largest, row = float(sizes.max()), int(table.rows[sizes.argmax()])
        if not _SMALLEST < largest < _LARGEST:
            what = "too large" if largest > 1 else "the largest of its column and too small"
            raise ValueError(
                f"{path}: column {name!r}, row {row} is {float(column[sizes.argmax()]):g}, {what} for second "
                "derivatives in float64: write the column in other units"
            )
        spread = float(column.nan_to_num(-torch.inf).max() - column.nan_to_num(torch.inf).min())
        if 0 < spread < _DIGITS * largest or (spread == 0 and largest >= 2**53):
            raise ValueError(
                f"{path}: column {name!r} varies by {spread:.2g} around {float(column[sizes.argmax()]):.17g} (row "
                f"{row}), of which float64 keeps few digits: subtract a constant from the column before it is written"
            )


def beyond_single(names: Sequence[str], values: Float64[Tensor, "rows columns"]) -> str | None:
    """A sentence about the first column that float32 cannot work with; None where there is none."""
    for name, column in zip(names, values.T, strict=True):
        present = column[column.isfinite()]
        largest = float(present.abs().max()) if len(present) else 0.0
        spread = float(present.std(correction=0)) if len(present) else 0.0
        if largest and not _SINGLE_SMALLEST < largest < _SINGLE_LARGEST:
            return f"{name} reaches {largest:.2g}, where float32 ends too soon"
        if 0 < spread < _SINGLE_SPREAD * largest:
            return f"{name} varies by {spread:.2g} around {largest:.2g}, where float32 rounds too much"
    return None


def suspicions(inputs: Columns, outputs: Columns) -> list[str]:
    """One sentence for each thing that looks like a mistake in the data."""
    checks: tuple[Callable[[Columns, Columns], Iterator[str]], ...] = (
        _few_rows, _few_values, _fillers, _clocks, _collinear, _repeated, _decades
    )  # fmt: skip
    return [sentence for check in checks for sentence in check(inputs, outputs)]


def _few_rows(inputs: Columns, _: Columns) -> Iterator[str]:
    n, rows = len(inputs.names), len(inputs.rows)
    unknowns = 1 + n * (n + 3) // 2
    if rows < unknowns:
        yield (
            f"{rows} rows are fewer than the {unknowns} unknowns of a quadratic function of {n} inputs: second "
            "derivatives are not determined by them"
        )


def _few_values(inputs: Columns, _: Columns) -> Iterator[str]:
    for name, column in zip(inputs.names, inputs.values.T, strict=True):
        values, counts = column.unique(return_counts=True)
        if len(values) > 1 and float(values[-1] - values[0]) < _CONSTANT * float(column.abs().max()):
            yield f"the input {name!r} is almost constant: it varies by less than 1e-6 of its size"
        elif (
            len(values) > 1 and len(column) >= 20 and (others := len(column) - int(counts.max())) <= len(column) // 100
        ):
            rest = "1 row" if others == 1 else f"{others} rows"
            yield f"the input {name!r} is {float(values[counts.argmax()]):g} in all but {rest}: it is almost constant"
        elif 1 < len(values) <= _FEW_LEVELS and len(column) >= 20:
            yield (
                f"the input {name!r} has {len(values)} different values only: what the function does between them, and "
                "so its derivatives by this input, no row tells"
            )


def _fillers(inputs: Columns, outputs: Columns) -> Iterator[str]:
    """Numbers that stand for missing ones: all nines, or a power of ten, far from all others."""
    for table in (inputs, outputs):
        for name, column in zip(table.names, table.values.T, strict=True):
            values = column[column.isfinite()].unique()
            if len(values) < 4:
                continue
            for value, next_one, end in ((values[0], values[1], values[-1]), (values[-1], values[-2], values[0])):
                if _is_filler(float(value)) and (value - next_one).abs() > (end - next_one).abs():
                    found = (column == value).nonzero()[:, 0]
                    yield (
                        f"the column {name!r} is {float(value):g} in {len(found)} row(s), first in row "
                        f"{int(table.rows[found[0]])}, far from all others: does it stand for a missing value?"
                    )


def _is_filler(value: float) -> bool:
    digits = f"{abs(value):.12g}".replace(".", "").rstrip("0")
    return (len(digits) >= 2 and set(digits) == {"9"}) or abs(value) in _FILLERS


def _clocks(inputs: Columns, _: Columns) -> Iterator[str]:
    for name, column in zip(inputs.names, inputs.values.T, strict=True):
        rises = len(column) > 3 and bool((column.diff() >= 0).all())
        epoch = any(low < float(column.min()) and float(column.max()) < high for low, high in _EPOCHS)
        if (epoch and (rises or _CLOCK.search(name))) or (
            rises and _CLOCK.search(name) and column.min() > column.std()
        ):
            yield (
                f"the input {name!r} looks like a clock: what happens at other times says nothing about new ones. "
                "Leave it out, or give the time since an event"
            )


def _collinear(inputs: Columns, _: Columns) -> Iterator[str]:
    if len(inputs.names) < 2 or len(inputs.rows) <= len(inputs.names):
        return
    centred = inputs.values - inputs.values.mean(0)
    sizes = centred.square().mean(0).sqrt()
    if not sizes.all():
        return
    _, strengths, directions = torch.linalg.svd(centred / sizes, full_matrices=False)
    rounding = torch.tensor([_rounding(column) for column in inputs.values.T]).to(sizes) / sizes
    for strength, direction in zip(strengths, directions, strict=True):
        rounded = float((direction * rounding).square().sum().sqrt())  # of numbers with few decimals, written so
        if strength < _DEPENDENT * strengths[0] or strength < 1.5 * len(inputs.rows) ** 0.5 * min(rounded, _ROUNDED):
            among = [name for name, part in zip(inputs.names, direction.abs(), strict=True) if part > 1e-3]
            yield (
                f"the inputs {', '.join(among)} are linearly dependent: the derivative by one of them alone is not "
                "determined by these data. Leave one out"
            )


def _rounding(column: Tensor) -> float:
    """The standard deviation of the rounding to as many decimals as a column has; 0 where it has many."""
    for decimals in range(-3, 9):
        scaled = column * 10.0**decimals
        if bool(((scaled - scaled.round()).abs() < 1e-6).all()):
            return 10.0**-decimals / 12**0.5
    return 0.0


def _repeated(inputs: Columns, outputs: Columns) -> Iterator[str]:
    """The same inputs with different outputs, and rows that are in the table more than once."""
    _, groups, counts = inputs.values.unique(dim=0, return_inverse=True, return_counts=True)
    yield from _contradictions(inputs, outputs, groups)
    yield from _copies(inputs, outputs, (counts > 1)[groups])


def _contradictions(inputs: Columns, outputs: Columns, groups: Int64[Tensor, " rows"]) -> Iterator[str]:
    """Of rows in groups of the same inputs."""
    order = groups.argsort(stable=True)
    same = groups[order].diff() == 0
    first, second = outputs.values[order[:-1]], outputs.values[order[1:]]
    bad = (same & ((first - second).abs() > 1e-12 * first.abs()).any(1)).nonzero()[:, 0]
    if len(bad):
        rows = sorted(int(inputs.rows[order[bad[0] + i]]) for i in (0, 1))
        yield (
            f"rows {rows[0]} and {rows[1]} have the same inputs and different outputs, as have {len(bad)} pair(s) of "
            "rows in all: the outputs are noisy, or depend on something that is no input"
        )


def _copies(inputs: Columns, outputs: Columns, repeated: Bool[Tensor, " rows"]) -> Iterator[str]:
    """Of rows whose inputs come again; with an output missing they may have derivatives that differ."""
    among = (repeated & outputs.values.isfinite().all(1)).nonzero()[:, 0]
    rows = torch.cat([inputs.values, outputs.values], 1)[among]
    _, groups, counts = rows.unique(dim=0, return_inverse=True, return_counts=True)
    copies, total = len(rows) - len(counts), len(repeated)
    constant = bool((outputs.values == outputs.values[:1]).all())
    if total - copies >= _COPIES and copies * _COPIES > total and not constant:
        of = (groups == int(counts.argmax())).nonzero()[:2, 0]
        first, second = inputs.rows[among[of]].tolist()
        yield (
            f"{copies} of {total} rows are copies of others, in every column ({first} and {second} for instance): "
            "rows that are held out have then been trained on, and say nothing of errors. Leave the copies out"
        )


def _decades(inputs: Columns, _: Columns) -> Iterator[str]:
    """Sizes that differ by powers of ten, nearly all of them small."""
    for name, column in zip(inputs.names, inputs.values.T, strict=True):
        least, largest = float(column.min()), float(column.max())
        if 0 < least * _DECADES < largest and float(column.median()) < _LOW_HALF * largest:
            yield (
                f"the input {name!r} goes from {least:.3g} to {largest:.3g}, and half of it lies below "
                f"{float(column.median()):.3g}: a function that is as smooth for small numbers as for large ones is "
                "learnt far better from a column with its logarithm"
            )
