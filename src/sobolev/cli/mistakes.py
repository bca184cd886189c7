"""A mistake on the command line or in a configuration, in one sentence, with the name that was probably meant."""

import re
import sys
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

_KINDS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "NoneType": "null",
    "Sequence": "a list such as [1, 2]", "list": "a list such as [1, 2]", "tuple": "a list such as [1, 2]",
    "dict": "a mapping such as {x: 1}",
}  # fmt: skip
_PLACES = ("sobolev", "torch.optim", "torch.optim.lr_scheduler", "lightning.pytorch.callbacks")
_LONGEST = 60
"""Of a value that is repeated."""


class UsageError(ValueError):
    """A setting that cannot be; the exit status is 2."""


def explained(message: str, options: Collection[str] = ()) -> str:
    """What jsonargparse complains of, in one sentence.

    Args:
        message: its own, of many lines.
        options: those of the subcommand: `--trainer.max_epochs`.
    """
    lines = message.splitlines()
    last = max((i for i, line in enumerate(lines) if 'Parser key "' in line), default=0)
    keys, block = _path(lines[: last + 1]), "\n".join([lines[last], *_inside(lines, last)])
    known = [name.removeprefix("--") for name in options]
    if found := re.search(r"File does not exist: '(.+?)'", message):
        return f"there is no file {_shown(found[1])}{_nearest_file(found[1])}"
    if found := re.search(r"Problems parsing config: (.+)", message, re.DOTALL):
        return f"the configuration is no YAML: {' '.join(found[1].split())}"
    if found := re.search(
        r"Problem with given class_path '(.+?)':\s+the following arguments are required: (.+)", block
    ):
        return f"{found[1]} needs {found[2].replace(', ', ' and ')}"
    if found := re.search(r"Option '(.+?)' is not accepted", block):
        classes = re.findall(r"class_path[ =]'(.+?)'", message)
        return f"{classes[-1]} has no option {found[1]!r}{_hint(found[1], _arguments(classes[-1]))}"
    if found := re.search(r"does not accept option '(.+?)'", message):
        return f"there is no option {found[1]}{_hint(found[1], known, least=4)}"
    if found := re.search(r"unrecognized arguments: (\S+)", message):
        return _unknown(found[1], message, known)
    if found := re.search(r"argument (\S+?): expected one argument", message):
        return f"{_without_value(found[1])} needs a value"
    if found := re.search(r"module '(.+?)' has no attribute '(.+?)'", block):
        return f"{'.'.join(keys)}: {found[1]} has no {found[2]!r}{_hint(found[2], _names(found[1]))}"
    kinds = [found.rpartition(".")[2] for found in re.findall(r"Expected a <class '(.+?)'>", block)]
    named = re.search(r"Expected a dot import path string: (.+)", block)
    if named and not set(kinds) - {"NoneType", "list"}:
        places = [place for place in _PLACES if place in sys.modules]
        names = [name for place in places for name in _names(place)]
        here = [f"{place}.{named[1]}" for place in places if named[1] in _names(place)]
        hint = f"; did you mean {here[0]!r}?" if here else _hint(named[1], names)
        return f"{'.'.join(keys)} is {named[1]!r}, which names no class{hint}"
    broken = re.search(r"Problem with given class_path '(.+?)':\n\s+(?!Parser key|Does not validate)(.+)", block)
    if broken:
        return f"{'.'.join(keys)}: {broken[1]} cannot be made: {broken[2].strip()}"
    value = re.search(r"(?:Got|Given) value: (.+?)(?:\. Got value|$)", block, re.MULTILINE)
    if kinds and value:
        wanted = " or ".join(dict.fromkeys(_KINDS.get(kind, kind) for kind in kinds))  # pyright: ignore[reportCallIssue, reportArgumentType]
        return f"{'.'.join(keys)} is {value[1].strip()[:_LONGEST]!r}; it takes {wanted}"
    return f"{'.'.join(keys)}: " * bool(keys) + re.sub(r'Parser key ".*?":', "", block).strip()


def nearest(name: str, known: Iterable[str]) -> str:
    """The name that was probably meant, or nothing."""
    lower = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else ""


def refused_setting(error: Exception) -> UsageError:
    """What Lightning's trainer says of its arguments, with the name that was probably meant."""
    said = str(error)
    found = re.search(r"`(\w+)='(\w+)'`", said)
    if found is None:
        return UsageError(f"trainer: {said}")
    from lightning.pytorch.accelerators import AcceleratorRegistry
    from lightning.pytorch.strategies import StrategyRegistry

    registry = AcceleratorRegistry.available_accelerators() if found[1] == "accelerator" else StrategyRegistry
    names = sorted({"auto", *registry, *(["gpu"] if found[1] == "accelerator" else [])})
    return UsageError(f"trainer.{found[1]} is {found[2]!r}{_hint(found[2], names, least=20)}")  # pyright: ignore[reportArgumentType]


def _hint(name: str, known: Collection[str], least: int = 12) -> str:
    """`; did you mean 'tanh'?`, or what there is, where nothing is near and the list is short."""
    if found := nearest(name, known):
        return f"; did you mean {found!r}?"
    return f"; it has {', '.join(sorted(known))}" if 0 < len(known) <= least else ""


def _path(lines: list[str]) -> list[str]:
    """The keys above the last line, outermost first."""
    keys: list[tuple[int, str]] = []
    for line in lines:
        if found := re.search(r'Parser key "(.+?)"', line):
            keys = [(depth, key) for depth, key in keys if depth < _indentation(line)]
            keys.append((_indentation(line), found[1]))
    return [key for _, key in keys]


def _inside(lines: list[str], start: int) -> list[str]:
    inside = []
    for line in lines[start + 1 :]:
        if line.strip() and _indentation(line) <= _indentation(lines[start]):
            break
        inside.append(line)
    return inside


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _unknown(word: str, message: str, known: Collection[str]) -> str:
    """An option that nobody has; inside a class, one of its arguments."""
    name = word.removeprefix("--").partition("=")[0]
    classes = re.findall(r"class_path '(.+?)'", message)
    if classes and word.startswith("--"):
        name = name.partition(".")[0]
        return f"{classes[-1]} has no option {name!r}{_hint(name, _arguments(classes[-1]))}"
    if not word.startswith("-"):
        return f"{word!r} belongs to no option; a list is one word, '[64, 64]', and so is a formula with blanks"
    found = nearest(name, known)
    where = f"; did you mean --{found}?" if found else "; `sobolev fit --help` lists all"
    return f"there is no option {word.partition('=')[0]}{where}"


def _without_value(option: str) -> str:
    """The option as it was typed: jsonargparse knows `--data` of `--data.function`."""
    typed = [word for word in sys.argv[1:] if word.split(".")[0] == option.split(".")[0]]
    alone = [w for w, after in zip(sys.argv[1:], [*sys.argv[2:], "--"], strict=True) if after.startswith("-")]
    return next((word for word in typed if word in alone and "=" not in word), option)


def _arguments(path: str) -> list[str]:
    """The names of the arguments of a class, its parents' too."""
    module, _, name = path.rpartition(".")
    made: Any = getattr(import_module(module), name)
    kinds = made.__mro__ if isinstance(made, type) else [made]
    inits = [kind.__init__ if isinstance(kind, type) else kind for kind in kinds if kind is not object]
    names = [name for init in inits for name in signature(init).parameters]
    return [n for n in dict.fromkeys(names) if n not in ("self", "args", "kwargs")]


def _names(module: str) -> list[str]:
    return [name for name in dir(import_module(module)) if not name.startswith("_")]


def _shown(path: str) -> str:
    """As it may have been typed."""
    return str(Path(path).relative_to(Path.cwd())) if Path.cwd() in Path(path).parents else path


def _nearest_file(path: str) -> str:
    folder = Path(path).parent
    found = nearest(Path(path).name, [p.name for p in folder.glob("*.yaml")] if folder.is_dir() else [])
    return f"; did you mean {_shown(str(folder / found))}?" if found else ""
