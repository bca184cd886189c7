"""Rules of convolutions and of pooling: linear maps of images, and maxima over windows."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.rules.reductions.norms import power_or_zero
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped, plain
from sobolev.autodiff.taylor.propagation import linear
from sobolev.autodiff.taylor.registry import RULES, NoRuleError, rule

_SPATIAL = {"1d": 1, "2d": 2, "3d": 3}


def on_images(x: Jet, value: Tensor, function: Callable[[Tensor], Tensor]) -> Jet:
    """The jet of this value whose coefficients are a linear function of those of x.

    Args:
        x: its value is (batch, channels, *places).
        value: the value.
        function: of all coefficients as one larger batch.
    """
    if not len(x.higher):  # PyTorch gives empty batches wrong shapes
        return mapped(x, value, value.new_zeros(0, *value.shape))
    higher = function(x.higher.flatten(0, 1))
    return mapped(x, value, higher.reshape(*x.higher.shape[:2], *higher.shape[1:]))


def _images(x: Jet, spatial: int, function: Callable[[Jet], Any]) -> Any:
    """A rule for batches of images, also for one image that has no batch axis."""
    if x.value.dim() == spatial + 2:
        return function(x)
    result = function(x.unsqueeze(0))
    return result.squeeze(0)


def _convolution(function: Callable, spatial: int) -> Callable:
    def apply(x: Any, weight: Any, bias: Any = None, *args: Any, **kwargs: Any) -> Jet:
        weight, bias = plain(weight), plain(bias)
        if isinstance(weight, Jet) or isinstance(bias, Jet):
            raise NoRuleError(f"Taylor mode has no rule for {function.__name__} with weights that depend on x")

        def convolve(x: Jet) -> Jet:
            value = function(x.value, weight, bias, *args, **kwargs)
            return on_images(x, value, lambda t: function(t, weight, None, *args, **kwargs))

        return _images(x, spatial, convolve)

    return apply


def linear_pooling(function: Callable, spatial: int) -> Callable:
    """The rule of a linear function of images of so many axes."""

    def apply(x: Jet, *args: Any, **kwargs: Any) -> Jet:
        def pool(x: Jet) -> Jet:
            value = function(x.value, *args, **kwargs)
            return on_images(x, value, lambda t: function(t, *args, **kwargs))

        return _images(x, spatial, pool)

    return apply


def _max_pooling(function: Callable, spatial: int) -> Callable:
    """The rule of a function that returns maxima and where they lie in the flattened places."""
    place = list(signature(function).parameters).index("return_indices") - 1

    def apply(x: Jet, *args: Any, return_indices: bool = False, **kwargs: Any) -> Any:
        if len(args) > place:  # compiled, PyTorch's modules give it without its name
            return_indices, args = args[place], (*args[:place], True, *args[place + 1 :])
        else:
            kwargs = {**kwargs, "return_indices": True}
        values, indices = function(x.value, *args, **kwargs)
        flat = x.full.flatten(-spatial)
        places = indices.flatten(-spatial).expand(len(flat), *[-1] * (flat.dim() - 1))
        pooled = Jet(x.space, values, flat.gather(-1, places).reshape(len(flat), *values.shape))
        return (pooled, indices) if return_indices else pooled

    return apply


def _power_pooling(function: Callable) -> Callable:
    """The rule of the norm over windows: the mean of powers times their number."""

    def apply(x: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        sizes = kernel_size if isinstance(kernel_size, Sequence) else [kernel_size] * _SPATIAL[function.__name__[-2:]]
        sums = function(x**norm_type, kernel_size, stride, 0, ceil_mode) * math.prod(sizes)
        return power_or_zero(torch.relu(sums), 1 / norm_type)

    return apply


def _unpooling(function: Callable) -> Callable:
    def apply(x: Jet, indices: Tensor, *args: Any, **kwargs: Any) -> Jet:
        return linear(x, lambda t: function(t, indices, *args, **kwargs))

    return apply


for _suffix, _places in _SPATIAL.items():
    for _name in (f"conv{_suffix}", f"conv_transpose{_suffix}"):
        _function = getattr(torch, _name)
        rule(_function, getattr(functional, _name))(_convolution(_function, _places))
    for _name in (f"avg_pool{_suffix}", f"adaptive_avg_pool{_suffix}"):
        _function = getattr(functional, _name)
        rule(_name)(linear_pooling(_function, _places))
    for _name in (f"max_pool{_suffix}", f"adaptive_max_pool{_suffix}"):
        _function = getattr(functional, f"{_name}_with_indices")
        _apply = _max_pooling(_function, _places)
        rule(_function)(partial(_apply, return_indices=True))
        rule(_name, getattr(functional, f"_{_name}"))(_apply)
    rule(f"lp_pool{_suffix}")(_power_pooling(getattr(functional, f"avg_pool{_suffix}")))
    rule(f"max_unpool{_suffix}")(_unpooling(getattr(functional, f"max_unpool{_suffix}")))
    if _places > 1:
        _function = getattr(functional, f"fractional_max_pool{_suffix}_with_indices")
        _apply = _max_pooling(_function, _places)
        rule(_function)(partial(_apply, return_indices=True))
        rule(getattr(functional, f"fractional_max_pool{_suffix}"))(_apply)
rule(torch.max_pool1d_with_indices)(RULES[functional.max_pool1d_with_indices])


@rule(functional.conv_tbc)
def conv_tbc(x: Any, weight: Tensor, bias: Tensor, pad: int = 0) -> Any:
    """A convolution along the first axis of (time, batch, channels)."""
    return functional.conv1d(x.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)
