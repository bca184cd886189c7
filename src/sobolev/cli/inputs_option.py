"""The points to look at somebody's model at, as they are named on the command line: a shape, ranges or a file."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sobolev.cli.models import read_tensors

_SEED = 0


def read_points(inputs: str, count: int, columns: Sequence[str] = ()) -> Tensor:
    """Points (rows, *in) in float64.

    Args:
        inputs: a shape, `64,3` (uniform in ±1, the first number is that of the points); a range per input,
            `0:1,-50:50` (uniform within); or a file: .npy, .pt, .csv, .tsv, .txt (also compressed) or .parquet.
        count: how many points are drawn in ranges.
        columns: those of a table that are inputs; all if none is named.

    Raises:
        ValueError: it is none of these, or the file is not there or not readable.
    """
    generator = torch.Generator().manual_seed(_SEED)
    if re.fullmatch(r"\d+(,\d+)*,?", inputs):
        shape = [int(size) for size in inputs.strip(",").split(",")]
        return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
    if ":" in inputs and not Path(inputs).exists():
        low, high = torch.tensor([_range(part) for part in inputs.split(",")], dtype=torch.float64).T
        return low + (high - low) * torch.rand(count, len(low), generator=generator, dtype=torch.float64)
    from sobolev.data.tables import is_table  # brings Lightning

    if is_table(inputs):
        return _from_table(inputs, columns)
    if inputs.endswith(".npy"):
        return _from_array(inputs)
    if inputs.endswith((".pt", ".pth")):
        return _from_tensor(inputs)
    raise ValueError(
        f"--inputs {inputs!r} is no shape (64,3), no range per input (0:1,-50:50), no .npy, .pt, .csv or .parquet file"
    )


def _from_table(path: str, columns: Sequence[str]) -> Tensor:
    from sobolev.data.tables import Table

    blocks = list(Table(path, columns or None).batches(10_000))
    if not blocks:
        raise ValueError(f"{path} has no row; give at least one point")
    return torch.cat(blocks)


def _from_array(path: str) -> Tensor:
    import numpy as np

    if not Path(path).is_file():
        raise ValueError(f"{path} is not there; give a file")
    try:
        return torch.from_numpy(np.asarray(np.load(path, allow_pickle=False), dtype=np.float64))
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} holds no array of numbers: {error}") from None


def _from_tensor(path: str) -> Tensor:
    points = read_tensors(path)
    if not isinstance(points, Tensor):
        raise ValueError(f"{path} holds a {type(points).__name__}; it must hold one tensor, the points")
    return points.double()


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        raise ValueError(f"--inputs: {text!r} is no range; write low:high for every input, 0:1,-50:50") from None
    if not low < high:
        raise ValueError(f"--inputs: the range {text} is empty; write the lower end first")
    return low, high
