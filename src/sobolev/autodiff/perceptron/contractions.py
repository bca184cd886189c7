"""Σ g f''(z) (dz/dx)(dz/dx)ᵀ over all units of a perceptron, with dz/dx in blocks of rows that stay in the cache."""

from functools import cached_property
from math import prod
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.blocks import FEWEST_ROWS, cached_numbers
from sobolev.autodiff.taylor.space import sum_of_squares
from sobolev.autodiff.tracing import traced

LARGEST_COMPILED = 3_000_000
"""Numbers of dz/dx, in compiled code, where every block is written out. The C library hands larger pieces of memory
back to the system, and taking them again costs more than what is computed in them."""
_FEWEST_DIRECTIONS = 800
"""With fewer rows times inputs, a product reads the weights more than it computes."""
_MANY_INPUTS = 32
"""From here on, the few rows of a block are squared at once and not input by input."""


class Contraction(Protocol):
    """What is asked of the second derivatives."""

    rows: int
    """Which axis of the first degrees dz/dx is that of the rows, 0 or 1; the other is that of the inputs."""

    def start(self, first: Tensor, weight: Tensor) -> tuple[Tensor, bool]:
        """The part of the first activation, for which all rows have the same dz/dx.

        Args:
            first: dz/dx, (inputs, units).
            weight: of every unit, (batch, units).

        Returns:
            Σ weight (dz/dx) (dz/dx), (batch, ...), and whether it is that, or 0 and has to be added, too.
        """
        ...

    def keep(self, first: Tensor, room: Tensor | None) -> Tensor:
        """What is needed of dz/dx for every output.

        Args:
            first: dz/dx, (rows, inputs, units) or (inputs, rows, units).
            room: of the same shape, to be written over; None: there is none.
        """
        ...

    def add(self, total: Tensor, kept: Tensor, weight: Tensor, room: Tensor | None) -> None:
        """Add Σ weight (dz/dx) (dz/dx) of a block of rows."""
        ...


class Hessian:
    """All pairs of inputs, (batch, inputs, inputs)."""

    rows = 0

    def start(self, first: Tensor, weight: Tensor) -> tuple[Tensor, bool]:
        """See `Contraction`: nothing is saved here."""
        return weight.new_zeros(len(weight), len(first), len(first)), False

    def keep(self, first: Tensor, room: Tensor | None) -> Tensor:
        """See `Contraction`."""
        del room
        return first

    def add(self, total: Tensor, kept: Tensor, weight: Tensor, room: Tensor | None) -> None:
        """See `Contraction`."""
        weighted = torch.mul(kept, weight.unsqueeze(1), out=room)
        total.baddbmm_(weighted, kept.expand(len(weight), -1, -1).mT)


class Diagonal:
    """Each input with itself, (batch, inputs)."""

    rows = 0

    def start(self, first: Tensor, weight: Tensor) -> tuple[Tensor, bool]:
        """See `Contraction`."""
        return weight @ first.square().t(), True

    def keep(self, first: Tensor, room: Tensor | None) -> Tensor:
        """See `Contraction`: its squares."""
        return torch.mul(first, first, out=room)

    def add(self, total: Tensor, kept: Tensor, weight: Tensor, room: Tensor | None) -> None:
        """See `Contraction`."""
        del room
        total.unsqueeze(2).baddbmm_(kept, weight.unsqueeze(2))


class Laplacian:
    """The sum over the inputs, (batch)."""

    rows = 1

    def start(self, first: Tensor, weight: Tensor) -> tuple[Tensor, bool]:
        """See `Contraction`."""
        return (sum_of_squares(first) * weight).sum(1), True

    def keep(self, first: Tensor, room: Tensor | None) -> Tensor:
        """See `Contraction`: their squares."""
        if room is None or len(first) < _MANY_INPUTS:
            return sum_of_squares(first)
        return torch.mul(first, first, out=room).sum(0)

    def add(self, total: Tensor, kept: Tensor, weight: Tensor, room: Tensor | None) -> None:
        """See `Contraction`."""
        del room
        total.add_((kept * weight).sum(1))


def is_one_operation(x: Tensor, numbers: int) -> bool:
    """Whether compiled code calls `contracted` as it is, and is not made of it.

    Args:
        x: lies where it is computed.
        numbers: of dz/dx, in its widest layer.
    """
    compiled = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
    return compiled and x.is_cpu and numbers > LARGEST_COMPILED and not torch.is_grad_enabled()


CONTRACTIONS: dict[str, Contraction] = {
    "hessian": Hessian(),
    "hessian_diagonal": Diagonal(),
    "laplacian": Laplacian(),
}


def contracted(
    kind: str, first: Tensor, weights: list[Tensor], slopes: list[Tensor], factors: list[Tensor]
) -> list[Tensor]:
    """Of every output the second derivatives.

    Args:
        kind: hessian, hessian_diagonal or laplacian.
        first: dz/dx of the first layer, (inputs, units).
        weights: of the layers that an activation follows, (units, units of the one before).
        slopes: f' of each activation, (batch, units).
        factors: g f'' of each activation, (batch, units), output after output.

    Returns:
        (batch, ...) for each output.
    """
    numbers = len(slopes[0]) * len(first) * max(map(len, weights))
    compute = _as_one_operation if is_one_operation(slopes[0], numbers) else _contracted
    return compute(kind, first, weights, slopes, factors)


def _contracted(
    kind: str, first: Tensor, weights: list[Tensor], slopes: list[Tensor], factors: list[Tensor]
) -> list[Tensor]:
    contraction, depth, inputs = CONTRACTIONS[kind], len(weights), len(first)
    totals, started = zip(*(contraction.start(first, factor) for factor in factors[::depth]), strict=True)
    if depth == 1 and all(started):
        return list(totals)
    batch, widest = len(slopes[0]), max(map(len, weights))
    count, axis = _blocks(slopes[0], inputs, widest), contraction.rows
    slopes_of = [slope.unsqueeze(1 - axis).tensor_split(count, axis) for slope in slopes]
    factors_of = [factor.tensor_split(count) for factor in factors]
    totals_of = [total.tensor_split(count) for total in totals]
    memory = None if traced() else first.new_empty(2, -(-batch // count) * inputs * widest)
    for block, slope in enumerate(slopes_of[0]):
        if not block or slope.shape != slopes_of[0][block - 1].shape:
            shape = (slope.shape[axis], inputs) if axis == 0 else (inputs, slope.shape[axis])
            places = [_Place(memory, weight, shape) for weight in weights]
        entering = first.unsqueeze(axis)
        for k, place in enumerate(places):
            if k:
                entering = place.next(entering, slopes_of[k - 1][block])
            if k or not all(started):
                kept = contraction.keep(entering, place.room)
                for total, factor in zip(totals_of, factors_of[k::depth], strict=True):
                    contraction.add(total[block], kept, factor[block], place.room)
    return list(totals)


_as_one_operation = torch.library.custom_op("sobolev::contracted", _contracted, mutates_args=())
"""For compiled code, which would write out every block, or keep dz/dx of all rows in memory."""


@_as_one_operation.register_fake
def _shapes(
    kind: str, first: Tensor, weights: list[Tensor], slopes: list[Tensor], factors: list[Tensor]
) -> list[Tensor]:
    del weights
    inputs = [len(first)] * {"hessian": 2, "hessian_diagonal": 1, "laplacian": 0}[kind]
    return [factor.new_empty(len(factor), *inputs) for factor in factors[:: len(slopes)]]


class _Place:
    """Where dz/dx of a layer lies: the memory of one block of rows is still in the cache for the next.

    Args:
        memory: twice as many numbers as dz/dx of the widest layer has; None in traced code.
        weight: of the layer, (units, units of the one before).
        shape: of dz/dx, without the units.
    """

    def __init__(self, memory: Tensor | None, weight: Tensor, shape: tuple[int, int]) -> None:
        self.weight, self.shape, self.room = weight, shape, None
        if memory is not None:
            self.spare, lasting = memory.unbind(0)
            self.room, self.first = (_view(part, *shape, len(weight)) for part in (self.spare, lasting))
            self.product = self.first.flatten(0, 1)

    @cached_property
    def scaled(self) -> Tensor:
        """Room for dz/dx of the layer before, times f'; the first layer has none."""
        return _view(self.spare, *self.shape, self.weight.shape[1])

    def next(self, first: Tensor, slope: Tensor) -> Tensor:
        """dz/dx from that of the layer before; `room` can be written over."""
        if self.room is None:
            return functional.linear(slope * first, self.weight)
        scaled = torch.mul(slope, first, out=self.scaled)
        torch.mm(scaled.flatten(0, 1), self.weight.t(), out=self.product)
        return self.first


def _view(memory: Tensor, *shape: int) -> Tensor:
    return memory[: prod(shape)].view(shape)


def _blocks(slope: Tensor, inputs: int, widest: int) -> int:
    """Of so few rows that dz/dx stays in the cache, twice; one in compiled code, where each is written out."""
    cached = cached_numbers(slope.device) // (inputs * widest)
    most = max(cached, min(FEWEST_ROWS, _FEWEST_DIRECTIONS // inputs), 1)
    return 1 if traced() else -(-len(slope) // most)
