"""The logarithm, and powers with a fixed exponent."""

import math
from fractions import Fraction
from functools import reduce

import numpy as np

from sobolev.certify import double_double, precise
from sobolev.certify.balls import (
    Array,
    Ball,
    U,
    between,
    ends,
    exact,
    multiply,
    outward,
    reciprocal,
    scaled,
    smaller,
    stack,
)
from sobolev.certify.double_double import Pair
from sobolev.certify.elementary import exp, log, rational
from sobolev.certify.functions.univariate import Univariate


class Logarithm(Univariate):
    """The natural logarithm: log x, then (-1)^(j-1) x^-j / j."""

    def coefficients(self, x: Array, count: int) -> Ball:
        """Powers of 1/x."""
        balls = [log(x)]
        positive = Ball(x, np.where(x > 0, 0.0, np.inf))
        for j in range(1, count):
            balls.append(scaled(_power(positive, -j), (-1) ** (j - 1) / j))
        return stack(balls)

    def precise(self, x: Array, count: int) -> Pair:
        """The same in twice the precision."""
        inverse = double_double.reciprocal(double_double.exact_pair(x))
        known = Pair(inverse.high, inverse.low, np.where(x > 0, inverse.rad, np.inf))
        signs = [double_double.rational_pair(Fraction((-1) ** (j - 1), j)) for j in range(1, count)]
        rest = [double_double.multiply(_pair_power(known, j), sign) for j, sign in enumerate(signs, 1)]
        return double_double.stacked([precise.log(double_double.exact_pair(x)), *rest])

    def hull(self, low: Array, high: Array, count: int) -> Ball:
        """Each is monotone on the positive side."""
        return _monotone(self, low, high, count)


class Power(Univariate):
    """x^a for a fraction a: the binomial coefficients of a times x^(a - j); on x > 0 unless a is a whole number."""

    def __init__(self, exponent: Fraction) -> None:
        self.exponent = exponent

    def coefficients(self, x: Array, count: int) -> Ball:
        """Whole powers by multiplication, others by e^(a log x)."""
        return self._of(exact(x), count)

    def _of(self, x: Ball, count: int) -> Ball:
        a, balls = self.exponent, []
        for j in range(count):
            factor = rational(_binomial(a, j))
            balls.append(multiply(_power(x, a - j), factor) if factor.mid else Ball(0 * x.mid, 0 * x.mid))
        return stack(balls)

    def precise(self, x: Array, count: int) -> Pair | None:
        """Whole powers in twice the precision."""
        a, at = self.exponent, double_double.exact_pair(x)
        if a.denominator != 1:
            return None
        inverse = double_double.reciprocal(at) if a < count else at
        balls = []
        for j in range(count):
            power = _pair_power(at, int(a) - j) if a >= j else _pair_power(inverse, j - int(a))
            zero = double_double.exact_pair(0 * x)
            balls.append(
                double_double.multiply(power, double_double.rational_pair(_binomial(a, j))) if _binomial(a, j) else zero
            )
        return double_double.stacked(balls)

    def hull(self, low: Array, high: Array, count: int) -> Ball:
        """Monotone on either side of 0; across it whole powers take their values in between."""
        if self.exponent.denominator == 1 and self.exponent >= 0:
            return self._of(between(low, high), count)
        return _monotone(self, low, high, count)


def _monotone(f: Univariate, low: Array, high: Array, count: int) -> Ball:
    """The hull of the values at both ends, where 0 is not between them."""
    first, last = f.coefficients(low, count), f.coefficients(high, count)
    lows, highs = zip(ends(first), ends(last), strict=True)
    ball = between(np.minimum(*lows), np.maximum(*highs))
    return Ball(ball.mid, np.where(low * high > 0, ball.rad, np.inf))


def _power(x: Ball, exponent: Fraction | int) -> Ball:
    """A power of balls: whole ones by squaring, others through the logarithm."""
    exponent = Fraction(exponent)
    if exponent.denominator != 1:
        logarithm = log(x.mid)
        relative = outward(x.rad / np.maximum(x.mid - x.rad, 0) + logarithm.rad)
        return _exp_of(multiply(Ball(logarithm.mid, relative), rational(exponent)))
    n = abs(int(exponent))
    result, square = exact(np.ones_like(x.mid)), x
    while n:
        result = multiply(result, square) if n & 1 else result
        n >>= 1
        square = _square(square) if n else square
    if exponent < 0:
        return reciprocal(result)
    return result


def _pair_power(x: Pair, n: int) -> Pair:
    return reduce(double_double.multiply, [x] * n, double_double.exact_pair(np.ones_like(x.high)))


def _square(x: Ball) -> Ball:
    """x² of balls, never below 0."""
    low, high = ends(x)
    least = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
    most = np.maximum(np.abs(low), np.abs(high))
    return smaller(multiply(x, x), between(least * least * (1 - 4 * U), most * most * (1 + 4 * U)))


def _exp_of(x: Ball) -> Ball:
    """e^x of balls: e^r - 1 <= 2 r for r < 1."""
    value = exp(x.mid)
    growth = np.where(x.rad < 1, 2 * x.rad, np.inf)
    return Ball(value.mid, outward(value.rad + (value.mid + value.rad) * growth))


def _binomial(a: Fraction, j: int) -> Fraction:
    return math.prod((a - i for i in range(j)), start=Fraction(1)) / math.factorial(j)
