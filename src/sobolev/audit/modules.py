"""Which modules stand behind a callable."""

from collections import OrderedDict
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn

_DEPTH = 5
LIBRARIES = ("torch", "lightning", "pytorch_lightning", "torchmetrics", "numpy", "builtins")
"""Whose classes nobody has written for a model of their own."""


def modules_behind(f: Any) -> dict[str, nn.Module]:
    """Every module that `f` is, is a method of, or refers to, by path: `network.1`; `f` itself is `""`.

    Looked at are closures, defaults, the globals a function names, partials, attributes of callable objects,
    and lists and dicts of all of these.
    """
    roots: list[tuple[str, nn.Module]] = []
    _collect(f, "", roots, set(), _DEPTH)
    return {
        ".".join(filter(None, (name, path))): module for name, root in roots for path, module in root.named_modules()
    }


def weights_of(module: nn.Module) -> list[nn.Parameter]:
    """A module's own parameters, without its children's; its author may have written another `parameters()`."""
    return [parameter for parameter in module._parameters.values() if parameter is not None]


def label(path: str, module: nn.Module) -> str:
    """How a finding names a module: `network.1 (ReLU)`."""
    return f"{path} ({type(module).__name__})" if path else type(module).__name__


def is_users_object(value: Any) -> bool:
    """An instance of a class that is neither Python's nor a library's of our field."""
    kind = type(value)
    return kind is not OrderedDict and hasattr(value, "__dict__") and kind.__module__.split(".")[0] not in LIBRARIES


def _collect(value: Any, name: str, roots: list, seen: set[int], depth: int) -> None:
    if id(value) in seen or depth == 0:
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        roots.append((name, value))
        return
    for key, part in _parts(value):
        _collect(part, key, roots, seen, depth - 1)


def _parts(value: Any) -> list[tuple[str, Any]]:
    """What a callable or container refers to, named as its author names it."""
    if isinstance(value, dict):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, list | tuple | set):
        return [(str(index), part) for index, part in enumerate(value)]
    if isinstance(value, partial):
        return [("", value.func), *_numbered(value.args), *value.keywords.items()]
    if isinstance(value, MethodType):
        return [("", value.__self__), ("", value.__func__)]
    if isinstance(value, FunctionType):
        return _references(value)
    if isinstance(value, type | ModuleType | BuiltinFunctionType | str | bytes) or not is_users_object(value):
        return [("", value.__self__)] if isinstance(value, BuiltinFunctionType) else []
    return [*vars(value).items(), ("", vars(type(value)).get("__call__"))]


def _numbered(values: tuple) -> list[tuple[str, Any]]:
    return [(str(index), value) for index, value in enumerate(values)]


def _references(function: FunctionType) -> list[tuple[str, Any]]:
    found = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:  # a cell that is not filled yet
            continue
    names = _names(function.__code__)
    found += [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    return found + _numbered(function.__defaults__ or ()) + list((function.__kwdefaults__ or {}).items())


def _names(code: CodeType) -> list[str]:
    inner = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)]
    return [*code.co_names, *inner]
