"""What code of somebody else's keeps outside of buffers: in attributes, classes, globals, metrics and by hooks."""

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FunctionType, MemberDescriptorType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sobolev.audit.modules import LIBRARIES, is_users_object

_DEPTH = 5
_MOST_ENTRIES = 1000
"""Larger containers are restored, but what is in them is not looked at."""
_MOST_NUMBERS = 1 << 24
"""Tensors are copied, in case they are written to, while all together have no more numbers."""
_LEFT = ("_parameters", "_buffers", "_modules", "training")
_SURROUNDINGS = {"lightning", "pytorch_lightning", "lightning_fabric", "sobolev"}
_LIBRARIES = _SURROUNDINGS.union(LIBRARIES)
_CONTAINERS = (OrderedDict, dict, list, set, deque)
_PLAIN = (bool, int, float, str, type(None))


@contextmanager
def attributes_kept(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Afterwards the modules' attributes are the objects of before, with the contents of before.

    So are those of their classes, and the globals that their forward names. Parameters, buffers, submodules, hooks and
    flags are left alone.
    """
    memory = _Memory()
    for module in modules:
        memory.see(module, _DEPTH)
        for kind in type(module).__mro__:
            if _home(kind) not in _LIBRARIES:
                memory.see_class(kind, _DEPTH)
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

    def see_class(self, kind: type, depth: int) -> None:
        """Remember the attributes of a module's class, and what its forward names, methods of the class among it."""
        if id(kind) in self._seen:
            return
        self._seen[id(kind)] = kind
        saved = {name: value for name, value in vars(kind).items() if _is_kept_in_class(name, value)}
        self._undo.append(lambda: _restore_class(kind, saved))
        methods, names = {n: f for n, f in vars(kind).items() if isinstance(f, FunctionType)}, ["forward"]
        for name in names:  # which grows on the way
            if name in methods:
                names += [other for other in methods[name].__code__.co_names if other not in names]
        for value in [*saved.values(), *(methods[name] for name in names if name in methods)]:
            self.see(value, depth)

    def put_back(self) -> None:
        """Everything as it was."""
        for undo in self._undo:
            undo()

    def _parts(self, value: Any) -> Iterable[Any]:
        if isinstance(value, Tensor):
            self._see_tensor(value)
        elif isinstance(value, _CONTAINERS):
            return self._inside(value)
        elif isinstance(value, torch.Generator | random.Random | np.random.Generator | np.random.RandomState):
            self._undo.append(_restoring_generator(value))
        elif isinstance(value, tuple):
            return value if len(value) <= _MOST_ENTRIES else ()
        elif isinstance(value, MethodType):
            return (value.__self__, value.__func__)
        elif isinstance(value, FunctionType):
            return self._stored_by(value)
        elif isinstance(value, nn.Module) or (is_users_object(value) and not _is_no_part_of_a_model(value)):
            return self._attributes(value)
        elif names := _slots(value):
            return self._in_slots(value, names)
        return ()

    def _in_slots(self, owner: Any, names: list[str]) -> Iterable[Any]:
        saved = {name: getattr(owner, name) for name in names if hasattr(owner, name)}
        self._undo.append(lambda: _restore_slots(owner, names, saved))
        return saved.values()

    def _attributes(self, owner: Any) -> Iterable[Any]:
        hooks = [*getattr(owner, "_forward_pre_hooks", {}).values(), *getattr(owner, "_forward_hooks", {}).values()]
        saved = {name: value for name, value in vars(owner).items() if not _is_left(owner, name)}
        self._undo.append(lambda: _restore_attributes(owner, saved))
        others = hooks if isinstance(owner, nn.Module) else self._in_slots(owner, _slots(owner))
        return [*saved.values(), *others]

    def _inside(self, container: Any) -> Iterable[Any]:
        kind = _kind_of(container)
        saved = list(kind.items(container) if issubclass(kind, dict) else container)
        self._undo.append(lambda: _restore_container(container, kind, saved))
        values = [value for _, value in saved] if issubclass(kind, dict) else saved
        return values if len(values) <= _MOST_ENTRIES else ()

    def _stored_by(self, function: FunctionType) -> Iterable[Any]:
        """What a hook's closure and the globals it names hold."""
        cells = [(cell, cell.cell_contents) for cell in function.__closure__ or () if _is_filled(cell)]
        names = [name for name in function.__code__.co_names if name in function.__globals__]
        held = {name: function.__globals__[name] for name in names}
        self._undo.append(lambda: _restore_variables(cells, function.__globals__, held))
        own = [value for value in held.values() if not _is_of_another_package(value, function)]
        return [*(value for _, value in cells), *own]

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


def _is_no_part_of_a_model(value: Any) -> bool:
    """Whether it is a class, or somebody's own trainer, callback or logger: these lead back to ourselves."""
    return isinstance(value, type) or any(_home(base) in _SURROUNDINGS for base in type(value).__mro__)


def _is_of_another_package(value: Any, function: FunctionType) -> bool:
    """Whether it is a function that may lead anywhere inside a library."""
    package, other = ((getattr(f, "__module__", None) or "").partition(".")[0] for f in (function, value))
    return isinstance(value, FunctionType) and package != other


def _kind_of(container: Any) -> Any:
    """Of a container of a class derived from it, Python's own."""
    return next(kind for kind in _CONTAINERS if isinstance(container, kind))


def _home(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _slots(value: Any) -> list[str]:
    """The names of attributes that an object of somebody's own keeps in slots."""
    kinds = [kind for kind in type(value).__mro__ if _home(kind) not in _LIBRARIES and "__slots__" in vars(kind)]
    return [
        name
        for kind in kinds
        for name, member in vars(kind).items()
        if isinstance(member, MemberDescriptorType) and not name.startswith("__")
    ]


def _is_kept_in_class(name: str, value: Any) -> bool:
    return not (name.startswith("__") or callable(value) or hasattr(value, "__get__"))


def _restore_class(kind: type, saved: dict[str, Any]) -> None:
    for name in [n for n, value in vars(kind).items() if n not in saved and _is_kept_in_class(n, value)]:
        delattr(kind, name)
    for name, value in saved.items():
        if vars(kind).get(name, saved) is not value:
            setattr(kind, name, value)


def _restore_slots(owner: Any, names: list[str], saved: dict[str, Any]) -> None:
    for name in names:
        if name in saved:
            if getattr(owner, name, saved) is not saved[name]:
                object.__setattr__(owner, name, saved[name])
        elif hasattr(owner, name):
            object.__delattr__(owner, name)


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


def _restore_container(container: Any, kind: Any, saved: list[Any]) -> None:
    """By the methods of Python's own classes: those of a class derived from one may do anything."""
    kind.clear(container)
    if issubclass(kind, dict):
        for key, value in saved:
            kind.__setitem__(container, key, value)
    else:
        (kind.update if kind is set else kind.extend)(container, saved)


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
