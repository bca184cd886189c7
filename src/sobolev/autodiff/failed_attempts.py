"""Attempts of Taylor mode that failed, so that `method="auto"` does not repeat them at every call."""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from sobolev.autodiff.taylor.registry import RULES

_FAILED: WeakKeyDictionary[Any, dict[Any, str]] = WeakKeyDictionary()


def failure(f: Any, operator: str, x: Tensor) -> str | None:
    """Why an attempt with this very function failed, if it did and no rule was added since."""
    owner, key = _identity(f, operator, x)
    try:
        return _FAILED.get(owner, {}).get(key)
    except TypeError:  # neither weak references nor hashing
        return None


def remember(f: Any, operator: str, x: Tensor, reason: str) -> None:
    """Remember that it failed."""
    owner, key = _identity(f, operator, x)
    try:
        _FAILED.setdefault(owner, {})[key] = reason
    except TypeError:
        return


def _identity(f: Any, operator: str, x: Tensor) -> tuple[Any, Any]:
    """The function, or the owner of a method, and what else an attempt may hang on: grad and train modes, shapes."""
    owner = getattr(f, "__self__", f)
    modes = torch.is_grad_enabled(), getattr(owner, "training", None)
    return owner, (getattr(f, "__func__", None), operator, modes, x.shape[1:], len(x) > 1, len(RULES))
