"""Tensors of a class of somebody's own: numbers inside, and for the function what it was given."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def plain(f: Callable[[Any], Any], x: Tensor) -> tuple[Callable[[Any], Any], Tensor]:
    """The points as an ordinary tensor, and f, which gets tensors of their class, with their attributes."""
    kind = type(x)
    if kind in (Tensor, nn.Parameter, nn.Buffer) or torch.compiler.is_compiling() or not _holds_numbers(kind):
        return f, x
    attributes = dict(getattr(x, "__dict__", {}))

    def evaluate(points: Any) -> Any:
        if not isinstance(points, Tensor):
            return f(points)
        given = points.as_subclass(kind)
        vars(given).update(attributes)
        y = f(given)
        return ordinary(y) if isinstance(y, kind) else y

    return evaluate, ordinary(x)


def changed(change: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What a change of its numbers makes of x: of the same class, with the same attributes."""
    kind = type(x)
    if kind in (Tensor, nn.Parameter, nn.Buffer) or not _holds_numbers(kind):
        return change(x)
    new = change(ordinary(x)).as_subclass(kind)
    vars(new).update(vars(x))
    return new


def _holds_numbers(kind: type) -> bool:
    """Whether it is an ordinary tensor but for its methods; others (DTensor, FakeTensor) do their calculations."""
    return getattr(kind, "__torch_dispatch__", None) is getattr(Tensor, "__torch_dispatch__", None)


def ordinary(x: Tensor) -> Tensor:
    """The same numbers, of no other class, where there are numbers."""
    if type(x) in (Tensor, nn.Parameter, nn.Buffer) or not _holds_numbers(type(x)):
        return x
    with torch._C.DisableTorchFunctionSubclass():
        return x.as_subclass(Tensor)
