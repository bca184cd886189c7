"""Rules of Fourier transforms and what goes with them: all are linear."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from sobolev.autodiff.rules.shape.axes import along, along_one, axes_of
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import plain
from sobolev.autodiff.taylor.propagation import linear
from sobolev.autodiff.taylor.registry import NoRuleError, rule


def _one_axis(function: Callable) -> Callable:
    def apply(x: Jet, n: int | None = None, dim: int = -1, norm: str | None = None) -> Jet:
        return along_one(x, dim, lambda t, axis: function(t, n, axis, norm))

    return apply


def _some_axes(function: Callable, default: Sequence[int] | None) -> Callable:
    def apply(x: Jet, s: Any = None, dim: Any = default, norm: str | None = None) -> Jet:
        if dim is None:
            dim = range(-len(s), 0) if s is not None else range(x.value.dim())
        return along(x, axes_of(x, dim), lambda t, axes: function(t, s, axes, norm))

    return apply


def _shift(function: Callable) -> Callable:
    def apply(x: Jet, dim: Any = None) -> Jet:
        return along(x, axes_of(x, dim), function)

    return apply


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    _function = getattr(torch.fft, _name)
    rule(_function)(_one_axis(_function))
    for _suffix, _default in (("2", (-2, -1)), ("n", None)):
        _function = getattr(torch.fft, _name + _suffix)
        rule(_function)(_some_axes(_function, _default))
for _function in (torch.fft.fftshift, torch.fft.ifftshift):
    rule(_function)(_shift(_function))


def _short_time(function: Callable) -> Callable:
    def apply(x: Any, *args: Any, **kwargs: Any) -> Jet:
        args, kwargs = tuple(plain(item) for item in args), {name: plain(item) for name, item in kwargs.items()}
        if not isinstance(x, Jet) or any(isinstance(item, Jet) for item in (*args, *kwargs.values())):
            raise NoRuleError(f"Taylor mode has no rule for {function.__name__} with a window that depends on x")
        return linear(x, lambda t: function(t, *args, **kwargs))

    return apply


for _function in (torch.stft, torch.istft):
    rule(_function, getattr(torch.Tensor, _function.__name__))(_short_time(_function))
