"""The exponential function, sine and cosine."""

import math
from fractions import Fraction

import numpy as np

from sobolev.certify import double_double, precise
from sobolev.certify.balls import Array, Ball, between, ends, negative, outward, scaled, smaller, stack
from sobolev.certify.double_double import Pair
from sobolev.certify.elementary import exp, sine_cosine
from sobolev.certify.functions.univariate import Univariate


class Trigonometric(Univariate):
    """sin(x + shift π/2)."""

    def __init__(self, shift: int) -> None:
        self.shift = shift

    def coefficients(self, x: Array, count: int) -> Ball:
        """sin, cos, -sin, -cos, ... over j!."""
        sine, cosine = sine_cosine(x)
        cycle = [sine, cosine, negative(sine), negative(cosine)]
        return stack([scaled(cycle[(j + self.shift) % 4], 1 / math.factorial(j)) for j in range(count)])

    def precise(self, x: Array, count: int) -> Pair:
        """The same in twice the precision."""
        sine, cosine = precise.sine_cosine(x)
        cycle = [sine, cosine, double_double.negative(sine), double_double.negative(cosine)]
        return _over_factorials([cycle[(j + self.shift) % 4] for j in range(count)])

    def hull(self, low: Array, high: Array, count: int) -> Ball:
        """From the middle, with slopes up to 1; never outside ±1."""
        m = between(low, high)
        sine, cosine = sine_cosine(m.mid)
        cycle = [sine, cosine, negative(sine), negative(cosine)]
        unit = Ball(np.zeros_like(m.mid), np.where(np.isnan(m.mid), np.inf, 1.0))
        balls = []
        for j in range(count):
            value, slope = cycle[(j + self.shift) % 4], cycle[(j + self.shift + 1) % 4]
            spread = m.rad * (np.abs(slope.mid) + slope.rad + 0.5 * m.rad)
            balls.append(scaled(smaller(Ball(value.mid, outward(value.rad + spread)), unit), 1 / math.factorial(j)))
        return stack(balls)


class Exponential(Univariate):
    """e^x."""

    def coefficients(self, x: Array, count: int) -> Ball:
        """e^x / j!."""
        value = exp(x)
        return stack([scaled(value, 1 / math.factorial(j)) for j in range(count)])

    def precise(self, x: Array, count: int) -> Pair:
        """The same in twice the precision."""
        return _over_factorials([precise.exp(x)] * count)

    def hull(self, low: Array, high: Array, count: int) -> Ball:
        """It rises."""
        value = between(ends(exp(low))[0], ends(exp(high))[1])
        return stack([scaled(value, 1 / math.factorial(j)) for j in range(count)])


def _over_factorials(values: list[Pair]) -> Pair:
    factors = [double_double.rational_pair(Fraction(1, math.factorial(j))) for j in range(len(values))]
    return double_double.stacked([double_double.multiply(*pair) for pair in zip(values, factors, strict=True)])
