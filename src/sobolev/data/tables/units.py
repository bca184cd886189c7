"""Units that stand behind the names in a header, `Pressure [bar]`, and whether two of them are the same."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

_BRACKETS = re.compile(r"(.*[^\s\[])\s*\[([^\[\]]*)\]", re.DOTALL)
_INDEX = re.compile(r"[\d\s,:]*")
"""What is no unit: x[0] is an entry of x."""
_NUMBER = frozenset(("-", "–", "—", "1"))
"""What stands for the unit of a plain number, where a blank is before its bracket."""
_SAME = (("Â", ""), ("º", "°"), ("˚", "°"), ("deg", "°"), ("μ", "µ"), ("·", "*"), ("⋅", "*"), ("**", "^"), ("^", ""))


def without_units(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The names of columns without the units in brackets behind them, and the unit of each that has one.

    Names that would be the same without their units keep them.
    """
    parted = [_parted(name) for name in names]
    bare = [name for name, _ in parted]
    kept = [whole if bare.count(name) > 1 else name for whole, name in zip(names, bare, strict=True)]
    return kept, {name: unit for name, (found, unit) in zip(kept, parted, strict=True) if name == found and unit}


def _parted(name: str) -> tuple[str, str]:
    found = _BRACKETS.fullmatch(name.strip())
    if found is None:
        return name, ""
    unit, apart = found[2].strip(), name.strip()[found.end(1)].isspace()
    if apart and unit in _NUMBER:
        return found[1], ""
    return (name, "") if _INDEX.fullmatch(unit) else (found[1], unit)


def check_same_units(where: object, known: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuse columns that are in other units than those that were trained on.

    Args:
        where: the table, for the message.
        known: the units of training, by name.
        found: those of the table; a column without one is taken as it is.

    Raises:
        ValueError: a unit differs, whatever way it is written.
    """
    for name, unit in found.items():
        if unit and known.get(name) and _plain(unit) != _plain(known[name]):
            raise ValueError(
                f"{where}: column {name!r} is in {unit}, but the network was trained with {name} in {known[name]}: "
                f"write the column in {known[name]}, or leave the unit out of the file if it is in {known[name]}"
            )


def _plain(unit: str) -> str:
    """A unit as it is compared: °C and degC, m/s² and m/s^2 are the same."""
    text = unit.replace(" ", "").strip("[]()")
    for written, meant in _SAME:
        text = text.replace(written, meant)
    return unicodedata.normalize("NFKC", text)
