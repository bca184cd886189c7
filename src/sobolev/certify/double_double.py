"""Numbers of twice the precision, with error bounds: unevaluated sums of two float64 and a radius.

Sums and products without error after Knuth and Dekker (Shewchuk 1997); the errors of operations on pairs are bounded
in Joldes, Muller & Popescu, "Tight and rigorous error bounds for basic building blocks of double-word arithmetic"
(2017), those of scalar products in Ogita, Rump & Oishi, "Accurate sum and dot product" (2005). The bounds used here are
several times larger.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from sobolev.certify.balls import TINY, Array, Ball, U, outward

_SPLITTER = 2.0**27 + 1
_OFF = 32 * U * U
"""At least the relative error of a sum or a product of pairs."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The numbers within `rad` of high + low."""

    high: Array
    low: Array
    rad: Array

    def __getitem__(self, index: Any) -> "Pair":
        return Pair(*(part[index] for part in self))

    def __iter__(self) -> Iterator[Array]:
        """The three parts."""
        return iter((self.high, self.low, self.rad))

    @property
    def ball(self) -> Ball:
        """The same as a ball."""
        mid = self.high + self.low
        return Ball(mid, outward(self.rad + U * np.abs(mid)))


def exact_pair(values: Array | float) -> Pair:
    """Numbers that float64 holds."""
    high = np.asarray(values, dtype=np.float64)
    return Pair(high, np.zeros_like(high), np.zeros_like(high))


def rational_pair(number: Fraction) -> Pair:
    """A fraction; what two float64 leave of it is below U² of it."""
    high = number.numerator / number.denominator
    low = float(number - Fraction(high))
    left = abs(float(number - Fraction(high) - Fraction(low)))
    return Pair(np.array(high), np.array(low), np.array(left * 1.001 + (TINY if left else 0.0)))


def add(a: Pair, b: Pair) -> Pair:
    """The sum."""
    high, off = _two_sum(a.high, b.high)
    low, more = _two_sum(a.low, b.low)
    high, off = _quick_two_sum(high, off + low)
    high, low = _quick_two_sum(high, off + more)
    return Pair(high, low, outward(a.rad + b.rad + _OFF * np.abs(high)))


def negative(a: Pair) -> Pair:
    """The negative."""
    return Pair(-a.high, -a.low, a.rad)


def multiply(a: Pair, b: Pair) -> Pair:
    """The product."""
    high, off = _two_product(a.high, b.high)
    high, low = _quick_two_sum(high, off + (a.high * b.low + a.low * b.high))
    size, other = np.abs(a.high) * (1 + 4 * U), np.abs(b.high) * (1 + 4 * U)
    rad = size * b.rad + a.rad * (other + b.rad) + _OFF * np.abs(high)
    return Pair(high, low, outward(rad))


def reciprocal(a: Pair) -> Pair:
    """1 / a by a step of Newton's: |1/a - y| <= |y| d / (1 - d) with d = |1 - a y|."""
    first = exact_pair(1 / a.high)
    one = exact_pair(1.0)
    y = add(first, multiply(first, add(one, negative(multiply(a, first)))))
    y = Pair(y.high, y.low, np.zeros_like(y.high))
    left = add(one, negative(multiply(a, y)))
    off = (np.abs(left.high) + np.abs(left.low) + left.rad) * 1.0001
    rad = np.where(off < 0.5, np.abs(y.high) * (1 + 4 * U) * off * 2, np.inf)
    return Pair(y.high, y.low, outward(rad))


def polynomial(coefficients: Sequence[Fraction], x: Pair) -> Pair:
    """The value, by Horner's scheme; constant coefficient first."""
    total = rational_pair(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = add(multiply(total, x), rational_pair(coefficient))
    return total


def times_matrix(a: Pair, matrix: Array) -> Pair:
    """`a @ matrix` over the last axis: products and running sums without error, what they leave summed in float64."""
    terms = matrix.shape[0]
    shape = (*a.high.shape[:-1], matrix.shape[1])
    high, low, size = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    rad = a.rad @ np.abs(matrix)
    for k in range(terms):
        weight, value = matrix[k], a.high[..., k, None]
        product, off = _two_product(value, weight)
        high, more = _two_sum(high, product)
        low += off + more + a.low[..., k, None] * weight
        size += np.abs(product)
    high, low = _two_sum(high, low)
    off = (4 * (terms + 8) * U) ** 2
    return Pair(high, low, outward(rad * (1 + 4 * (terms + 8) * U) + off * size + TINY * terms))


def stacked(pairs: Sequence[Pair]) -> Pair:
    """Along a new first axis."""
    return Pair(*(np.stack(np.broadcast_arrays(*parts)) for parts in zip(*pairs, strict=True)))


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)


def _quick_two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """For |a| >= |b|, or a = 0."""
    total = a + b
    return total, b - (total - a)


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    product = a * b
    (a, a_low), (b, b_low) = _split(a), _split(b)
    return product, a_low * b_low - (((product - a * b) - a_low * b) - a * b_low)


def _split(a: Array) -> tuple[Array, Array]:
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high
