"""The multi-indices of truncated polynomials in several variables, and the tables that computing with them needs."""

import math
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from sobolev.certify.balls import Array, growth

Index = tuple[int, ...]
"""How often each variable occurs."""


class Rebuild(NamedTuple):
    """Matrices (rows, rows) that take coefficients at the centre, and of the top degree over the cell, to the cell."""

    mid: Array
    from_mid: Array
    """What magnitudes of midpoints add to the radii."""
    from_rad: Array


class Space:
    """Polynomials of `inputs` variables up to degree `order`, and the one degree above, the top.

    Attributes:
        indices: all of them, by degree, the top last.
        place: the row of each.
        low: how many lie below the top.
    """

    def __init__(self, inputs: int, order: int) -> None:
        self.inputs, self.order = inputs, order
        self.indices = [index for degree in range(order + 2) for index in _of_degree(inputs, degree)]
        self.place = {index: row for row, index in enumerate(self.indices)}
        self.low = sum(sum(index) <= order for index in self.indices)
        self.first = [self.place[_unit(inputs, i)] for i in range(inputs)]
        """The rows of the variables themselves."""
        self.rebuild = self._rebuild()

    def degree(self, degree: int) -> range:
        """The rows of one degree."""
        rows = [row for row, index in enumerate(self.indices) if sum(index) == degree]
        return range(rows[0], rows[-1] + 1)

    @cache  # noqa: B019
    def pairs(self, row: int, least: int) -> tuple[tuple[int, int], ...]:
        """The rows of two factors whose product has this row: the first of degree 1 or more, the second of `least`."""
        target, found = self.indices[row], []
        for other in product(*(range(k + 1) for k in target)):
            rest = tuple(k - n for k, n in zip(target, other, strict=True))
            if sum(other) >= 1 and sum(rest) >= least:
                found.append((self.place[other], self.place[rest]))
        return tuple(found)

    def shift(self, by: Index, order: int) -> tuple["Space", list[int], Array]:
        """The space of the derivatives by `by`, of a lower order: for each of its rows the row here, and the factor."""
        space = space_of(self.inputs, order)
        rows, factors = [], []
        for index in space.indices:
            target = tuple(k + n for k, n in zip(index, by, strict=True))
            rows.append(self.place[target])
            factors.append(math.prod(math.perm(k, n) for k, n in zip(target, by, strict=True)))
        return space, rows, np.array(factors, dtype=np.float64)

    def _rebuild(self) -> Rebuild:
        """A term c t^β lies in ±|c|, and in [0, c] where all of β is even: half of that is midpoint, half radius."""
        size = len(self.indices)
        full, even = np.zeros((size, size)), np.zeros((size, size))
        for row, index in enumerate(self.indices):
            for column, target in enumerate(self.indices):
                beta = tuple(k - n for k, n in zip(target, index, strict=True))
                if min(beta) < 0:
                    continue
                count = math.prod(math.comb(k, n) for k, n in zip(target, index, strict=True))
                full[row, column] = count
                if all(n % 2 == 0 for n in beta):
                    even[row, column] = count / 2 if any(beta) else count
        moved = full - even
        return Rebuild(even, moved + growth(size) * even, full)


@cache
def space_of(inputs: int, order: int) -> Space:
    """The space, made once."""
    return Space(inputs, order)


def _of_degree(inputs: int, degree: int) -> list[Index]:
    """All indices of one degree, in descending lexical order."""
    found = [index for index in product(range(degree + 1), repeat=inputs) if sum(index) == degree]
    return sorted(found, reverse=True)


def _unit(inputs: int, i: int) -> Index:
    return tuple(int(j == i) for j in range(inputs))
