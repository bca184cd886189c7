"""The points at which a file is checked: of whose kind and from which ranges they are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.audit.modules import modules_behind

Inputs = Tensor | Mapping[str, Sequence[float]] | Sequence[int] | None
"""Points (rows, *in), a range for each input by its name, the shape of one sample, or nothing."""

_SEED = 0
_UNIFORM = 3**0.5
"""Uniform numbers between plus and minus this have a standard deviation of 1."""


def points_for(network: Callable[[Tensor], Tensor], inputs: Inputs, count: int) -> Tensor:
    """Points (count, *in) in float64.

    Args:
        network: where `inputs` is None, it says itself how many inputs it has.
        inputs: see `Inputs`; given points are repeated where they are fewer than `count`.
        count: how many rows.

    Raises:
        ValueError: the inputs cannot be made out, a range is empty, or there is no point.
        TypeError: points that are no floating-point numbers.
    """
    if isinstance(inputs, Tensor):
        return _spread(inputs, count)
    if isinstance(inputs, Mapping):
        return _within(torch.tensor([_range(*item) for item in inputs.items()], dtype=torch.float64), count)
    if inputs is not None:
        return _uniform(count, *inputs)
    center, scale = _from_network(network)
    return center + scale * _UNIFORM * _uniform(count, len(center))


def _spread(points: Tensor, count: int) -> Tensor:
    """As many rows, evenly drawn; those at hand repeated where they are too few."""
    if not points.is_floating_point() or points.dim() == 0 or not len(points):
        shape = tuple(points.shape)
        raise TypeError(f"inputs is {points.dtype} of shape {shape}; give points (rows, *in) of floating-point numbers")
    points = points.detach().cpu().double()
    if len(points) >= count:
        return points[torch.linspace(0, len(points) - 1, count).round().long()]
    return points[torch.arange(count) % len(points)]


def _range(name: str, ends: Sequence[float]) -> tuple[float, float]:
    low, high = map(float, ends)
    if not low < high:
        raise ValueError(f"inputs: the range of {name!r} is {low:g} to {high:g}; write the lower end first")
    return low, high


def _within(ranges: Tensor, count: int) -> Tensor:
    low, high = ranges.T
    return (low + high) / 2 + (high - low) / 2 * _uniform(count, len(ranges))


def _uniform(*shape: int) -> Tensor:
    """Between -1 and 1."""
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(_SEED), dtype=torch.float64) - 1


def _from_network(network: Any) -> tuple[Tensor, Tensor]:
    """Centre and scale of each input: those that a network standardises by, or 0 and 1 for its first layer's inputs."""
    modules: list[Any] = list(modules_behind(network).values())
    first: Any = next((m for m in modules if not list(m.children()) and list(m.parameters(recurse=False))), None)
    standardizing = [m for m in modules if isinstance(getattr(m, "input_mean", None), Tensor)]
    given = [tensor.detach().cpu().double() for m in standardizing[:1] for tensor in (m.input_mean, m.input_scale)]
    sizes = [len(given[0])] if given and len(given[0]) > 1 else []
    if not sizes and not isinstance(first, nn.Linear):
        raise ValueError(
            "the network does not say what goes into it: give inputs, points (rows, *in), the shape of one sample, or "
            "a range for each input, {'x': (-1, 1)}"
        )
    zeros = torch.zeros(sizes[0] if sizes else first.in_features, dtype=torch.float64)
    return (zeros + given[0], zeros + given[1]) if given else (zeros, zeros + 1)
