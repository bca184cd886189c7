"""The arctangent."""

from fractions import Fraction
from functools import reduce

import numpy as np

from sobolev.certify import double_double, precise
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
from sobolev.certify.double_double import Pair
from sobolev.certify.elementary import sine_cosine
from sobolev.certify.functions.univariate import Univariate


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
        at, one = double_double.exact_pair(x), double_double.exact_pair(1.0)
        square = double_double.reciprocal(double_double.add(double_double.multiply(at, at), one))
        real, imaginary = double_double.multiply(at, square), square
        found, power = [_precise_arctangent(x)], (real, imaginary)
        for j in range(1, count):
            found.append(double_double.multiply(power[1], double_double.rational_pair(Fraction((-1) ** (j - 1), j))))
            a, b = power
            power = (
                double_double.add(
                    double_double.multiply(a, real), double_double.negative(double_double.multiply(b, imaginary))
                ),
                double_double.add(double_double.multiply(a, imaginary), double_double.multiply(b, real)),
            )
        return double_double.stacked(found)

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
    guess, at = np.arctan(x), double_double.exact_pair(x)
    sine, cosine = precise.sine_cosine(guess)
    below = double_double.reciprocal(double_double.add(cosine, double_double.multiply(at, sine)))
    d = double_double.multiply(
        double_double.add(double_double.multiply(at, cosine), double_double.negative(sine)), below
    )
    off = d.ball.magnitude
    value = double_double.add(double_double.exact_pair(guess), d)
    return Pair(value.high, value.low, np.where(off < 1e-3, outward(value.rad + off**3), np.inf))
