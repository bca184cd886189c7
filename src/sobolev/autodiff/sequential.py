"""A chain of layers on jets: what one layer hands to the next is nobody else's, and may be written over."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sobolev.autodiff.directional import along
from sobolev.autodiff.guard import Shared
from sobolev.autodiff.jet import Jet
from sobolev.autodiff.layers import Layers, activation, is_linear, perceptron, unhooked
from sobolev.autodiff.many_inputs import forward, pulled_back
from sobolev.autodiff.rules.linear import linear
from sobolev.autodiff.rules.matching import mapped
from sobolev.autodiff.tape import Path
from sobolev.autodiff.tracing import traced

_FORWARD = nn.Sequential.forward


def sequential(module: nn.Sequential, x: Any) -> Any:
    """The forward of a `torch.nn.Sequential`; on jets it needs fewer buffers, and less time, than layer by layer.

    Args:
        module: calls one layer after the other.
        x: a tensor, or a jet.
    """
    if not isinstance(x, Jet) or traced():
        return _FORWARD(module, x)
    if _is_short(x) and (layers := perceptron(module, x.value)) is not None:
        value, *rows = along(layers, x.value, x.higher, x.space.order)
        return Jet(x.space, value, torch.stack(rows), rows_first=True)
    path = x.space.tape
    if isinstance(path, Path) and _is_short_path(x) and (layers := perceptron(module, x.value)) is not None:
        value: Any = _Perceptron.apply(x.value, layers)
        return path.enter(mapped(x, value, value.new_zeros(0, *value.shape), x.rows_first))
    if torch.is_grad_enabled() or path is not None:
        return _FORWARD(module, x)
    for layer in module:
        x = _applied(layer, x)
    if isinstance(x, Jet):
        x.writable = False
    return x


def _is_short(x: Jet) -> bool:
    """Whether there is one direction, and no order above 2; and no mode of torch functions (`SinglePrecision`, say).

    Such a mode does not reach into the backward pass.
    """
    if torch._C._len_torch_function_stack():
        return False
    space = x.space
    return space.directions == 1 and space.order in (1, 2) and space.tape is None and x.higher.shape[0] > 0


def _is_short_path(x: Jet) -> bool:
    """Whether nothing is wanted but a gradient with respect to x, once; and no mode, see `_is_short`."""
    return not (x.space.graph or torch._C._len_torch_function_stack())


class _Perceptron(torch.autograd.Function):
    """Values, and a backward pass that is not differentiable, of a perceptron whose weights are constants."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: Layers) -> Tensor:
        value, slopes, _ = forward(1, layers, x)
        ctx.layers = layers
        ctx.save_for_backward(*slopes)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return pulled_back(ctx.layers, ctx.saved_tensors, gradient), None


def is_plain(module: Any) -> TypeGuard[nn.Sequential]:
    """Whether a call of the module does nothing but call one layer after the other."""
    own = _FORWARD, sequential
    return isinstance(module, nn.Sequential) and type(module).forward in own and unhooked(module)


def _applied(layer: nn.Module, x: Any) -> Any:
    if isinstance(x, Jet) and unhooked(layer):
        if is_linear(layer):
            y = linear(x, layer.weight, layer.bias)
            y.writable = True
            return y
        function = activation(layer)
        if function is not None:
            y = function.push(x)
            y.rows_first = x.rows_first
            return y
    if isinstance(x, Jet):
        x.writable = False
    return layer(x)


@contextmanager
def _everywhere() -> Iterator[None]:
    if nn.Sequential.forward is not _FORWARD:  # somebody else's
        yield
        return
    nn.Sequential.forward = sequential  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        nn.Sequential.forward = _FORWARD


SEQUENTIAL = Shared(_everywhere)
"""Every `torch.nn.Sequential` a function calls computes by `sequential`; on tensors that is what it always does."""
