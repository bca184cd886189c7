"""A torch callable as a source of derivatives: nested reverse mode in float64."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.autodiff import jacobian


def load(path: str) -> Callable[..., Any]:
    """Import `package.module.function`.

    Raises:
        ValueError: no such module or function; a module of Python's own library, which holds none on tensors.
    """
    module, _, name = path.rpartition(".")
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError(f"{path!r} lies in Python's own library, which has no function of tensors")
    try:
        function: Any = getattr(import_module(module), name)
    except ImportError as error:
        raise ValueError(f"cannot import {path!r}: {error}; run from the folder of the module, or install it") from None
    except AttributeError:
        raise ValueError(f"the module {module!r} has no {name!r}; write package.module.function") from None
    if not callable(function):
        raise ValueError(f"{path!r} is a {type(function).__name__}, which cannot be called; name a function of tensors")
    return function


class CallableSource:
    """Values and derivatives of a torch callable.

    Args:
        function: maps (batch, inputs) to (batch, outputs) or (batch,).
        name: how it is called in messages.
        inputs: the names of its inputs.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], name: str, inputs: tuple[str, ...]) -> None:
        self.name, self.inputs, self.function = name, inputs, function
        self.outputs = self._probe()

    def tensors(self, x: Float64[Tensor, "batch inputs"], order: int) -> list[Float64[Tensor, "batch outputs *inputs"]]:
        """The derivative tensors of orders 0 to `order` at x (batch, inputs), float64."""
        return [_nth(self._value, k)(x) for k in range(order + 1)]

    def _value(self, x: Tensor) -> Tensor:
        y = self.function(x)
        if not isinstance(y, Tensor) or y.dim() not in (1, 2) or len(y) != len(x):
            kind = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise ValueError(f"{self.name} returned {kind} for {len(x)} points; it must return (batch, outputs)")
        return y.reshape(len(x), -1).double()

    def _probe(self) -> int:
        try:
            return self._value(torch.full((2, len(self.inputs)), 0.5, dtype=torch.float64)).shape[1]
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(
                f"{self.name} failed on 2 points with the inputs {', '.join(self.inputs)}: {error}; it must map a "
                "tensor (batch, inputs) to (batch, outputs); name all its inputs as variables"
            ) from error


def _nth(function: Callable[[Tensor], Tensor], order: int) -> Callable[[Tensor], Tensor]:
    for _ in range(order):
        function = _gradient(function)
    return function


def _gradient(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: jacobian(function, x, method="reverse", chunk_size=None)[1]
