"""Rules of changing the resolution of images, and of taking them apart into windows: all are linear."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.rules.layers.convolution import linear_pooling, on_images
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.registry import rule


@rule(functional.interpolate)
def interpolate(
    x: Jet, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *args: Any, **kwargs: Any
) -> Jet:
    """Another resolution."""

    def resample(t: Tensor) -> Tensor:
        return functional.interpolate(t, size, scale_factor, mode, *args, **kwargs)

    return on_images(x, resample(x.value), resample)


@rule(functional.unfold)
def unfold(x: Jet, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Jet:
    """Windows of images as columns."""
    return linear_pooling(functional.unfold, 2)(x, kernel_size, dilation, padding, stride)


@rule(functional.fold)
def fold(x: Jet, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Jet:
    """Columns added up to images."""
    return linear_pooling(functional.fold, 1)(x, output_size, kernel_size, dilation, padding, stride)


def _rearranging(function: Callable) -> Callable:
    def apply(x: Jet, *args: Any, **kwargs: Any) -> Jet:
        return on_images(x, function(x.value, *args, **kwargs), lambda t: function(t, *args, **kwargs))

    return apply


for _name in ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"):
    rule(_name)(_rearranging(getattr(functional, _name)))
