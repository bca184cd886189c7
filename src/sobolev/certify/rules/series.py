"""Products and chains of truncated power series whose coefficients are balls."""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from sobolev.certify import double_double
from sobolev.certify.balls import Array, Ball, U, outward
from sobolev.certify.double_double import Pair
from sobolev.certify.space import Space


class Rows:
    """Coefficients (rows, cells, *shape) with what their products need computed once.

    Args:
        ball: the coefficients; rows that are never read may hold anything.
    """

    __slots__ = ("mid", "rad", "reach", "size")

    def __init__(self, mid: Array, rad: Array) -> None:
        self.mid, self.rad = mid, rad
        self.size = np.abs(mid)
        self.reach = self.size + rad


def convolved(space: Space, a: Rows, b: Rows, rows: Sequence[int], least: int) -> Ball:
    """The rows of a b, (rows, cells, *shape), with a of degree 1 or more and b of `least` or more.

    A sum of n products is off by at most n + 1 times U times the sum of the magnitudes.
    """
    mids, rads = [], []
    for row in rows:
        pairs = space.pairs(row, least)
        spread = (len(pairs) + 2) * U
        mid = rad = None
        for i, j in pairs:
            term = a.mid[i] * b.mid[j]
            off = a.rad[i] * b.reach[j]
            off += a.size[i] * b.rad[j]
            off += np.abs(term) * spread
            mid = term if mid is None else np.add(mid, term, out=mid)
            rad = off if rad is None else np.add(rad, off, out=rad)
        assert mid is not None and rad is not None
        mids.append(mid)
        rads.append(outward(rad))
    return Ball(np.stack(mids), np.stack(rads))


def product_rows(space: Space, a: Rows, b: Rows, rows: Sequence[int]) -> Ball:
    """The rows of the whole product a b."""
    mids, rads = [], []
    for row in rows:
        pairs = ((0, row), *space.pairs(row, 0))
        spread = (len(pairs) + 2) * U
        mid, rad = 0.0, 0.0
        for i, j in pairs:
            term = a.mid[i] * b.mid[j]
            mid = mid + term
            rad = rad + (a.rad[i] * b.reach[j] + a.size[i] * b.rad[j] + np.abs(term) * spread)
        mids.append(mid)
        rads.append(outward(np.asarray(rad)))
    return Ball(np.stack(mids), np.stack(rads))


def composed(space: Space, outer: Sequence[Ball], inner: Rows, first: int, last: int) -> Ball:
    """The coefficients of degrees `first` to `last` of sum_j outer[j] v^j, v the inner series without its constant.

    Args:
        space: of the inner series.
        outer: for each power the coefficient, (cells, *shape), up to the power `last`.
        inner: rows of degrees 0 to `last`.
        first: the lowest degree that is asked for, 1 or more.
        last: the highest.
    """
    mid, rad = _empty(inner, space.degree(last)[-1] + 1)
    wanted = [row for degree in range(first, last + 1) for row in space.degree(degree)]
    power = inner
    for j in range(1, last + 1):
        if j > 1:
            rows = [row for degree in range(j, last + 1) for row in space.degree(degree)]
            power = _placed(convolved(space, inner, power, rows, j - 1), rows, inner)
        factor = outer[j]
        size = np.abs(factor.mid)
        reach = size + factor.rad
        for row in wanted:
            if row >= space.degree(j)[0]:
                term = power.mid[row] * factor.mid
                off = power.rad[row] * reach
                off += power.size[row] * factor.rad
                off += np.abs(term) * ((last + 2) * U)
                mid[row] += term
                rad[row] += off
    return Ball(mid[wanted], outward(rad[wanted]))


def product_pairs(space: Space, a: Pair, b: Pair) -> Pair:
    """The rows of a product in twice the precision, as many as both have."""
    rows = []
    for row in range(len(a.high)):
        terms = [double_double.multiply(a[i], b[j]) for i, j in ((0, row), *space.pairs(row, 0))]
        rows.append(reduce(double_double.add, terms))
    return double_double.stacked(rows)


def composed_pairs(space: Space, outer: Sequence[Pair], inner: Pair) -> Pair:
    """The rows of sum_j outer[j] v^j, v the inner series without its constant, in twice the precision."""
    rows, degrees = len(inner.high), [sum(space.indices[row]) for row in range(len(inner.high))]
    power = {row: inner[row] for row in range(1, rows)}
    total = {0: outer[0]}
    for j in range(1, max(degrees) + 1):
        if j > 1:
            power = {
                row: reduce(
                    double_double.add, [double_double.multiply(inner[a], power[b]) for a, b in space.pairs(row, j - 1)]
                )
                for row in range(1, rows)
                if degrees[row] >= j
            }
        for row, value in power.items():
            term = double_double.multiply(outer[j], value)
            total[row] = double_double.add(total[row], term) if row in total else term
    return double_double.stacked([total[row] for row in range(rows)])


def _empty(like: Rows, rows: int) -> tuple[Array, Array]:
    shape = (rows, *like.mid.shape[1:])
    return np.zeros(shape), np.zeros(shape)


def _placed(ball: Ball, rows: Sequence[int], like: Rows) -> Rows:
    """At its rows among zeros; those below are never read."""
    mid, rad = _empty(like, rows[-1] + 1)
    mid[rows[0] :], rad[rows[0] :] = ball
    return Rows(mid, rad)
