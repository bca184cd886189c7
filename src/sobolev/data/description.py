"""What data a network was trained on, in plain types: names, units and ranges, and how to make the data again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.data.tables.units import without_units

KEY = "trained_on"
"""Under which data modules leave their description in a checkpoint."""


def variables(
    names: Sequence[str], units: Mapping[str, str], values: Float64[Tensor, "rows columns"] | None
) -> list[dict[str, Any]]:
    """Name, unit (empty: not known) and range of each column; the range is None where nothing is known."""
    ranges: list[list[float] | None] = [None] * len(names)
    if values is not None and len(values):
        lows, highs = (
            values.nan_to_num(nan=torch.inf).amin(0).tolist(),
            values.nan_to_num(nan=-torch.inf).amax(0).tolist(),
        )
        ranges = [[low, high] if low <= high else None for low, high in zip(lows, highs, strict=True)]
    return [
        {"name": name, "unit": units.get(name, ""), "range": ends} for name, ends in zip(names, ranges, strict=True)
    ]


def description_in(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """The description that a checkpoint holds, whatever data module left it there."""
    for state in checkpoint.values():
        if isinstance(state, dict) and isinstance(state.get(KEY), dict):
            return state[KEY]
    return None


def names_in(description: Mapping[str, Any], kind: str) -> list[str]:
    """The names of its `inputs` or `outputs`."""
    return [variable["name"] for variable in description[kind]]


def units_in(description: Mapping[str, Any]) -> dict[str, str]:
    """The units of inputs and outputs, as far as they are known."""
    found = (variable for kind in ("inputs", "outputs") for variable in description[kind])
    return {variable["name"]: variable["unit"] for variable in found if variable.get("unit")}


def check_same(description: Mapping[str, Any], inputs: Sequence[str], outputs: Sequence[str]) -> str | None:
    """Whether data are of the kind that a network was trained on.

    Returns:
        A sentence where names differ; None where all is well.

    Raises:
        ValueError: the same names in another order.
    """
    said = None
    for kind, names in (("inputs", inputs), ("outputs", outputs)):
        trained = names_in(description, kind)
        if list(names) in (trained, without_units(trained)[0]):
            continue
        if sorted(names) == sorted(trained):
            raise ValueError(
                f"the network was trained with the {kind} {', '.join(trained)}, in this order, but the data have "
                f"{', '.join(names)}: write --data.{kind} '[{', '.join(trained)}]'"
            )
        if len(names) == len(trained):
            taken = ", ".join(names)
            said = f"the network was trained with the {kind} {', '.join(trained)}; {taken} are taken for them"
    return said


def plain(value: Any) -> Any:
    """A value in plain types, paths as absolute texts.

    Raises:
        TypeError: it cannot be written so, a function for example.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no plain form")
