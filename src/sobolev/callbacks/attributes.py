"""What code of somebody else's keeps outside of buffers: attributes of modules, states of metrics, what hooks store."""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sobolev.audit.modules import is_users_object

_DEPTH = 5
_MOST_ENTRIES = 1000
"""Larger containers are restored, but what is in them is not looked at."""
_MOST_NUMBERS = 1 << 24
"""Tensors are copied, in case they are written to, while all together have no more numbers."""
_LEFT = ("_parameters", "_buffers", "_modules", "training")
_PLAIN = (bool, int, float, str, type(None))


@contextmanager
def attributes_kept(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Afterwards the modules' attributes are the objects of before, with the contents of before.

    Parameters, buffers, submodules, hooks and flags are left alone.
    """
    memory = _Memory()
    for module in modules:
        memory.see(module, _DEPTH)
    try:
        yield
    finally:
        memory.put_back()


class _Memory:
    """Knows how to put back what can be reached."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # with the value, so that no other takes its id
        self._undo: list[Callable[[], None]] = []
        self._numbers = 0

    def see(self, value: Any, depth: int) -> None:
        """Remember a value, and what is in it."""
        if isinstance(value, _PLAIN) or id(value) in self._seen or depth == 0:
            return
        self._seen[id(value)] = value
        for part in self._parts(value):
            self.see(part, depth - 1)

    def put_back(self) -> None:
        """Everything as it was."""
        for undo in self._undo:
            undo()

    def _parts(self, value: Any) -> Iterable[Any]:
        if isinstance(value, Tensor):
            self._see_tensor(value)
        elif isinstance(value, dict | list | set | deque):
            return self._inside(value)
        elif isinstance(value, torch.Generator | random.Random | np.random.Generator | np.random.RandomState):
            self._undo.append(_restoring_generator(value))
        elif isinstance(value, tuple):
            return value if len(value) <= _MOST_ENTRIES else ()
        elif isinstance(value, MethodType):
            return (value.__self__, value.__func__)
        elif isinstance(value, FunctionType):
            return self._stored_by(value)
        elif isinstance(value, nn.Module) or (is_users_object(value) and not isinstance(value, type)):
            return self._attributes(value)
        return ()

    def _attributes(self, owner: Any) -> Iterable[Any]:
        hooks = [*getattr(owner, "_forward_pre_hooks", {}).values(), *getattr(owner, "_forward_hooks", {}).values()]
        saved = {name: value for name, value in vars(owner).items() if not _is_left(owner, name)}
        self._undo.append(lambda: _restore_attributes(owner, saved))
        return [*saved.values(), *(hooks if isinstance(owner, nn.Module) else ())]

    def _inside(self, container: Any) -> Iterable[Any]:
        saved = container.copy()
        self._undo.append(lambda: _restore_container(container, saved))
        values = list(saved.values()) if isinstance(saved, dict) else list(saved)
        return values if len(values) <= _MOST_ENTRIES else ()

    def _stored_by(self, function: FunctionType) -> Iterable[Any]:
        """What a hook's closure and the globals it names hold."""
        cells = [(cell, cell.cell_contents) for cell in function.__closure__ or () if _is_filled(cell)]
        names = [name for name in function.__code__.co_names if name in function.__globals__]
        held = {name: function.__globals__[name] for name in names}
        self._undo.append(lambda: _restore_variables(cells, function.__globals__, held))
        return [*(value for _, value in cells), *held.values()]

    def _see_tensor(self, tensor: Tensor) -> None:
        plain = type(tensor) is Tensor and tensor.layout is torch.strided and not tensor.is_inference()
        if plain and self._numbers + tensor.numel() <= _MOST_NUMBERS:
            self._numbers += tensor.numel()
            copy, version = tensor.detach().clone(), tensor._version
            self._undo.append(lambda: _restore_tensor(tensor, copy, version))


def _restoring_generator(generator: Any) -> Callable[[], Any]:
    """Of random numbers: what winds it back to its present state."""
    if isinstance(generator, torch.Generator):
        return partial(generator.set_state, generator.get_state())
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    if isinstance(generator, np.random.RandomState):
        return partial(generator.set_state, generator.get_state())
    return partial(setattr, generator.bit_generator, "state", generator.bit_generator.state)


def _is_left(owner: Any, name: str) -> bool:
    return isinstance(owner, nn.Module) and (name in _LEFT or name.endswith("_hooks"))


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _restore_attributes(owner: Any, saved: dict[str, Any]) -> None:
    attributes = vars(owner)
    for name in [name for name in attributes if name not in saved and not _is_left(owner, name)]:
        del attributes[name]
    for name, value in saved.items():
        if attributes.get(name, attributes) is not value:
            attributes[name] = value


def _restore_container(container: Any, saved: Any) -> None:
    container.clear()
    (container.extend if isinstance(container, list | deque) else container.update)(saved)


def _restore_variables(cells: list[tuple[Any, Any]], variables: dict[str, Any], held: dict[str, Any]) -> None:
    for cell, value in cells:
        if cell.cell_contents is not value:
            cell.cell_contents = value
    for name, value in held.items():
        if variables.get(name) is not value:
            variables[name] = value


def _restore_tensor(tensor: Tensor, copy: Tensor, version: int) -> None:
    if tensor._version != version:
        tensor.data.copy_(copy)
