"""Truncated power series whose coefficients are intervals of mpmath, about the centre of a box and over the box."""

import math
from collections.abc import Callable
from functools import reduce
from itertools import product
from typing import Any

import mpmath

iv: Any = mpmath.iv
mp: Any = mpmath.mp

Index = tuple[int, ...]
Coefficients = dict[Index, Any]


class Space:
    """Series about the centre of a box, up to a degree.

    Args:
        box: the two ends of each input; equal where it has one value.
        degree: that of the coefficients over the box; those at the centre end one below.
    """

    def __init__(self, box: list[tuple[float, float]], degree: int) -> None:
        self.inputs, self.degree, self.box = len(box), degree, box
        self.centre = [iv.mpf((a + b) / 2) for a, b in box]
        self.reach = [iv.mpf([a, b]) - c for (a, b), c in zip(box, self.centre, strict=True)]
        self.zero: Index = (0,) * self.inputs
        self.indices = [i for i in product(range(degree + 1), repeat=self.inputs) if sum(i) <= degree]
        self._moves = {index: self._move(index) for index in self.indices}

    def _move(self, index: Index) -> list[tuple[Index, Any]]:
        """By which coefficients a coefficient elsewhere in the box differs from that at the centre, and its share."""
        found = []
        for beta in self.indices:
            target = tuple(k + n for k, n in zip(index, beta, strict=True))
            if sum(beta) and sum(target) <= self.degree:
                count = math.prod(math.comb(t, k) for t, k in zip(target, index, strict=True))
                powers = [r**n for r, n in zip(self.reach, beta, strict=True) if n]
                found.append((target, reduce(lambda a, b: a * b, powers, iv.mpf(count))))
        return found

    def number(self, value: Any) -> "Taylor":
        """A constant."""
        return Taylor(self, {self.zero: iv.mpf(value)}, {self.zero: iv.mpf(value)})

    def variable(self, i: int) -> "Taylor":
        """The input itself."""
        unit = tuple(int(i == j) for j in range(self.inputs))
        over = {self.zero: iv.mpf(list(self.box[i])), unit: iv.mpf(1)}
        near = {self.zero: self.centre[i], unit: iv.mpf(1)}
        return Taylor(self, _below(near, self.degree - 1), _below(over, self.degree))

    def near_to_over(self, series: "Taylor", index: Index) -> Any:
        """A coefficient over the box by Taylor's theorem from the centre."""
        total = series.near.get(index, iv.mpf(0))
        for target, share in self._moves[index]:
            source = series.over if sum(target) == self.degree else series.near
            if target in source:
                total = total + source[target] * share
        return total


class Taylor:
    """A series: its coefficients at the centre, and their ranges over the box."""

    __slots__ = ("near", "over", "space")

    def __init__(self, space: Space, near: Coefficients, over: Coefficients) -> None:
        self.space, self.near, self.over = space, near, over

    def __add__(self, other: "Taylor") -> "Taylor":
        return Taylor(self.space, _sum(self.near, other.near), _sum(self.over, other.over))

    def __neg__(self) -> "Taylor":
        return self.scaled(iv.mpf(-1))

    def __sub__(self, other: "Taylor") -> "Taylor":
        return self + -other

    def __mul__(self, other: "Taylor") -> "Taylor":
        degree = self.space.degree
        return Taylor(self.space, _product(self.near, other.near, degree - 1), _product(self.over, other.over, degree))

    def scaled(self, factor: Any) -> "Taylor":
        """Times a number."""
        return Taylor(self.space, *({i: c * factor for i, c in part.items()} for part in (self.near, self.over)))

    def apply(self, function: Callable[[Any, int], list[Any]]) -> "Taylor":
        """The function of it, from f, f', f''/2, ... at or over a number."""
        tight, degree = self.tightened(), self.space.degree
        near = _composed(function, tight.near, degree - 1, self.space.zero)
        return Taylor(self.space, near, _composed(function, tight.over, degree, self.space.zero))

    def tightened(self) -> "Taylor":
        """The ranges cut down to what Taylor's theorem leaves of them."""
        over = {i: _common(self.over.get(i, iv.mpf(0)), self.space.near_to_over(self, i)) for i in self.space.indices}
        return Taylor(self.space, self.near, over)

    def derivative(self, by: Index, space: Space) -> "Taylor":
        """So often differentiated by each input, in the same box with fewer coefficients."""
        tight = self.tightened()
        parts = [
            {
                tuple(k - n for k, n in zip(index, by, strict=True)): value
                * math.prod(math.perm(k, n) for k, n in zip(index, by, strict=True))
                for index, value in part.items()
                if all(k >= n for k, n in zip(index, by, strict=True))
            }
            for part in (tight.near, tight.over)
        ]
        return Taylor(space, _below(parts[0], space.degree - 1), _below(parts[1], space.degree))

    @property
    def range(self) -> Any:
        """The value over the box."""
        return self.tightened().over[self.space.zero]


def lower_end(x: Any) -> float:
    """Of an interval; rounding it to float64 is far below the slack."""
    return float(mp.mpf(x.a))


def upper_end(x: Any) -> float:
    """The other end."""
    return float(mp.mpf(x.b))


def _below(series: Coefficients, degree: int) -> Coefficients:
    return {index: value for index, value in series.items() if sum(index) <= degree}


def _sum(a: Coefficients, b: Coefficients) -> Coefficients:
    total = dict(a)
    for index, value in b.items():
        total[index] = total[index] + value if index in total else value
    return total


def _product(a: Coefficients, b: Coefficients, degree: int) -> Coefficients:
    total: Coefficients = {}
    for i, x in a.items():
        room = degree - sum(i)
        for j, y in b.items():
            if sum(j) <= room:
                index = tuple(m + n for m, n in zip(i, j, strict=True))
                total[index] = total[index] + x * y if index in total else x * y
    return total


def _composed(function: Callable[[Any, int], list[Any]], inner: Coefficients, degree: int, zero: Index) -> Coefficients:
    if degree < 0:
        return {}
    moving = {index: value for index, value in inner.items() if sum(index)}
    outer = function(inner.get(zero, iv.mpf(0)), degree + 1)
    total, power = {zero: outer[0]}, {zero: iv.mpf(1)}
    for coefficient in outer[1:]:
        power = _product(power, moving, degree)
        total = _sum(total, {index: coefficient * value for index, value in power.items()})
    return total


def _common(a: Any, b: Any) -> Any:
    """What two intervals that hold the same numbers have in common; of one that is not a number the other."""
    low, high = max(a.a, b.a), min(a.b, b.b)
    return iv.mpf([low, high]) if low <= high else b if a.a != a.a else a
