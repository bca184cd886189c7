"""Somebody's model and its weights, as they are named on the command line."""

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.cli.mistakes import nearest
from sobolev.errors import refused_file


def load_model(target: str) -> Callable[[Tensor], Any]:
    """What `package.module:name` or `file.py:name` names: a module, a class of modules, a function, a builder.

    Classes, and functions that take no argument, are called; the result is the model. The current folder can be
    imported from.

    Raises:
        ValueError: there is no such module or name, importing or building fails, or the result is no model.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise ValueError(f"{target!r} names no model; write package.module:name or file.py:name")
    sys.path.insert(0, str(Path.cwd()))
    found: Any = _imported(place)
    for part in name.split("."):
        if not hasattr(found, part):
            near = nearest(part, [known for known in vars(found) if not known.startswith("_")])
            raise ValueError(
                f"{place} has no {name!r}; {f'did you mean {near!r}?' if near else f'it has {_public(found)}'}"
            )
        found = getattr(found, part)
    model = _built(target, found)
    if not callable(model):
        raise ValueError(f"{target} is a {type(model).__name__}, which cannot be called with points")
    return model


def load_weights(model: Any, path: str) -> None:
    """Load a state_dict, or the one inside a Lightning checkpoint, into a module; a common prefix may be missing.

    Raises:
        ValueError: the model has no weights, or the file is none of these, holds code, or is of another model.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"{path} cannot be loaded: the model is a {type(model).__name__}, not a torch.nn.Module")
    state = read_tensors(path)
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state_dict, a dictionary of tensors")
    try:
        model.load_state_dict(_without_prefix(state, set(model.state_dict())))
    except RuntimeError as error:
        raise ValueError(f"{path} is of another model. {error}") from None


def read_tensors(path: str) -> Any:
    """What a file of torch.save holds; tensors and plain types only.

    Raises:
        ValueError: there is no such file, it is damaged, or it holds more than that.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} is not there; give a file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, EOFError, RuntimeError, ValueError) as error:
        raise ValueError(refused_file(path)) from error


def _imported(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return import_module(place)
        spec = spec_from_file_location(Path(place).stem, place)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    except Exception as error:  # whatever happens in somebody's file
        raise ValueError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error


def _built(target: str, found: Any) -> Any:
    if isinstance(found, nn.Module) or not callable(found) or (not isinstance(found, type) and _needed(found)):
        return found
    if _needed(found):
        raise ValueError(
            f"{target} needs {', '.join(_needed(found))}; name a function without arguments that makes the model"
        )
    try:
        return found()
    except Exception as error:  # somebody's own
        raise ValueError(f"{target}() fails: {type(error).__name__}: {error}") from error


def _needed(function: Callable) -> list[str]:
    """The arguments without a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function written in C: torch.sin
        return ["x"]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in kinds and p.default is p.empty]


def _public(module: Any) -> str:
    names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    return ", ".join(names[:10]) or "nothing that can be called"


def _without_prefix(state: dict[str, Tensor], known: set[str]) -> dict[str, Tensor]:
    """The weights under the names that the model knows, where all differ by the same prefix: `network.`."""
    for name in state:
        for own in known:
            if name != own and name.endswith(f".{own}"):
                cut = len(name) - len(own)
                inner = {key[cut:]: value for key, value in state.items() if key.startswith(name[:cut])}
                if inner.keys() == known:
                    return inner
    return state
