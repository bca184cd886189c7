"""Balls: arrays of float64 midpoints with radii that cover the truth, every rounding included.

Rounding to nearest in the standard model (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, chapters 2
and 3): an operation is off by at most U times its result, or by less than TINY where it underflows; a sum of n
products in any order by at most γ_n = n U / (1 - n U) times the sum of their magnitudes. Nothing else is assumed of
the processor, and no function of a library but + - * /, the square root and the product of matrices is trusted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray

U = 2.0**-53
TINY = 2.0**-1000
_SLACK = 1 + 2.0**-47
"""Covers the roundings of up to twenty operations on radii, each of which is off by at most U."""


@dataclass(frozen=True, slots=True)
class Ball:
    """The numbers within `rad` of `mid`, elementwise. A NaN or an infinite radius says nothing, and proves nothing."""

    mid: Array
    rad: Array

    @property
    def magnitude(self) -> Array:
        """An upper bound of the absolute values."""
        return (np.abs(self.mid) + self.rad) * _SLACK

    def __getitem__(self, index: Any) -> "Ball":
        return Ball(self.mid[index], self.rad[index])

    def __iter__(self) -> Iterator[Array]:
        """Midpoints, radii."""
        return iter((self.mid, self.rad))


def outward(rad: Array) -> Array:
    """A computed radius, enlarged by its own roundings; in place."""
    rad *= _SLACK
    rad += TINY
    return rad


def exact(values: Array | float) -> Ball:
    """Numbers that float64 holds."""
    mid = np.asarray(values, dtype=np.float64)
    return Ball(mid, np.zeros_like(mid))


def rounded(values: Array | float) -> Ball:
    """Numbers of which float64 holds the nearest."""
    mid = np.asarray(values, dtype=np.float64)
    return Ball(mid, outward(np.abs(mid) * U))


def stack(balls: Sequence[Ball]) -> Ball:
    """Along a new first axis."""
    return Ball(np.stack([ball.mid for ball in balls]), np.stack([ball.rad for ball in balls]))


def negative(a: Ball) -> Ball:
    """The negative."""
    return Ball(-a.mid, a.rad)


def add(a: Ball, b: Ball) -> Ball:
    """The sum."""
    mid = a.mid + b.mid
    return Ball(mid, outward(a.rad + b.rad + U * np.abs(mid)))


def multiply(a: Ball, b: Ball) -> Ball:
    """The product."""
    mid = a.mid * b.mid
    rad = np.abs(a.mid) * b.rad + a.rad * (np.abs(b.mid) + b.rad) + U * np.abs(mid)
    return Ball(mid, outward(rad))


def scaled(a: Ball, factor: float) -> Ball:
    """Times a number of which float64 holds the nearest."""
    mid = a.mid * factor
    return Ball(mid, outward(a.rad * abs(factor) + 2 * U * np.abs(mid)))


def reciprocal(a: Ball) -> Ball:
    """1 / a; says nothing where a may be zero."""
    size = np.abs(a.mid)
    least = size - a.rad
    least -= 2 * U * size
    mid = 1 / a.mid
    rad = a.rad / (size * least) + U * np.abs(mid)
    return Ball(mid, outward(np.where(least > 0, rad, np.inf)))


def divide(a: Ball, b: Ball) -> Ball:
    """The quotient; says nothing where b may be zero."""
    return multiply(a, reciprocal(b))


def ends(a: Ball) -> tuple[Array, Array]:
    """The lower and the upper end, rounded outward."""
    return np.nextafter(a.mid - a.rad, -np.inf), np.nextafter(a.mid + a.rad, np.inf)


def between(low: Array, high: Array) -> Ball:
    """The ball with these ends."""
    mid = 0.5 * low + 0.5 * high
    return Ball(mid, np.nextafter(np.maximum(high - mid, mid - low), np.inf))


def smaller(a: Ball, b: Ball) -> Ball:
    """Of two balls that hold the same number, the smaller one; that without NaN."""
    better = (a.rad <= b.rad) | np.isnan(b.rad)
    return Ball(np.where(better, a.mid, b.mid), np.where(better, a.rad, b.rad))


def common(a: Ball, b: Ball) -> Ball:
    """What two balls that hold the same number have in common, or the smaller one."""
    (low, high), (other_low, other_high) = ends(a), ends(b)
    both = between(np.maximum(low, other_low), np.minimum(high, other_high))
    return smaller(both, smaller(a, b))


def growth(terms: int) -> float:
    """At least γ_n of a sum of `terms` products, the rounding of a bound of it included."""
    return (terms + 8) * 2.0**-52


def product(matrix: Array, a: Ball) -> Ball:
    """`matrix @ a` for a matrix (m, n) that is known exactly and balls (n, columns)."""
    g = growth(matrix.shape[-1])
    size = np.abs(matrix)
    rad = size @ (a.rad + g * np.abs(a.mid))
    rad *= 1 + 2 * g
    return Ball(matrix @ a.mid, outward(rad + TINY * matrix.shape[-1]))
