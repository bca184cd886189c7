"""Hessian and Laplacian of a perceptron on bare tensors: first degrees forward, a reverse pass for each output.

With z the input of an activation f and g the gradient of an output with respect to f(z), the Hessian is the sum of
g f''(z) (dz/dx)(dz/dx)ᵀ over all units of all layers, and the Laplacian its trace. Only dz/dx has numbers for every
input: it alone is computed in blocks of rows that stay in the cache.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.blocks import CACHED_NUMBERS, FEWEST_ROWS, even_rows
from sobolev.autodiff.jet import Jet
from sobolev.autodiff.layers import Layers
from sobolev.autodiff.rules.chain import Elementwise
from sobolev.autodiff.rules.kinds import rows, traced
from sobolev.autodiff.space import Space, sum_of_squares

_OUTER_NUMBERS = 150_000
"""Of one layer, of what has no axis of inputs: it is computed for as many rows at a time."""
_FEWEST_DIRECTIONS = 4800
"""With fewer rows times inputs, calls cost more than what they compute."""
_LARGEST_TABLE = 4_000_000
"""A table of more numbers takes longer to make than it saves."""


class Contraction(Protocol):
    """What is asked of the second derivatives."""

    rows: int
    """Which axis of the first degrees dz/dx is that of the rows, 0 or 1; the other is that of the inputs."""

    def start(self, first: Tensor, weight: Tensor) -> tuple[Tensor, bool]:
        """The part of the first activation, for which all rows have the same dz/dx.

        Args:
            first: dz/dx, one row.
            weight: of every unit, (batch, units).

        Returns:
            2 Σ weight (dz/dx) (dz/dx), (batch, ...), and whether it is that, or 0 and has to be added, too.
        """
        ...

    def keep(self, first: Tensor) -> Tensor:
        """What is needed of dz/dx for every output."""
        ...

    def add(self, total: Tensor, kept: Tensor, weight: Tensor) -> None:
        """Add 2 Σ weight (dz/dx) (dz/dx) of a block of rows."""
        ...


class Hessian:
    """All pairs of inputs, (batch, inputs, inputs)."""

    rows = 0

    def start(self, first: Tensor, weight: Tensor) -> tuple[Tensor, bool]:
        """See `Contraction`: by the products of all pairs."""
        inputs = first.shape[1]
        if inputs * first.numel() > _LARGEST_TABLE:
            return weight.new_zeros(len(weight), inputs, inputs), False
        table = (first.transpose(0, 1) * first).flatten(0, 1)
        return (2 * weight @ table.t()).unflatten(1, (inputs, inputs)), True

    def keep(self, first: Tensor) -> Tensor:
        """See `Contraction`."""
        return first

    def add(self, total: Tensor, kept: Tensor, weight: Tensor) -> None:
        """See `Contraction`."""
        total.baddbmm_(kept * (2 * weight).unsqueeze(1), kept.expand(len(weight), -1, -1).mT)


class Laplacian:
    """The sum over the inputs, (batch)."""

    rows = 1

    def start(self, first: Tensor, weight: Tensor) -> tuple[Tensor, bool]:
        """See `Contraction`."""
        return 2 * (sum_of_squares(first) * weight).sum(1), True

    def keep(self, first: Tensor) -> Tensor:
        """See `Contraction`: their squares."""
        return sum_of_squares(first)

    def add(self, total: Tensor, kept: Tensor, weight: Tensor) -> None:
        """See `Contraction`."""
        total.add_((kept * weight).sum(1), alpha=2)


def second_derivatives(layers: Layers, contraction: Contraction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and second derivatives.

    Args:
        layers: see `sobolev.autodiff.layers.perceptron`.
        contraction: a Hessian or a Laplacian.
        x: (batch, inputs), at least one row.

    Returns:
        (batch, outputs), (batch, outputs, inputs), (batch, outputs[, inputs, inputs]).
    """
    most = len(x) if traced() else _OUTER_NUMBERS // max(weight.shape[0] for weight in layers[0][::2])
    blocks = [_of_block(layers, contraction, part) for part in x.split(even_rows(len(x), max(most, 1)))]
    y, jacobian, second = blocks[0] if len(blocks) == 1 else map(torch.cat, zip(*blocks, strict=True))
    return y, jacobian, second


def _of_block(layers: Layers, contraction: Contraction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y, slopes, bends = _forward(layers, x)
    found = [_one_output(layers, slopes, bends, y, output) for output in range(y.shape[1])]
    gradients, weights = zip(*found, strict=True)
    return y, _joined(gradients), _joined(_contracted(layers, contraction, slopes, weights, x))


def _forward(layers: Layers, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The value, and f' and f''/2 of every activation."""
    (weights, functions), value, slopes, bends = layers, x, [], []
    for function, weight, bias in zip(functions, weights[::2], weights[1::2], strict=True):
        value = functional.linear(value, weight, bias)
        if function is not None:
            value, slope, bend = _two_coefficients(function, value)
            slopes.append(slope)
            bends.append(bend)
    return value, slopes, bends


def _two_coefficients(function: Elementwise, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The function, f' and f''/2, at every element."""
    jet = function.push(Jet(Space(2), z, z.new_ones(1, *[1] * z.dim())))
    slope, bend = rows(jet)
    return jet.value, slope, bend


def _one_output(
    layers: Layers, slopes: Sequence[Tensor], bends: Sequence[Tensor], y: Tensor, output: int
) -> tuple[Tensor, list[Tensor]]:
    """Of one output the gradient (batch, inputs), and for every activation g f''/2, (batch, units)."""
    (weights, functions), entered, found = layers, list(zip(slopes, bends, strict=True)), []
    gradient = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)[output : output + 1]  # up to a layer: of all rows
    for function, weight in zip(reversed(functions), reversed(weights[::2]), strict=True):
        if function is not None:
            slope, bend = entered.pop()
            found.append(gradient * bend)
            gradient = gradient * slope
        gradient = gradient @ weight
    return gradient, found[::-1]


def _contracted(
    layers: Layers, contraction: Contraction, slopes: list[Tensor], weights: Sequence[list[Tensor]], x: Tensor
) -> list[Tensor]:
    """Of every output the second derivatives, (batch, ...)."""
    first = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).unsqueeze(contraction.rows)
    first = functional.linear(first, layers[0][0])
    totals, started = zip(*(contraction.start(first, weight[0]) for weight in weights), strict=True)
    common = all(started)
    for block in _blocks(layers, x) if len(slopes) > common else ():
        parts, entering = [total[block] for total in totals], first
        for k in range(len(slopes)):
            if k:
                slope = slopes[k - 1][block].unsqueeze(1 - contraction.rows)
                entering = functional.linear(slope * entering, layers[0][2 * k])
            if k or not common:
                kept = contraction.keep(entering)
                for part, weight in zip(parts, weights, strict=True):
                    contraction.add(part, kept, weight[k][block])
    return list(totals)


def _blocks(layers: Layers, x: Tensor) -> list[slice]:
    """Of the rows, as many as keep dz/dx in the cache."""
    rows, inputs = x.shape
    if traced():
        return [slice(None)]
    numbers = inputs * max(weight.shape[0] for weight in layers[0][:-2:2])
    most = max(CACHED_NUMBERS // numbers, min(FEWEST_ROWS, _FEWEST_DIRECTIONS // inputs), 1)
    size = even_rows(rows, most)
    return [slice(start, start + size) for start in range(0, rows, size)]


def _joined(outputs: Sequence[Tensor]) -> Tensor:
    return outputs[0].unsqueeze(1) if len(outputs) == 1 else torch.stack(list(outputs), dim=1)
