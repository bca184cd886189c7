"""Tensors that a function makes and then writes to: `y = torch.zeros(...)`, `y[:, 0] = f(x)`.

Such a tensor knows nothing of jets when it is made. Where a write to it has failed, the function runs once more, and
the tensors that it makes itself are jets from the beginning, without derivatives as long as nothing is written to them.
"""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.registry import NoRuleError
from sobolev.autodiff.taylor.space import Space

_MAKERS: set[Callable] = {torch.zeros, torch.ones, torch.empty, torch.full, torch.eye}
_MAKERS |= {getattr(torch, name) for name in ("zeros_like", "ones_like", "empty_like", "full_like", "clone")}
_MAKERS |= {getattr(Tensor, name) for name in ("new_zeros", "new_ones", "new_empty", "new_full", "clone")}

_NOT_USERS = {"torch", "sobolev"}
"""What their functions make is theirs: PyTorch's layers and our rules calculate with ordinary tensors."""

_WRITING: WeakSet[Any] = WeakSet()


class OrdinaryTensorError(NoRuleError):
    """Taylor mode met a write of derivatives into an ordinary tensor."""


def writes(f: Any) -> bool:
    """Note that a function writes to ordinary tensors; whether that is new."""
    try:
        new = _owner(f) not in _WRITING
        _WRITING.add(_owner(f))
    except TypeError:  # neither weak references nor hashing
        return False
    return new


def writable(f: BatchedFunction) -> BatchedFunction:
    """The function itself or, where `writes` was told of it, one in which it makes jets where it gets one."""
    try:
        if not len(_WRITING) or _owner(getattr(f, "original", f)) not in _WRITING:
            return f
    except TypeError:
        return f

    @wraps(f)
    def on_jets(x: Any) -> Any:
        if not isinstance(x, Jet):
            return f(x)
        with _Makers(x.space):
            return f(x)  # pyright: ignore[reportArgumentType]

    return on_jets


class _Makers(TorchFunctionMode):
    """Inside, new tensors of real or complex numbers are jets."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self._space = space

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func not in _MAKERS or not _can_be_a_jet(result):
            return result
        if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] in _NOT_USERS:
            return result
        jet = Jet(self._space, result, result.new_zeros(0, *result.shape))
        jet.followed = True  # it does not depend on the inputs at all
        return jet


def _can_be_a_jet(made: Any) -> bool:
    numbers = isinstance(made, Tensor) and (made.is_floating_point() or made.is_complex())
    return numbers and not (made.is_leaf and made.requires_grad)  # nobody writes to such a leaf


def _owner(f: Any) -> Any:
    return getattr(f, "__self__", f)
