"""The logistic function, and the activations made of it: SiLU and softplus. Tanh is 2 σ(2 x) - 1."""

import math
from fractions import Fraction
from functools import cache

import numpy as np

from sobolev.certify import double_double, precise
from sobolev.certify.balls import Array, Ball, U, add, exact, multiply, outward
from sobolev.certify.double_double import Pair
from sobolev.certify.elementary import exp, log
from sobolev.certify.functions.polynomials import Polynomial, derivative, floats, horner, size, slope, times
from sobolev.certify.functions.univariate import Table, Tails

_ONE_MINUS_SQUARE = (Fraction(1), Fraction(0), Fraction(-1))
_UNBOUNDED: Tails = ((-math.inf, math.inf), (-math.inf, math.inf))


class Logistic(Table):
    """σ(x) = 1 / (1 + e^-x), in t = tanh(x/2): σ^(j) / j! = (1 - t²) q_j(t) with polynomials q_j of degree j - 1.

    From dt/dx = (1 - t²)/2 follow q_1 = 1/4 and q_(j+1) = ((1 - t²) q_j)' / (2 (j + 1)).
    """

    def coefficients(self, x: Array, count: int) -> Ball:
        """With e = e^-|x|: t = ±(1 - e)/(1 + e) is off by at most 12 U, 1 - t² = 4 e/(1 + e)² by 20 U of itself."""
        e = exp(-np.abs(x)).mid
        t = np.copysign((1 - e) / (1 + e), x)
        weight = 4 * e / ((1 + e) * (1 + e))
        value = np.where(x >= 0, 1.0, e) / (1 + e)
        mids, rads = [value], [outward(value * (16 * U))]
        for j in range(1, count):
            off = 12 * slope(_logistic(j)) + (2 * j + 24) * size(_logistic(j))
            mids.append(weight * horner(floats(_logistic(j)), t))
            rads.append(outward(weight * (off * U)))
        known = np.where(np.isnan(x), np.inf, 0.0)
        return Ball(np.stack(mids), np.stack(rads) + known)

    def precise(self, x: Array, count: int) -> Pair:
        """With t = σ(x) - σ(-x) and 1 - t² = 4 σ(x) σ(-x)."""
        value, other = precise.logistic(x)
        t = double_double.add(value, double_double.negative(other))
        weight = double_double.multiply(double_double.multiply(value, other), double_double.exact_pair(4.0))
        rest = [double_double.multiply(weight, double_double.polynomial(_logistic(j), t)) for j in range(1, count)]
        return double_double.stacked([value, *rest])

    def bound(self, near: Array, far: Array, j: int) -> Array:  # noqa: ARG002
        """(1 - t²) at the near end, times the sum of the magnitudes of the coefficients."""
        return 4 * exp(-near).magnitude * (size(_logistic(j)) * 1.001)

    def tail(self, j: int) -> Tails:
        """Near 0 and 1, or 0."""
        least = 4.1 * float(exp(np.array(-self.end)).magnitude) * (size(_logistic(j)) if j else 1)
        return ((-least, least), (-least, least)) if j else ((0.0, least), (1 - least, 1.0))


class SiLU(Table):
    """x σ(x): its scaled derivatives are x σ_j + σ_(j-1)."""

    def coefficients(self, x: Array, count: int) -> Ball:
        """From those of σ."""
        s = LOGISTIC.coefficients(x, count)
        product = multiply(exact(x), s)
        shifted = Ball(np.concatenate([0 * s.mid[:1], s.mid[:-1]]), np.concatenate([0 * s.rad[:1], s.rad[:-1]]))
        return add(product, shifted)

    def precise(self, x: Array, count: int) -> Pair:
        """From those of σ."""
        s = LOGISTIC.precise(x, count)
        scaled = [double_double.multiply(double_double.exact_pair(x), s[j]) for j in range(count)]
        return double_double.stacked([scaled[0], *(double_double.add(scaled[j], s[j - 1]) for j in range(1, count))])

    def bound(self, near: Array, far: Array, j: int) -> Array:
        """From those of σ."""
        return (far * LOGISTIC.bound(near, far, j) + LOGISTIC.bound(near, far, j - 1)) * 1.001

    def tail(self, j: int) -> Tails:
        """In the tails x e^-x falls beyond 1."""
        if j == 0:
            return _UNBOUNDED
        least = (
            4.2
            * float(exp(np.array(-self.end)).magnitude)
            * (self.end * size(_logistic(j)) + (size(_logistic(j - 1)) if j > 1 else 1))
        )
        return ((-least, least), (1 - least, 1 + least)) if j == 1 else ((-least, least), (-least, least))


class Softplus(Table):
    """log(1 + e^x): its derivatives are those of σ."""

    def coefficients(self, x: Array, count: int) -> Ball:
        """The value is max(x, 0) + log(1 + e^-|x|)."""
        e = exp(-np.abs(x))
        sum_ = add(exact(np.ones_like(x)), e)
        logarithm = log(sum_.mid)
        value = add(exact(np.maximum(x, 0)), Ball(logarithm.mid, outward(logarithm.rad + 1.01 * sum_.rad)))
        if count == 1:
            return value[None]
        s = LOGISTIC.coefficients(x, count - 1)
        mids = [value.mid, *(s.mid[j] / (j + 1) for j in range(count - 1))]
        rads = [value.rad, *(outward(s.rad[j] / (j + 1) + U * np.abs(mids[j + 1])) for j in range(count - 1))]
        return Ball(np.stack(mids), np.stack(rads))

    def precise(self, x: Array, count: int) -> Pair:
        """From those of σ."""
        s = LOGISTIC.precise(x, count - 1)
        rest = [double_double.multiply(s[j], double_double.rational_pair(Fraction(1, j + 1))) for j in range(count - 1)]
        return double_double.stacked([precise.softplus(x), *rest])

    def bound(self, near: Array, far: Array, j: int) -> Array:
        """σ_(j-1) / j; σ' is at most 1/4."""
        return LOGISTIC.bound(near, far, j - 1) / j * 1.001

    def tail(self, j: int) -> Tails:
        """Those of σ."""
        if j == 0:
            return _UNBOUNDED
        below, above = LOGISTIC.tail(j - 1)
        return (below, above) if j == 1 else ((below[0], below[1]), (above[0], above[1]))


@cache
def _logistic(j: int) -> Polynomial:
    """q_j."""
    if j == 1:
        return (Fraction(1, 4),)
    return tuple(c / (2 * j) for c in derivative(times(_ONE_MINUS_SQUARE, _logistic(j - 1))))


LOGISTIC = Logistic()
