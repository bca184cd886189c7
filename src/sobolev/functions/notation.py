"""How derivatives are written in text, `dy/dx`, `d2y/dx2`, `d2y/dxdz`, and names for them, such as delta.

By an input whose name ends in a digit twice it is `d2y/dx1dx1`: `d2y/dx12` could be meant for one by x12.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import groupby

_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Place = tuple[int, ...]
"""The number of an output, then those of the inputs it is differentiated by, in ascending order."""


def derivative_notation(output: str, inputs: Sequence[str]) -> str:
    """The derivative of `output` by `inputs`, equal ones side by side: `d2y/dx2`, `d2y/dx1dx1`; the value is `y`."""
    if not inputs:
        return output
    groups = [(name, len(list(group))) for name, group in groupby(inputs)]
    below = "".join(f"d{name}" * times if name[-1:].isdigit() else _power(name, times) for name, times in groups)
    return f"d{len(inputs) if len(inputs) > 1 else ''}{output}/{below}"


def _power(name: str, times: int) -> str:
    return f"d{name}{times if times > 1 else ''}"


def derivative_unit(output: str, inputs: Sequence[str]) -> str:
    """The unit of a derivative from those of the output and of the inputs it is by: `MPa/K`, `kN/(K·(m/s))`, `1/K²`.

    Args:
        output: its unit; empty for a number.
        inputs: the unit of each input, equal ones side by side; empty for a number.
    """
    groups = [(unit, len(list(group))) for unit, group in groupby(inputs) if unit]
    factors = [f"{_whole(unit)}{str(times).translate(_RAISED) if times > 1 else ''}" for unit, times in groups]
    if not factors:
        return output
    below = factors[0] if len(factors) == 1 else f"({'·'.join(factors)})"
    return f"{_whole(output) or '1'}/{below}"


def _whole(unit: str) -> str:
    """In parentheses, if it is a product or a quotient."""
    return f"({unit})" if any(sign in unit for sign in "/*· ") else unit


def some(names: Sequence[str]) -> str:
    """The first of many names, in a sentence."""
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def derivative_place(derivative: str, inputs: Sequence[str], outputs: Sequence[str], option: str) -> Place:
    """Which first or second derivative is meant, whatever the sequence of its inputs.

    Args:
        derivative: in the notation of this module; `d2y/dx12` is taken for `d2y/dx1dx1`.
        inputs: the names of the inputs.
        outputs: the names of the outputs.
        option: where the user wrote it, for the message.

    Raises:
        ValueError: no derivative of these outputs by these inputs.
    """
    places: dict[str, Place] = {}
    for o, y in enumerate(outputs):
        for i, x in enumerate(inputs):
            places[derivative_notation(y, [x])] = (o, i)
            for j, z in enumerate(inputs):
                places[derivative_notation(y, [x, z])] = (o, *sorted((i, j)))
            places.setdefault(f"d2{y}/{_power(x, 2)}", (o, i, i))
    if derivative not in places:
        near = get_close_matches(derivative, places, n=3, cutoff=0.5) or list(places)[:6]
        raise ValueError(
            f"{option}: {derivative!r} names no derivative of these outputs by these inputs; write {', '.join(near)}"
        )
    return places[derivative]


def checked_units(units: Mapping[str, str] | None, names: Sequence[str]) -> dict[str, str]:
    """Units by the names of inputs and outputs.

    Raises:
        ValueError: a name that none of them has.
    """
    for name in units or {}:
        if name not in names:
            near = get_close_matches(name, names, n=1) or names
            raise ValueError(f"units: there is no {name!r} among inputs and outputs; write {' or '.join(near)}")
    return dict(units or {})


def checked_names(names: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
    """Names for derivatives, `{"dprice/dspot": "delta"}`, with the inputs of each in ascending order.

    Raises:
        ValueError: no such derivative; a name that something else has.
    """
    taken = [*names.values(), *inputs, *outputs]
    for name in names.values():
        if taken.count(name) > 1:
            raise ValueError(f"derivative_names: {name!r} stands for two things; give each a name of its own")
    found = {}
    for derivative, name in names.items():
        output, *by = derivative_place(derivative, inputs, outputs, "derivative_names")
        found[derivative_notation(outputs[output], [inputs[i] for i in by])] = name
    return found
