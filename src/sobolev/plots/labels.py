"""Text in a figure: derivatives in mathematical notation, numbers, and names that may hold anything."""

import re
from collections.abc import Sequence
from itertools import groupby

ROOM = 28
"""Characters that all the names in a label have together."""


def name(text: str, longest: int = ROOM) -> str:
    """A user's name as matplotlib text: `x` and `x1` in italics, words upright, nothing read as markup."""
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split()) or "?"
    if match := re.fullmatch(r"([A-Za-z])_?(\d{0,3})", text):
        letter, digits = match.groups()
        return f"${letter}_{{{digits}}}$" if digits else f"${letter}$"
    return _plain(text, longest)


def _plain(text: str, longest: int) -> str:
    """Cut where it is too long, nothing read as markup."""
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return text.replace("\\", "∖").replace("$", r"\$")


def derivative(output: str, inputs: Sequence[str], *, partial: bool, room: int = ROOM) -> str:
    """`d²y/dx²` for one input, `∂²y/∂x∂z` where there are several; the value is just `y`.

    Args:
        output: name of the output.
        inputs: names of the inputs it is differentiated by, repeated ones next to each other.
        partial: whether to write ∂.
        room: characters for the names.
    """
    below = [(key, len(list(group))) for key, group in groupby(inputs)]
    fits = len(output) + sum(len(key) for key, _ in below) <= room
    longest = room if fits else max(6, room // (1 + len(below)))
    top = name(output, longest)
    if not inputs:
        return top
    d = "∂" if partial else "d"
    bottom = " ".join(f"{d}{_apart(name(key, longest))}{_power(times)}" for key, times in below)
    return f"{d}{_power(len(inputs))}{_apart(top)} / {bottom}"


def _apart(name: str) -> str:
    """A word keeps its distance from the d before it."""
    return name if name.startswith("$") else "\u2009" + name


def _power(times: int) -> str:
    return f"${{}}^{{{times}}}$" if times > 1 else ""


def with_unit(label: str, unit: str) -> str:
    """`pressure [kPa]`; the label alone where there is no unit."""
    return f"{label} [{_plain(unit, ROOM)}]" if unit else label


def number(value: float) -> str:
    """Three digits where that is short, otherwise two and an exponent: 0.012, 4.2e-5, 0."""
    if value == 0 or 1e-2 <= abs(value) < 1e3:
        return f"{value:.3g}"
    return re.sub(r"e([+-])0*(\d)", lambda m: f"e{'-' if m[1] == '-' else ''}{m[2]}", f"{value:.1e}")


def left_out(what: Sequence[str]) -> str:
    """One line naming what a figure does not show, or nothing."""
    more = f" and {len(what) - 4} more" if len(what) > 4 else ""
    return f"not shown: {', '.join(what[:4])}{more}" if what else ""
