"""Units of the columns of a table of predictions, in a file beside it: the table's own header stays plain names."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

from sobolev.functions.notation import derivative_notation, derivative_unit


def known_units(data: Any, trained_on: Mapping[str, Any] | None) -> dict[str, str]:
    """Of inputs and outputs, by the data module or else by what the network was trained on."""
    described = trained_on or {}
    variables = [variable for kind in ("inputs", "outputs") for variable in described.get(kind, ())]
    return {v["name"]: v["unit"] for v in variables if v["unit"]} | dict(getattr(data, "units", {}))


def column_units(
    inputs: Sequence[str],
    outputs: Sequence[str],
    units: Mapping[str, str],
    derivative_names: Mapping[str, str] | None = None,
    order: int = 2,
) -> dict[str, str]:
    """The unit of each column that has one: `{"T": "K", "p": "kPa", "dp/dT": "kPa/K"}`.

    Args:
        inputs: names of the inputs.
        outputs: names of the outputs.
        units: of inputs and outputs.
        derivative_names: `{"dy/dx": "slope"}`, as in `column_names`.
        order: of the highest derivatives.
    """
    called = derivative_names or {}
    found = {name: units[name] for name in (*inputs, *outputs) if name in units}
    for times in range(1, order + 1):
        for output in outputs:
            for by in combinations_with_replacement(inputs, times):
                if output in units and all(name in units for name in by):
                    derivative = derivative_notation(output, by)
                    name = called.get(derivative, derivative)
                    found[name] = derivative_unit(units[output], [units[i] for i in by])
    return found


def write_units(table: Path, units: Mapping[str, str], columns: Sequence[str]) -> Path | None:
    """Write `predictions.units.json` beside `predictions.csv`, standard deviations in the units of their columns.

    Returns:
        Where it lies; None where no unit is known.
    """
    of_columns = {name: units.get(name, units.get(name.removesuffix("_std"), "")) for name in columns}
    if not any(of_columns.values()):
        return None
    path = table.with_suffix(".units.json")
    unfinished = path.with_name(f".{path.name}")
    known = {name: unit for name, unit in of_columns.items() if unit}
    unfinished.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return unfinished.replace(path)
