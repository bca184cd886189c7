"""What is to be bounded over a box: errors of a network and its derivatives, or how far it violates an equation."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sobolev.certify.balls import Array
from sobolev.certify.bounds import Bounds, derivative_bounds
from sobolev.certify.enclosure import Enclosure, variables
from sobolev.certify.search import Batch
from sobolev.certify.space import space_of

Enclose = Callable[[Enclosure], Enclosure]
"""From the inputs (cells, inputs) to what is bounded, (cells, outputs)."""

_ROUNDING = 1 / 400
"""Where more than this part of a bound is rounding, the centre is computed again in twice the precision."""


class Magnitudes:
    """The largest magnitude of every order: one goal an order, its largest component counts.

    Args:
        enclose: what is bounded.
        inputs: how many inputs it has.
        orders: the highest derivative.
        order: the degree of the Taylor polynomials.
    """

    def __init__(self, enclose: Enclose, inputs: int, orders: int, order: int) -> None:
        self._enclose, self._orders, self._order = enclose, range(orders + 1), order
        self._indices = [i for i in space_of(inputs, orders).indices if sum(i) <= orders]

    def __call__(self, centre: Array, half: Array) -> Batch:
        """Of each cell."""
        with np.errstate(all="ignore"):
            batch = self._bounded(centre, half, None)
            doubtful = (batch.noise > _ROUNDING * batch.upper).any(1)
            if doubtful.any():
                better = self._bounded(centre[doubtful], half[doubtful], self._orders[-1])
                for old, new in zip(batch, better, strict=True):
                    old[doubtful] = new
            return batch

    def _bounded(self, centre: Array, half: Array, fine: int | None) -> Batch:
        e = self._enclose(variables(centre, half, self._order, fine)).refined()
        found = {index: derivative_bounds(e, index, half) for index in self._indices}
        goals = [_largest([found[i] for i in self._indices if sum(i) == k]) for k in self._orders]
        return Batch(*(np.stack(part, 1) for part in zip(*goals, strict=True)))


class Magnitude:
    """The largest magnitude of one quantity: a single goal.

    Args:
        enclose: from centres and half widths (cells, inputs) to the quantity, (cells, 1).
    """

    def __init__(self, enclose: Callable[[Array, Array], Enclosure]) -> None:
        self._enclose = enclose

    def __call__(self, centre: Array, half: Array) -> Batch:
        """Of each cell."""
        with np.errstate(all="ignore"):
            found = derivative_bounds(self._enclose(centre, half), (0,) * centre.shape[1], half)
            return Batch(*(part[:, None] for part in _largest([found])))


class Signed:
    """The largest and the smallest value of every derivative of every output: two goals each."""

    def __init__(self, enclose: Enclose, inputs: int, orders: int, order: int) -> None:
        self._enclose, self._order = enclose, order
        self.indices = [i for i in space_of(inputs, orders).indices if sum(i) <= orders]

    def __call__(self, centre: Array, half: Array) -> Batch:
        """Of each cell: for each derivative and output the value, then its negative."""
        with np.errstate(all="ignore"):
            e = self._enclose(variables(centre, half, self._order))
            goals: list[Sequence[Array]] = []
            for index in self.indices:
                b = derivative_bounds(e, index, half)
                for output in range(b.high.shape[1]):
                    goals += [_one(b, output, 1), _one(b, output, -1)]
            return Batch(*(np.stack(part, 1) for part in zip(*goals, strict=True)))


def _one(b: Bounds, output: int, sign: int) -> Sequence[Array]:
    upper = b.high[:, output] if sign > 0 else -b.low[:, output]
    noise, place = b.centre.rad[:, output], b.top if sign > 0 else b.bottom
    return upper, sign * b.centre.mid[:, output] - noise, noise, b.spread[:, output], place[:, output]


def _largest(parts: list[Bounds]) -> Sequence[Array]:
    """The magnitude of the largest of several derivatives of all outputs."""
    low, high, mid, rad, spread, top, bottom = (
        np.concatenate(part, 1)
        for part in zip(*((b.low, b.high, *b.centre, b.spread, b.top, b.bottom) for b in parts), strict=True)
    )
    upper = np.maximum(high, -low)  # NaN if either is
    rows, column = np.arange(len(upper)), np.where(np.isnan(upper), np.inf, upper).argmax(1)
    attained = (np.abs(mid) - rad).max(1)
    up = (high >= -low)[rows, column][:, None]
    peak = np.where(up, top[rows, column], bottom[rows, column])
    return upper.max(1), attained, rad[rows, column], spread[rows, column], peak


def difference(network: Callable[[Any], Any], target: Callable[[Enclosure], Enclosure] | None) -> Enclose:
    """The network minus its target, or the network alone."""
    if target is None:
        return network
    return lambda x: network(x) - target(x)
