"""Units that stand behind the names in a header, `Pressure [bar]`, and whether two of them are the same.

What stands in brackets is taken for a unit, whatever it is; what stands in parentheses only where it is a known one:
`T (degC)` is a temperature, `f(x)` a function, `weight (dry)` a kind of weight.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

_BRACKETS = re.compile(r"(.*[^\s\[])\s*\[([^\[\]]*)\]", re.DOTALL)
_PARENTHESES = re.compile(r"(.*?[^\s(])(\s*)\(((?:[^()]|\([^()]*\))+)\)", re.DOTALL)
_WITH_PREFIX = "m|g|s|A|K|mol|cd|Hz|N|Pa|J|W|V|F|C|Ω|[Oo]hm|S|T|Wb|H|lm|lx|Bq|Gy|Sv|l|L|bar|eV|cal|Wh|Ah|rad|VA|samples"
_WITHOUT_PREFIX = (
    "%|‰|°C?|°F|deg[CF]?|h|hr|hours?|min|minutes?|sec|seconds?|d|days?|weeks?|months?|yr|years?|atm|Torr|mmHg|psi|ppm|"
    "ppb|rpm|dB|inch|ft|lbs?|mph|kn|ha|USD|EUR|GBP|[€$£]|px|sr|counts?|percent|meters?|metres?|kelvin|celsius"
)
_FACTOR = (
    rf"(?:(?:da|[YZEPTGMkhdcmµμunpf])?(?:{_WITH_PREFIX})|{_WITHOUT_PREFIX})"
    r"(?:(?:\^|\*\*)?[-−+]?\d|⁻?[¹²³⁴])?"
)
_UNIT = re.compile(rf"(?:1\s*/\s*)?{_FACTOR}(?:(?:\s*[·⋅*/.]\s*|\s+(?:per\s+)?){_FACTOR})*")
_FUNCTIONS = frozenset(("log", "log10", "log2", "ln", "exp", "sqrt", "abs", "sin", "cos", "tan", "mean", "std", "var"))
"""`log(kPa)` is a logarithm."""
_INDEX = re.compile(r"[\d\s,:]*")
"""What is no unit: x[0] is an entry of x."""
_NUMBER = frozenset(("-", "–", "—", "1"))
"""What stands for the unit of a plain number, where a blank is before its bracket."""
_SAME = (("Â", ""), ("º", "°"), ("˚", "°"), ("deg", "°"), ("μ", "µ"), ("·", "*"), ("⋅", "*"), ("**", "^"), ("^", ""))


def without_units(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The names of columns without the units in brackets behind them, and the unit of each that has one.

    Names that would be the same without their units keep them.
    """
    parted = [_parted(name, names) for name in names]
    bare = [name for name, _ in parted]
    kept = [whole if bare.count(name) > 1 else name for whole, name in zip(names, bare, strict=True)]
    return kept, {name: unit for name, (found, unit) in zip(kept, parted, strict=True) if name == found and unit}


def _parted(name: str, names: Sequence[str]) -> tuple[str, str]:
    found = _BRACKETS.fullmatch(name.strip())
    if found is None:
        return _parted_by_parentheses(name, names)
    unit, apart = found[2].strip(), name.strip()[found.end(1)].isspace()
    if apart and unit in _NUMBER:
        return found[1], ""
    return (name, "") if _INDEX.fullmatch(unit) else (found[1], unit)


def _parted_by_parentheses(name: str, names: Sequence[str]) -> tuple[str, str]:
    """Where a known unit is in them, and nothing in the header says otherwise, as T (min) beside T (max) does."""
    found = _PARENTHESES.fullmatch(name.strip())
    if found is None:
        return name, ""
    head, blank, unit = found[1], found[2], found[3].strip()
    others = [other[1] for each in names if each != name and (other := _PARENTHESES.fullmatch(each.strip()))]
    if head in others or unit in names:
        return name, ""
    if unit in _NUMBER - {"1"}:
        return (head, "") if blank else (name, "")
    known = _UNIT.fullmatch(unit.replace("(", "").replace(")", ""))
    function = not blank and (len(unit) == 1 or head.lower() in _FUNCTIONS)
    return (head, unit) if known and not function else (name, "")


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
