"""The text of a formula as Python reads it, before anything in it is given a meaning; and names for variables."""

import ast
import re
import unicodedata
import warnings
from collections.abc import Sequence

_MAX_LENGTH = 10_000
_SIGNS = {
    "·": "*",
    "⋅": "*",
    "∙": "*",
    "×": "*",
    "÷": "/",
    "∕": "/",
    "−": "-",
    "–": "-",
    "≤": "<=",
    "≥": ">=",
    "∗": "*",
    "‐": "-",
    "‑": "-",
    "π": "pi",
}
_JOINED = re.compile(r"(?<=\w)(?=π)|(?<=π)(?=\w)")
"""Where π and a letter or a number would become one name."""
_POWER = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")


def as_typed(text: str) -> str:
    """A formula in the signs that are read here: x·y as x*y, x² as x**2, a − b as a - b, π as pi, micro as mu."""
    text = _JOINED.sub(" ", text)
    for sign, meaning in _SIGNS.items():
        text = text.replace(sign, meaning)
    text = _POWER.sub(_power, text)  # before NFKC makes x2 of x²
    return unicodedata.normalize("NFKC", text)


def _power(match: re.Match[str]) -> str:
    exponent = unicodedata.normalize("NFKC", match[0]).replace("−", "-")
    return f"**{exponent}" if exponent.isdecimal() else f"**({exponent})"


def syntax_tree(text: str) -> ast.expr:
    """What Python makes of the text, not looked at any further.

    Raises:
        ValueError: it is no expression.
    """
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"the formula has {len(text)} characters; at most {_MAX_LENGTH} are read")
    if not text.strip():
        raise ValueError("the formula is empty; write one such as 'x**2'")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(as_typed(text).strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{short(text)} is not a formula{_place(error)}; {_hint(text)}") from None
    except (MemoryError, RecursionError):
        raise ValueError(f"the formula {short(text)} is nested too deeply") from None


def check_names(variables: Sequence[str]) -> None:
    """Refuse what cannot name a variable, and a name that comes twice."""
    for name in variables:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            raise ValueError(f"{name!r} cannot be the name of a variable; use letters, digits and _, such as x_1")
        if variables.count(name) > 1:
            raise ValueError(f"the variable {name!r} is listed twice")


def short(text: str) -> str:
    """A formula as a message quotes it."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _place(error: Exception) -> str:
    offset = getattr(error, "offset", None)
    return f" (at character {offset}: {getattr(error, 'msg', error)})" if offset else ""


def _hint(text: str) -> str:
    if "√" in text or "|" in text:
        return "write roots as sqrt(x), absolute values as abs(x)"
    if "lambda" in text:
        return "'lambda' is a word of Python's: call the variable 'lam'"
    if re.search("[^<>=!]=[^=]", text):
        return "leave out what is before '='"
    return "write products as 2*x, powers as x**2, functions as sin(x)"
