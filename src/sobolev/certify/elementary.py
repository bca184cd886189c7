"""Elementary functions at points of float64, as balls: from + - * / alone, so that the bounds hold on every machine.

Each bound is derived where it stands. Arguments are exact; `numpy.log` only makes a guess that is verified.
"""

import math
from fractions import Fraction

import numpy as np

from sobolev.certify.balls import Array, Ball, U, add, multiply, outward, rounded

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts, the first with 32 bits, so that its products with whole numbers below 2^21 are exact."""
_HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)
"""π/2 in three parts of 33, 33 and 53 bits; what they leave is below 2^-118."""
_EXP_MAX, _EXP_MIN = 709.7, -740.0
_TRIG_MAX = 1e5
PI = Ball(np.array(math.pi), np.array(1.3e-16))
E = Ball(np.array(math.e), np.array(2.3e-16))
INVERSE_ROOT_2PI = Ball(np.array(0.3989422804014327), np.array(5.6e-17))


def exp(x: Array) -> Ball:
    """e^x, relative radius 8 U.

    With k = round(x / ln 2), r = x - k ln 2 is off by at most 1.1 U and |r| < 0.35. Taylor's polynomial of degree 13
    leaves 0.35^14 / 14! < 0.05 U, and Horner's scheme adds at most 2.5 U to a sum that is at least 0.70.
    """
    inside = np.clip(x, _EXP_MIN, _EXP_MAX)
    k = np.rint(inside * (1 / math.log(2)))
    r = (inside - k * _LN2_HIGH) - k * _LN2_LOW
    mid = np.ldexp(_horner(r, _INVERSE_FACTORIALS[13::-1]), np.nan_to_num(k).astype(np.int32))
    rad = outward(mid * (8 * U))
    return Ball(np.where(x < _EXP_MIN, 0.0, mid), np.where(x <= _EXP_MAX, rad, np.inf))


def log(x: Array) -> Ball:
    """The natural logarithm; nothing for x <= 0.

    For a guess y, log x = y + log(x e^-y), and |log(1 + d) - d| <= d² for |d| < 0.1.
    """
    y = np.log(x)
    ratio = multiply(Ball(x, np.zeros_like(x)), exp(-y))
    off = np.abs(ratio.mid - 1) + ratio.rad
    rad = outward(off + off * off)
    return Ball(y, np.where((x > 0) & (off < 0.1), rad, np.inf))


def sine_cosine(x: Array) -> tuple[Ball, Ball]:
    """Sine and cosine, absolute radius 16 U; [-1, 1] beyond |x| = 1e5.

    With k = round(2 x / π), r = x - k π/2 is off by at most 4 U, and |r| < 0.79. Taylor's polynomials of degrees 17
    and 18 leave less than 1e-19, Horner's scheme adds at most 3 U.
    """
    inside = np.clip(x, -_TRIG_MAX, _TRIG_MAX)
    k = np.rint(inside * (2 / math.pi))
    r = inside
    for part in _HALF_PI:
        r = r - k * part
    square = r * r
    sine = r * _horner(square, _ALTERNATING[17:0:-2])
    cosine = _horner(square, _ALTERNATING[18::-2])
    quadrant = np.nan_to_num(k).astype(np.int64) % 4
    odd = quadrant % 2 == 1
    near = np.abs(x) <= _TRIG_MAX
    rad = np.where(near, 16 * U, np.where(np.isnan(x), np.inf, 1.0))
    sin = np.where(odd, cosine, sine) * np.where(quadrant >= 2, -1.0, 1.0)
    cos = np.where(odd, sine, cosine) * np.where((quadrant == 1) | (quadrant == 2), -1.0, 1.0)
    sin, cos = (np.where(np.abs(x) > _TRIG_MAX, 0.0, value) for value in (sin, cos))
    return Ball(sin, rad), Ball(cos, rad)


def normal_density(x: Array) -> Ball:
    """The density of the standard normal distribution, e^(-x²/2) / sqrt(2π)."""
    exponent = -0.5 * x * x
    power = exp(exponent)
    off = outward(np.abs(exponent) * (2 * U))  # of the exponent; e^off - 1 <= 2 off for off < 1
    power = Ball(power.mid, outward(power.rad + power.mid * 2 * np.where(off < 1, off, np.inf)))
    return multiply(power, INVERSE_ROOT_2PI)


def normal(x: Array) -> Ball:
    """The standard normal distribution function Φ.

    Φ(x) = 1/2 + density(x) (x + x³/3 + x⁵/(3·5) + ...), all terms of one sign (Abramowitz & Stegun 26.2.11); beyond
    |x| = 9 less than density(x)/|x| is missing from 0 or 1 (26.2.12).
    """
    inside = np.clip(x, -9.0, 9.0)
    square = inside * inside
    term, total, weighted = inside, inside, np.abs(inside)
    n, least = 0, 2 * float(np.nanmax(square, initial=0.0))
    while 2 * n < least or np.any(np.abs(term) > U / 8 * np.abs(total)):
        n += 1
        term = term * square / (2 * n + 1)
        total = total + term
        weighted = weighted + (n + 1) * np.abs(term)
    # term n has met 3 n roundings, the sum n; from here on each term is below half of the one before
    series = Ball(total, outward(4 * U * weighted + (n + 2) * U * np.abs(total) + 2 * np.abs(term)))
    value = add(multiply(series, normal_density(inside)), Ball(np.array(0.5), np.array(0.0)))
    far = np.abs(x) > 9
    return Ball(np.where(far, np.where(x > 0, 1.0, 0.0), value.mid), np.where(far, 2e-19, value.rad))


def square_root(x: Array) -> Ball:
    """√x, rounded once as IEEE 754 demands."""
    root = np.sqrt(x)
    return Ball(root, outward(U * root))


def rational(number: Fraction) -> Ball:
    """The ball of a fraction; Python rounds its quotient to nearest."""
    value = number.numerator / number.denominator
    return Ball(np.array(value), np.zeros(())) if Fraction(value) == number else rounded(value)


def _horner(x: Array, coefficients: tuple[float, ...]) -> Array:
    """The polynomial, highest coefficient first."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += coefficient
    return total


_INVERSE_FACTORIALS = tuple(1 / math.factorial(n) for n in range(20))
_ALTERNATING = tuple((-1) ** (n // 2) / math.factorial(n) for n in range(20))
