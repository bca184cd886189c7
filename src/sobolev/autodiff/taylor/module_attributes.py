"""What a module stores on itself while it runs on jets: its intermediate results, as ordinary tensors."""

from typing import Any

from torch import nn

from sobolev.autodiff.taylor.jet import Jet

_CONTAINERS = {list, dict, tuple}
_SIMPLE = {*_CONTAINERS, bool, int, float, str, type(None)}
_LIBRARIES = {"builtins", "collections", "functools", "lightning", "numpy", "pytorch_lightning", "sobolev", "torch"}


def settle(f: Any) -> None:
    """Put plain tensors in the place of jets that a module, or the owner of a method, keeps in its attributes.

    Lists, dictionaries, tuples and objects of somebody's own that are attributes are looked into, one level deep,
    buffers among them.
    """
    owner = getattr(f, "__self__", f)
    if not isinstance(owner, nn.Module):
        if _is_somebodys_own(type(owner)):
            _settle_attributes(owner)
        return
    for module in owner.modules():
        if not type(module).__module__.startswith("torch.nn.modules"):  # PyTorch's own store nothing
            _settle_attributes(module)


def _settle_attributes(owner: Any, *, deeper: bool = True) -> None:
    attributes = vars(owner)
    for name, item in attributes.items():
        kind = type(item)
        if kind is Jet or (kind in _CONTAINERS and item and _holds_jets(item)):
            attributes[name] = _settled(item)
        elif deeper and kind not in _SIMPLE and _is_somebodys_own(kind):
            _settle_attributes(item, deeper=False)


def _is_somebodys_own(kind: type) -> bool:
    """Whether an object may have attributes that a forward writes to."""
    return getattr(kind, "__dictoffset__", 0) != 0 and kind.__module__.partition(".")[0] not in _LIBRARIES


def _holds_jets(item: Any) -> bool:
    return Jet in map(type, item.values() if type(item) is dict else item)


def _settled(item: Any) -> Any:
    kind = type(item)
    if kind is Jet:
        return item.value
    if kind is list:
        item[:] = [_value(part) for part in item]
    elif kind is dict:
        item.update({key: part.value for key, part in item.items() if type(part) is Jet})
    elif kind is tuple:
        return tuple(_value(part) for part in item)
    return item


def _value(item: Any) -> Any:
    return item.value if type(item) is Jet else item
