"""The words of a command line as people type them, as the parser takes them."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

_NUMBER = r"\s*[-+\d.][-+\d.eE_]*\s*"
_SHORT = ("-c", "-h")
_LISTS = (".domain", ".hidden")
_COLUMNS = ("--data.inputs", "--data.outputs")
_CONFIGURATIONS = (".yaml", ".yml", ".json")
_TABLE = re.compile(r"\.(csv|tsv|txt|dat|parquet|pq)(\.\w+)?$", re.IGNORECASE)


def as_parsed(words: Sequence[str]) -> list[str]:
    """A value that begins with a minus belongs to its option; a range, sizes or columns need no brackets.

    `--data.function -x**2` is `--data.function=-x**2`, `--data.domain -3,3` is `--data.domain=[-3,3]`, and
    `--data.inputs a,b` is `--data.inputs=[a,b]`. A table needs no class: `--data mine.csv` is
    `--data=TableData --data.path=mine.csv`.
    """
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        takes = before.startswith("--") and "=" not in before
        negative = word.startswith("-") and not word.startswith("--") and word not in _SHORT
        listed = takes and before.endswith((*_LISTS, *_COLUMNS, "--data")) and not word.startswith("--")
        if takes and (negative or listed):
            joined[-1] = f"{before}={word}"
        else:
            joined.append(word)
    return [_with_brackets(part) for word in joined for part in _with_class(word)]


def _with_class(word: str) -> list[str]:
    option, _, value = word.partition("=")
    if option == "--data" and (_TABLE.search(value) or (Path(value).is_file() and not value.endswith(_CONFIGURATIONS))):
        return ["--data=TableData", f"--data.path={value}"]
    return [word]


def _with_brackets(word: str) -> str:
    option, _, value = word.partition("=")
    listed = option.endswith(_LISTS) and re.fullmatch(rf"{_NUMBER}(,{_NUMBER})+", value)
    if option in _COLUMNS and value and value[0] != "{" and value != "null":
        return f"{option}={_columns(value)}"
    return f"{option}=[{value}]" if listed else word


def _columns(value: str) -> str:
    """A list of columns; names with units, `T [K]`, are quoted, as YAML knows no bracket within a word."""
    inner = value[1:-1] if value[0] == "[" and value[-1] == "]" else value
    if not re.search(r"[\[\]]", inner) or re.search("[\"']", inner):
        return f"[{inner}]"
    names = re.split(r",(?![^\[]*\])", inner)
    return f"[{', '.join(json.dumps(name.strip(), ensure_ascii=False) for name in names)}]"
