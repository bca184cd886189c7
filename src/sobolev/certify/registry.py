"""Which rule encloses which function, under the same keys as the rules of Taylor mode."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

RULES: dict[Any, Callable] = {}


class NoEnclosureError(TypeError):
    """A function met an operation for which nothing is proved."""


def rule(*names: str | Callable) -> Callable[[Callable], Callable]:
    """Register the decorated rule for the functions of torch, torch.nn.functional and Tensor of these names."""

    def register(implementation: Callable) -> Callable:
        for name in names:
            for function in _named(name) if isinstance(name, str) else [name]:
                RULES[function] = implementation
        return implementation

    return register


def find(function: Any) -> Callable:
    """The rule of a function.

    Raises:
        NoEnclosureError: there is none.
    """
    if function not in RULES:
        owner = getattr(function, "__self__", None) if getattr(function, "__name__", "") == "__get__" else None
        raise NoEnclosureError(f"no proof goes through {getattr(owner or function, '__name__', function)}")
    return RULES[function]


def _named(name: str) -> list[Any]:
    homes = ((torch, name), (torch.special, name), (functional, name), (Tensor, name), (Tensor, f"__{name}__"))
    return [getattr(home, key) for home, key in homes if hasattr(home, key)]
