"""The arctangent."""

from fractions import Fraction
from functools import reduce

import numpy as np

from sobolev.certify import pairs, precise
from sobolev.certify.balls import (
    Array,
    Ball,
    add,
    between,
    divide,
    ends,
    exact,
    multiply,
    negative,
    outward,
    reciprocal,
    scaled,
    stack,
)
from sobolev.certify.elementary import sine_cosine
from sobolev.certify.functions.univariate import Univariate
from sobolev.certify.pairs import Pair


class Arctangent(Univariate):
    """atan x: its derivative 1 / (1 + x²) is Im w with w = 1 / (x - i), and so f^(j) / j! = (-1)^(j-1) Im(w^j) / j."""

    def coefficients(self, x: Array, count: int) -> Ball:
        """Powers of the complex number w = (x + i) / (1 + x²)."""
        square = reciprocal(add(multiply(exact(x), exact(x)), exact(1.0)))
        real, imaginary = multiply(exact(x), square), square
        balls, power = [_arctangent(x)], (real, imaginary)
        for j in range(1, count):
            balls.append(scaled(power[1], (-1) ** (j - 1) / j))
            a, b = power
            power = (
                add(multiply(a, real), negative(multiply(b, imaginary))),
                add(multiply(a, imaginary), multiply(b, real)),
            )
        return stack([Ball(ball.mid, np.where(np.abs(x) < _FAR, ball.rad, np.inf)) for ball in balls])

    def precise(self, x: Array, count: int) -> Pair:
        """The same in twice the precision."""
        at, one = pairs.exact_pair(x), pairs.exact_pair(1.0)
        square = pairs.reciprocal(pairs.add(pairs.multiply(at, at), one))
        real, imaginary = pairs.multiply(at, square), square
        found, power = [_precise_arctangent(x)], (real, imaginary)
        for j in range(1, count):
            found.append(pairs.multiply(power[1], pairs.rational_pair(Fraction((-1) ** (j - 1), j))))
            a, b = power
            power = (
                pairs.add(pairs.multiply(a, real), pairs.negative(pairs.multiply(b, imaginary))),
                pairs.add(pairs.multiply(a, imaginary), pairs.multiply(b, real)),
            )
        return pairs.stacked(found)

    def hull(self, low: Array, high: Array, count: int) -> Ball:
        """It rises; |w|^j is largest where |x| is least."""
        near = np.maximum(np.maximum(low, -high), 0.0)
        size = np.nextafter(np.sqrt(reciprocal(add(multiply(exact(near), exact(near)), exact(1.0))).magnitude), np.inf)
        size = np.where(low <= high, size, np.inf)
        balls = [between(ends(_arctangent(low))[0], ends(_arctangent(high))[1])]
        powers = (reduce(np.multiply, [size] * j) for j in range(1, count))
        balls += [Ball(np.zeros_like(low), outward(power / j)) for j, power in enumerate(powers, 1)]
        return stack(balls)


_FAR = 1e150
"""x² overflows soon beyond."""


def _arctangent(x: Array) -> Ball:
    """For a guess y, atan x = y + atan d with d = (x cos y - sin y) / (cos y + x sin y), and |atan d - d| <= |d|³."""
    guess = np.arctan(x)
    sine, cosine = sine_cosine(guess)
    at = exact(x)
    d = divide(add(multiply(at, cosine), negative(sine)), add(cosine, multiply(at, sine)))
    off = d.magnitude
    return Ball(guess, np.where(off < 1e-3, outward(off + off**3), np.inf))


def _precise_arctangent(x: Array) -> Pair:
    guess, at = np.arctan(x), pairs.exact_pair(x)
    sine, cosine = precise.sine_cosine(guess)
    below = pairs.reciprocal(pairs.add(cosine, pairs.multiply(at, sine)))
    d = pairs.multiply(pairs.add(pairs.multiply(at, cosine), pairs.negative(sine)), below)
    off = d.ball.magnitude
    value = pairs.add(pairs.exact_pair(guess), d)
    return Pair(value.high, value.low, np.where(off < 1e-3, outward(value.rad + off**3), np.inf))
