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
from sobolev.autodiff.rules.kinds import rows
from sobolev.autodiff.space import Space, sum_of_squares
from sobolev.autodiff.tracing import traced

_OUTER_NUMBERS = 150_000
"""Of one layer, of what has no axis of inputs: it is computed for as many rows at a time."""
_LARGEST_COMPILED = 3_000_000
"""Of dz/dx, in compiled code, where every block is written out. The C library hands larger pieces of memory back to the
system, and taking them again costs more than what is computed in them."""
_MOST_COMPILED = 16
"""Blocks in compiled code."""
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
            Σ weight (dz/dx) (dz/dx), (batch, ...), and whether it is that, or 0 and has to be added, too.
        """
        ...

    def keep(self, first: Tensor) -> Tensor:
        """What is needed of dz/dx for every output."""
        ...

    def add(self, total: Tensor, kept: Tensor, weight: Tensor) -> None:
        """Add Σ weight (dz/dx) (dz/dx) of a block of rows."""
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
        return (weight @ table.t()).unflatten(1, (inputs, inputs)), True

    def keep(self, first: Tensor) -> Tensor:
        """See `Contraction`."""
        return first

    def add(self, total: Tensor, kept: Tensor, weight: Tensor) -> None:
        """See `Contraction`."""
        total.baddbmm_(kept * weight.unsqueeze(1), kept.expand(len(weight), -1, -1).mT)


class Laplacian:
    """The sum over the inputs, (batch)."""

    rows = 1

    def start(self, first: Tensor, weight: Tensor) -> tuple[Tensor, bool]:
        """See `Contraction`."""
        return (sum_of_squares(first) * weight).sum(1), True

    def keep(self, first: Tensor) -> Tensor:
        """See `Contraction`: their squares."""
        return sum_of_squares(first)

    def add(self, total: Tensor, kept: Tensor, weight: Tensor) -> None:
        """See `Contraction`."""
        total.add_((kept * weight).sum(1))


def second_derivatives(layers: Layers, contraction: Contraction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and second derivatives.

    Args:
        layers: see `sobolev.autodiff.layers.perceptron`.
        contraction: a Hessian or a Laplacian.
        x: (batch, inputs), at least one row.

    Returns:
        (batch, outputs), (batch, outputs, inputs), (batch, outputs[, inputs, inputs]).
    """
    blocks = [_of_block(layers, contraction, part) for part in _outer_blocks(layers, x)]
    y, jacobian, second = blocks[0] if len(blocks) == 1 else map(torch.cat, zip(*blocks, strict=True))
    return y, jacobian, second


def _outer_blocks(layers: Layers, x: Tensor) -> Sequence[Tensor]:
    """In compiled code, where each is written out, only few."""
    width = max(weight.shape[0] for weight in layers[0][::2])
    if not traced():
        return x.split(even_rows(len(x), max(_OUTER_NUMBERS // width, 1)))
    blocks = 1
    while x.is_cpu and blocks < _MOST_COMPILED and width * x.numel() > _LARGEST_COMPILED * blocks:
        blocks *= 2
    return x.tensor_split(blocks)  # for any number of rows


def _of_block(layers: Layers, contraction: Contraction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y, slopes, bends = _forward(layers, x)
    found = [_one_output(layers, slopes, bends, y, output) for output in range(y.shape[1])]
    gradients, weights = zip(*found, strict=True)
    return y, _joined(gradients), _joined(_contracted(layers, contraction, slopes, weights, x))


def _forward(layers: Layers, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The value, and f' and f'' of every activation."""
    (weights, functions), value, slopes, bends = layers, x, [], []
    for function, weight, bias in zip(functions, weights[::2], weights[1::2], strict=True):
        value = functional.linear(value, weight, bias)
        if function is not None:
            value, slope, bend = _derivatives(function, value)
            slopes.append(slope)
            bends.append(bend)
    return value, slopes, bends


def _derivatives(function: Elementwise, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The function, f' and f'', at every element; z is written over."""
    if traced():
        jet = function.push(Jet(Space(2), z, z.new_ones(1, *[1] * z.dim())))
        slope, bend = rows(jet)
        return jet.value, slope, 2 * bend
    value, (slope, bend), _ = function.line.expand(2, z, keep=False)
    return value, slope, bend.mul_(2 * function.line.factors[1])


def _one_output(
    layers: Layers, slopes: Sequence[Tensor], bends: Sequence[Tensor], y: Tensor, output: int
) -> tuple[Tensor, list[Tensor]]:
    """Of one output the gradient (batch, inputs), and for every activation g f'', (batch, units)."""
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
    if len(slopes) == 1 and all(started):
        return list(totals)
    count, rows = _blocks(layers, x), contraction.rows
    slopes_of = [slope.unsqueeze(1 - rows).tensor_split(count, rows) for slope in slopes]
    weights_of = [[part.tensor_split(count) for part in weight] for weight in weights]
    totals_of = [total.tensor_split(count) for total in totals]
    for block in range(count):
        entering = first
        for k in range(len(slopes)):
            if k:
                entering = functional.linear(slopes_of[k - 1][block] * entering, layers[0][2 * k])
            if k or not all(started):
                kept = contraction.keep(entering)
                for total, weight in zip(totals_of, weights_of, strict=True):
                    contraction.add(total[block], kept, weight[k][block])
    return list(totals)


def _blocks(layers: Layers, x: Tensor) -> int:
    """Of so many rows that dz/dx stays in the cache."""
    numbers = x.shape[1] * max(weight.shape[0] for weight in layers[0][:-2:2])
    most = max(CACHED_NUMBERS // numbers, min(FEWEST_ROWS, _FEWEST_DIRECTIONS // x.shape[1]), 1)
    return 1 if traced() else -(-len(x) // most)


def _joined(outputs: Sequence[Tensor]) -> Tensor:
    return outputs[0].unsqueeze(1) if len(outputs) == 1 else torch.stack(list(outputs), dim=1)
