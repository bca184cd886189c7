"""The configurations that come with sobolev, found from any folder: a wheel has no `configs/` beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]

CONFIGS = next(path for path in (_PACKAGE / "configs", _PACKAGE.parents[1] / "configs") if path.is_dir())
"""The configurations: inside an installed package, or at the top of the repository."""


def with_shipped_configs(words: Sequence[str]) -> list[str]:
    """The words of a command line, `configs/ode.yaml` with its place where the current folder has no such file."""
    found: list[str] = []
    for word in words:
        option, equals, value = word.partition("=")
        if equals and option == "--config":
            word = f"{option}={_place(value)}"
        elif found and found[-1] in ("--config", "-c"):
            word = _place(word)
        found.append(word)
    return found


def with_shipped_tables(data: Any) -> None:
    """The same of the tables that a data module's configuration names, if there is one; changed in place."""
    arguments = data.get("init_args") if data else None
    if not arguments:
        return
    for name, value in list(vars(arguments).items()):
        if isinstance(value, str):
            arguments[name] = _place(value)


def _place(path: str) -> str:
    shipped = CONFIGS.parent / path
    return str(shipped) if path.startswith("configs/") and not Path(path).exists() and shipped.is_file() else path
