"""What a function does by its own means, but so that it can be differentiated often.

Backward passes of normalisations by elementary operations: PyTorch's own are wrong where they are differentiated often.

The backward pass of `layer_norm` and `instance_norm` is right, and so is its derivative by the input of the network.
The derivative of that is 10 to 25 % off: in third derivatives, and in the gradient of a loss on second ones
(pytorch#196700, #198017). Where PyTorch's dispatcher looks the backward pass up, scripted, traced and exported modules
find ours as well.

Derivatives inside a function, the forces of an energy, keep their graph: they often do so in training mode only.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Three = tuple[Tensor | None, Tensor | None, Tensor | None]

_KEYS = ("AutogradCPU", "AutogradCUDA", "AutogradXPU", "AutogradMPS", "AutogradMeta")
_lock, _users, _libraries = Lock(), [0], []


@contextmanager
def elementary_backward() -> Iterator[None]:
    """Backward passes of normalisations are made of operations that can be differentiated."""
    with _lock:
        _users[0] += 1
        if _users[0] == 1:
            _libraries.append(_registered())
    try:
        yield
    finally:
        with _lock:
            _users[0] -= 1
            if not _users[0]:
                _libraries.pop()._destroy()


def _registered() -> torch.library.Library:
    library = torch.library.Library("aten", "IMPL")
    for key in _KEYS:
        library.impl("native_layer_norm_backward", _layer_norm_backward, key)
        library.impl("native_batch_norm_backward", _batch_norm_backward, key)
    return library


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


def _layer_norm_backward(
    gradient: Tensor,
    x: Tensor,
    normalized_shape: Sequence[int],
    mean: Tensor,
    scale: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    wanted: Sequence[bool],
) -> Three:
    axes = tuple(range(x.dim() - len(normalized_shape), x.dim()))
    centred = x - x.mean(axes, keepdim=True)
    variance = centred.square().mean(axes, keepdim=True)
    with torch.no_grad():  # the constant that was added to the variance; the mean says nothing that x does not
        epsilon = scale.reshape(variance.shape) ** -2 - variance
    scale = (variance + epsilon).rsqrt()
    del mean, bias
    weighted = gradient if weight is None else gradient * weight
    others = tuple(range(x.dim() - len(normalized_shape)))
    return _backward(gradient, weighted, centred * scale, scale, axes, others, wanted)


def _batch_norm_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor | None,
    running_mean: Tensor | None,
    running_variance: Tensor | None,
    mean: Tensor | None,
    scale: Tensor | None,
    train: bool,
    epsilon: float,
    wanted: Sequence[bool],
) -> Three:
    """Also of `instance_norm`, which is that of a batch of one."""
    del mean, scale
    axes, shape = (0, *range(2, x.dim())), (-1, *[1] * (x.dim() - 2))
    weighted = gradient if weight is None else gradient * weight.reshape(shape)
    if train:
        centred = x - x.mean(axes, keepdim=True)
        scale = (centred.square().mean(axes, keepdim=True) + epsilon).rsqrt()
        return _backward(gradient, weighted, centred * scale, scale, axes, axes, wanted)
    assert running_mean is not None and running_variance is not None
    scale = (running_variance.reshape(shape) + epsilon).rsqrt()
    return _backward(gradient, weighted, (x - running_mean.reshape(shape)) * scale, scale, (), axes, wanted)


def _backward(
    gradient: Tensor,
    weighted: Tensor,
    normal: Tensor,
    scale: Tensor,
    axes: tuple[int, ...],
    others: tuple[int, ...],
    wanted: Sequence[bool],
) -> Three:
    """Of the input, the weight and the bias; `axes` are those whose statistics are taken, if any are."""
    of_x = weighted
    if axes:
        of_x = weighted - weighted.mean(axes, keepdim=True) - normal * (weighted * normal).mean(axes, keepdim=True)
    return (
        of_x * scale if wanted[0] else None,
        _summed(gradient * normal, others) if wanted[1] else None,
        _summed(gradient, others) if wanted[2] else None,
    )


def _summed(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    return tensor.sum(axes) if axes else tensor  # of no axes at all, sum takes every one
