"""Rules of sampling images at places that are computed: `grid_sample` and the grids of affine maps."""

import operator
from collections.abc import Iterator
from functools import reduce
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.rules.elementwise.piecewise import select, value_of
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import settled
from sobolev.autodiff.taylor.propagation import linear
from sobolev.autodiff.taylor.registry import NoRuleError, rule

_CUBIC = -0.75
"""The slope of PyTorch's cubic kernel at 1 (Keys 1981 has -1/2)."""


class Tap(NamedTuple):
    """One of the pixels along an axis that a sample is made of.

    Attributes:
        index: where, inside the image.
        weight: how much of it, 0 where the place is outside the image and counts as 0.
    """

    index: Tensor
    weight: Any


@rule(functional.grid_sample)
def grid_sample(
    image: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Any:
    """Samples of (batch, channels, *places) at (batch, *samples, coordinates), -1 and 1 being the edges."""
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise NoRuleError(f"Taylor mode has no rule for grid_sample with mode {mode!r}")
    sizes, aligned = image.shape[2:], bool(align_corners)
    coordinates = (grid[..., len(sizes) - 1 - axis] for axis in range(len(sizes)))
    axes = [list(_taps(x, size, mode, padding_mode, aligned)) for x, size in zip(coordinates, sizes, strict=True)]
    total: Any = 0
    for taps in product(*axes):
        index = torch.zeros_like(taps[0].index)
        for tap, size in zip(taps, sizes, strict=True):
            index = index * size + tap.index
        total = total + _pixels(image, index) * reduce(operator.mul, (tap.weight for tap in taps)).unsqueeze(1)
    values = (value_of(item) for item in (image, grid))
    value = functional.grid_sample(*values, mode=mode, padding_mode=padding_mode, align_corners=align_corners)
    return settled(total.space, value, total.higher) if isinstance(total, Jet) else value


@rule(functional.affine_grid)
def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """The places that an affine map sends those of a regular grid to."""
    return linear(theta, lambda t: functional.affine_grid(t, size, align_corners))


def _taps(x: Any, size: int, mode: str, padding: str, aligned: bool) -> Iterator[Tap]:
    """The pixels along one axis of `size` pixels, for coordinates between -1 and 1."""
    x = (x + 1) * ((size - 1) / 2) if aligned else ((x + 1) * size - 1) / 2
    if mode != "bicubic":  # there, each pixel is looked for inside the image
        x = _inside(x, size, padding, aligned)
    value = value_of(x)
    lower = torch.round(value) if mode == "nearest" else torch.floor(value)
    for offset, weight in enumerate(_weights(x - lower, mode), start=-1 if mode == "bicubic" else 0):
        place = lower + offset
        if mode == "bicubic":
            place = _inside(place, size, padding, aligned)
        within = ((place >= 0) & (place < size)).to(value.dtype)
        yield Tap(place.long().clamp(0, size - 1), within * weight)


def _weights(t: Any, mode: str) -> list[Any]:
    """How much each pixel counts at a distance t behind the first (bicubic: the second) of them."""
    if mode == "nearest":
        return [1.0]
    if mode == "bilinear":
        return [1 - t, t]
    return [_far(1 + t), _near(t), _near(1 - t), _far(2 - t)]


def _near(t: Any) -> Any:
    return ((_CUBIC + 2) * t - (_CUBIC + 3)) * t * t + 1


def _far(t: Any) -> Any:
    return ((_CUBIC * t - 5 * _CUBIC) * t + 8 * _CUBIC) * t - 4 * _CUBIC


def _inside(x: Any, size: int, padding: str, aligned: bool) -> Any:
    """Places of pixels brought into the image; PyTorch takes its edges to be outside."""
    if padding == "zeros":
        return x
    if padding == "reflection":
        x = _reflected(x, *((0.0, size - 1.0) if aligned else (-0.5, size - 0.5)))
    value = value_of(x)
    clipped = value.clamp(0, size - 1)
    return select((value > 0) & (value < size - 1), x, clipped) if isinstance(x, Jet) else clipped


def _reflected(x: Any, low: float, high: float) -> Any:
    span = high - low
    if span == 0:
        return 0 * x
    value = value_of(x)
    away: Any = torch.where(value < low, low - x, x - low)
    turns = torch.floor(value_of(away) / span)
    rest = away - turns * span
    return torch.where(turns % 2 == 0, rest, span - rest) + low


def _pixels(image: Any, index: Tensor) -> Any:
    """(batch, channels, *samples)."""
    places = index.flatten(1).unsqueeze(1).expand(-1, image.shape[1], -1)
    return torch.gather(image.flatten(2), 2, places).reshape(*image.shape[:2], *index.shape[1:])
