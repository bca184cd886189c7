"""The data that a checkpoint was trained on are the defaults of whatever is done with it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from jaxtyping import Float64
from torch import Tensor

from sobolev.data.description import description_in
from sobolev.training.checkpoint import read_checkpoint


def description_of(path: str | None) -> dict[str, Any] | None:
    """What data a checkpoint was trained on; None where there is no such file, or it does not say."""
    return description_in(read_checkpoint(path)) if path and Path(path).is_file() else None


def checkpoint_named(arguments: Sequence[str]) -> str | None:
    """The checkpoint on a command line."""
    for word, after in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == "--ckpt_path":
            return value if equals else after
    return None


@contextmanager
def configuration(description: dict[str, Any] | None) -> Iterator[list[str]]:
    """The path of a configuration with these data, in a list; an empty list where nothing is known."""
    if description is None or not description.get("class_path"):
        yield []
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "data.yaml"
        data = {"class_path": description["class_path"], "init_args": description["init_args"]}
        path.write_text(yaml.safe_dump({"data": data}), encoding="utf-8")
        yield [str(path)]


def points_within(description: dict[str, Any], count: int) -> Float64[Tensor, "count inputs"]:
    """Uniform points in the ranges of the inputs, where the data themselves are not at hand."""
    low, high = torch.tensor([v["range"] or [-1.0, 1.0] for v in description["inputs"]], dtype=torch.float64).T
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(count, len(low), generator=generator, dtype=torch.float64)


def check_named(checkpoint: str, description: dict[str, Any] | None) -> None:
    """Refuse to take the default job's data for those of a checkpoint that does not tell its own."""
    if description is not None and description.get("class_path"):
        return
    named = (word for word in sys.argv[1:] if not word.startswith("--data.predict_points"))
    if not any(word.startswith(("--data", "--config", "-c")) for word in named):
        raise ValueError(
            f"{checkpoint} does not say what data it was trained on: name them, by --config or by --data, as "
            "`--data table.csv --data.inputs '[x]' --data.outputs '[y]'`"
        )
