"""Rules of normalisation layers.

The mean is taken off first, derivatives included, and the variance is the mean square of what is left: no large
numbers are subtracted from each other. A backward pass through these rules is right, also where PyTorch's nested
derivatives of its own fused kernels are not.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.rules.reductions.variances import centred
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import constant, mapped, revalued
from sobolev.autodiff.taylor.registry import NoRuleError, rule


@rule("layer_norm")
def layer_norm(
    x: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Any:
    """(x - mean) / √(variance + eps) over the last axes, times weight, plus bias."""
    x = _as_jet(x, weight, bias)
    result = _affine(_standardized(x, _last(normalized_shape), eps), weight, bias)
    return revalued(result, _value(functional.layer_norm, x, normalized_shape, weight, bias, eps))


@rule("rms_norm")
def rms_norm(x: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    """X / √(mean square + eps) over the last axes, times weight."""
    x = _as_jet(x, weight)
    tiny = torch.finfo(x.value.dtype).eps if eps is None else eps
    squares = (x * x).mean(_last(normalized_shape), keepdim=True)
    result = _affine(x * torch.rsqrt(squares + tiny), weight, None)
    return revalued(result, _value(functional.rms_norm, x, normalized_shape, weight, eps))


@rule("group_norm")
def group_norm(x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any) -> Any:
    """Layer norm over each group of channels and all places of one sample."""
    x = _as_jet(x, weight, bias)
    size = x.value.shape[1:].numel() // num_groups  # not -1: there may be no rows
    grouped = x.reshape(x.value.shape[0], num_groups, size)
    channels = _channels(x, weight), _channels(x, bias)
    result = _affine(_standardized(grouped, (-1,), eps).reshape(x.value.shape), *channels)
    return revalued(result, _value(functional.group_norm, x, num_groups, weight, bias, eps))


@rule("instance_norm")
def instance_norm(
    x: Any,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *_: Any,
) -> Any:
    """Over all places of each channel of one sample, or by running statistics."""
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None:
        raise NoRuleError("Taylor mode does not update the running statistics of instance_norm: call model.eval()")
    x = _as_jet(x, weight, bias)
    places = tuple(range(2, x.value.dim()))
    result = _affine(_standardized(x, places, eps), _channels(x, weight), _channels(x, bias))
    value = _value(functional.instance_norm, x, None, None, weight, bias, True, momentum, eps)
    return revalued(result, value)


@rule("batch_norm")
def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *_: Any,
) -> Any:
    """By running statistics: an affine map of each channel."""
    if training or running_var is None:
        raise NoRuleError("batch_norm in training mode mixes the samples of a batch: call model.eval()")
    scale: Any = torch.rsqrt(running_var + eps) * (1 if weight is None else weight)
    value = _value(functional.batch_norm, x, running_mean, running_var, weight, bias, False, momentum, eps)
    if isinstance(x, Jet) and not any(isinstance(item, Jet) for item in (scale, running_mean, bias)):
        return mapped(x, value, (x.higher * _channels(x, scale)).to(value.dtype))
    result = _affine(x - _channels(x, running_mean), _channels(x, scale), _channels(x, bias))
    return revalued(result, value)


@rule(functional.local_response_norm)
def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """X divided by (k + alpha times the mean square of neighbouring channels) ** beta."""
    padding = [0, 0] * (x.value.dim() - 2) + [size // 2, (size - 1) // 2]
    squares = functional.pad(x * x, padding).unfold(1, size, 1).mean(-1)
    return x / (alpha * squares + k) ** beta


def _standardized(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    deviation = centred(x, axes)
    return deviation * torch.rsqrt((deviation * deviation).mean(axes, keepdim=True) + eps)


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _last(shape: Sequence[int] | int) -> tuple[int, ...]:
    return tuple(range(-len(shape), 0)) if isinstance(shape, Sequence) else (-1,)


def _channels(x: Any, parameter: Any) -> Any:
    """A parameter of every channel, shaped to broadcast against axis 1."""
    return None if parameter is None else parameter.reshape(-1, *[1] * (x.dim() - 2))


def _as_jet(x: Any, *parameters: Any) -> Any:
    """X, where the parameters alone may depend on the inputs."""
    return x if isinstance(x, Jet) else constant(next(item for item in parameters if isinstance(item, Jet)), x)


def _value(function: Any, *args: Any) -> Tensor:
    return function(*(arg.value if isinstance(arg, Jet) else arg for arg in args))
