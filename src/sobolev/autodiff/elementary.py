"""What a function does by its own means, but so that it can be differentiated often.

Normalisations by elementary operations: PyTorch's own are wrong where they are differentiated often.

The backward pass of `layer_norm` and `instance_norm` is right, and so is its derivative by the input of the network.
The derivative of that is 10 to 25 % off: in third derivatives, and in the gradient of a loss on second ones
(pytorch#196700, #198017).

Derivatives inside a function, the forces of an energy, keep their graph: they often do so in training mode only.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class ElementaryNormalization(TorchFunctionMode):
    """Values are PyTorch's own, derivatives of every order those of the formula."""

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _RULES.get(func, func)(*args, **(kwargs or {}))


class GraphsKept(TorchFunctionMode):
    """Derivatives that a function computes inside, forces say, can be differentiated, in eval mode as well.

    Attributes:
        needed: whether any would not have had a graph.
    """

    needed = False

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.autograd.grad:
            self.needed |= not (kwargs or {}).get("create_graph")
            args, kwargs = args[:3], {**(kwargs or {}), "retain_graph": True, "create_graph": True}
        return func(*args, **(kwargs or {}))


def _layer_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5, *more: Any
) -> Tensor:
    exact = functional.layer_norm(x, normalized_shape, weight, bias, eps)
    del more  # cudnn_enable of torch.layer_norm
    y = _normalized(x, range(x.dim() - len(normalized_shape), x.dim()), eps)
    y = y if weight is None else y * weight
    return _with_value(exact, y if bias is None else y + bias)


def _native_layer_norm(x: Tensor, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    _, mean, scale = torch.native_layer_norm(x, normalized_shape, weight, bias, eps)
    return _layer_norm(x, normalized_shape, weight, bias, eps), mean, scale


def _instance_norm(
    x: Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *more: Any,
) -> Tensor:
    exact = functional.instance_norm(x, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
    del more  # cudnn_enabled of torch.instance_norm
    if not use_input_stats:
        return exact
    y, shape = _normalized(x, range(2, x.dim()), eps), (-1, *[1] * (x.dim() - 2))
    y = y if weight is None else y * weight.reshape(shape)
    return _with_value(exact, y if bias is None else y + bias.reshape(shape))


def _normalized(x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    centred = x - x.mean(tuple(axes), keepdim=True)
    return centred * (centred.square().mean(tuple(axes), keepdim=True) + eps).rsqrt()


def _with_value(exact: Tensor, y: Tensor) -> Tensor:
    return exact.detach() + (y - y.detach()).to(exact.dtype)


_RULES: dict[Callable, Callable] = {
    functional.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    torch.native_layer_norm: _native_layer_norm,
    functional.instance_norm: _instance_norm,
    torch.instance_norm: _instance_norm,
}
