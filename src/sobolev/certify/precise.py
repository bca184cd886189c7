"""Elementary functions at points of float64, in twice the precision; as far as the activations need them."""

import math
from fractions import Fraction
from functools import cache

import numpy as np

from sobolev.certify import elementary
from sobolev.certify.balls import Array, U, outward
from sobolev.certify.double_double import (
    Pair,
    add,
    exact_pair,
    multiply,
    negative,
    polynomial,
    rational_pair,
    reciprocal,
)

_DIGITS = 60


def exp(x: Array) -> Pair:
    """e^x for |x| < 700: with r = (x - k ln 2) / 16 below 0.022, Taylor's polynomial of degree 14 leaves 1e-37."""
    inside = np.clip(x, -700.0, 700.0)
    k = np.rint(inside * (1 / math.log(2)))
    r = exact_pair(inside)
    for part in _log_2():
        r = add(r, multiply(exact_pair(-k), exact_pair(part)))
    r = Pair(r.high, r.low, outward(r.rad + np.abs(k) * 2.0**-150))
    r = Pair(r.high / 16, r.low / 16, r.rad / 16)
    y = polynomial([Fraction(1, math.factorial(n)) for n in range(15)], r)
    y = Pair(y.high, y.low, outward(y.rad + 1e-36))
    for _ in range(4):
        y = multiply(y, y)
    power = np.nan_to_num(k).astype(np.int32)
    high, low, rad = (np.ldexp(part, power) for part in y)
    return Pair(high, low, np.where(np.abs(x) <= 700, outward(rad), np.inf))


def log(x: Pair) -> Pair:
    """The natural logarithm, from y in float64.

    What is left is log(1 + d) with d = x e^-y - 1, and |log(1 + d) - d + d²/2| <= |d|³.
    """
    y = elementary.log(x.high).mid
    d = add(multiply(x, exp(-y)), exact_pair(-1.0))
    square = multiply(d, d)
    half = Pair(square.high / -2, square.low / -2, square.rad / 2)
    total = add(exact_pair(y), add(d, half))
    size = np.abs(d.high) + d.rad
    return Pair(total.high, total.low, np.where(size < 1e-3, outward(total.rad + 1.1 * size**3), np.inf))


def logistic(x: Array) -> tuple[Pair, Pair]:
    """σ(x) and 1 - σ(x), neither by a difference."""
    e = exp(-np.abs(x))
    inverse = reciprocal(add(e, exact_pair(1.0)))
    other = multiply(e, inverse)
    return _chosen(x >= 0, inverse, other), _chosen(x >= 0, other, inverse)


def softplus(x: Array) -> Pair:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    return add(exact_pair(np.maximum(x, 0)), log(add(exp(-np.abs(x)), exact_pair(1.0))))


def sine_cosine(x: Array) -> tuple[Pair, Pair]:
    """Both for |x| < 1e5: with r = x - k π/2 below 0.79, Taylor's polynomials of degree 29 and 30 leave 1e-36."""
    inside = np.clip(x, -1e5, 1e5)
    k = np.rint(inside * (2 / math.pi))
    r = exact_pair(inside)
    for part in _half_pi():
        r = add(r, multiply(exact_pair(-k), exact_pair(part)))
    r = Pair(r.high, r.low, outward(r.rad + np.abs(k) * 2.0**-150))
    square = multiply(r, r)
    signs = [Fraction((-1) ** n) for n in range(16)]
    sine = multiply(r, polynomial([s / math.factorial(2 * n + 1) for n, s in enumerate(signs[:15])], square))
    cosine = polynomial([s / math.factorial(2 * n) for n, s in enumerate(signs)], square)
    sine, cosine = (Pair(p.high, p.low, outward(p.rad + 1e-34)) for p in (sine, cosine))
    quadrant = np.nan_to_num(k).astype(np.int64) % 4
    odd = quadrant % 2 == 1
    near = np.where(np.abs(x) <= 1e5, 0.0, np.inf)
    sin = _signed(_chosen(odd, cosine, sine), quadrant >= 2, near)
    return sin, _signed(_chosen(odd, sine, cosine), (quadrant == 1) | (quadrant == 2), near)


def normal_density(x: Array) -> Pair:
    """e^(-x²/2) / sqrt(2π); the exponent in two parts, e^low = 1 + low + low²/2 + less than |low|³."""
    square = multiply(exact_pair(x), exact_pair(x))
    low = exact_pair(-square.low / 2)
    bend = multiply(low, low)
    correction = add(exact_pair(1.0), add(low, Pair(bend.high / 2, bend.low / 2, bend.rad / 2)))
    size = np.abs(low.high) + square.rad
    correction = Pair(correction.high, correction.low, outward(correction.rad + size**3 + square.rad))
    return multiply(multiply(exp(-square.high / 2), correction), _inverse_root_2pi())


def normal(x: Array) -> Pair:
    """Φ(x) by the series of `elementary.normal`, for |x| <= 9."""
    inside = np.clip(x, -9.0, 9.0)
    square = multiply(exact_pair(inside), exact_pair(inside))
    term = total = exact_pair(inside)
    n, least = 0, 2 * float(np.nanmax(square.high, initial=0.0))
    while 2 * n < least or np.any(np.abs(term.high) > U * U / 8 * np.abs(total.high)):
        n += 1
        term = multiply(multiply(term, square), rational_pair(Fraction(1, 2 * n + 1)))
        total = add(total, term)
    total = Pair(total.high, total.low, outward(total.rad + 2 * np.abs(term.high)))
    value = add(multiply(total, normal_density(inside)), exact_pair(0.5))
    far = np.abs(x) > 9
    high = np.where(far, np.where(x > 0, 1.0, 0.0), value.high)
    return Pair(high, np.where(far, 0.0, value.low), np.where(far, 2e-19, value.rad))


def _chosen(first: Array, a: Pair, b: Pair) -> Pair:
    return Pair(*(np.where(first, *parts) for parts in zip(a, b, strict=True)))


def _signed(a: Pair, minus: Array, more: Array) -> Pair:
    b = negative(a)
    return Pair(np.where(minus, b.high, a.high), np.where(minus, b.low, a.low), a.rad + more)


@cache
def _log_2() -> tuple[float, float, float, float]:
    return _parts("log(2)", 32)


@cache
def _half_pi() -> tuple[float, float, float, float]:
    return _parts("pi/2", 33)


@cache
def _inverse_root_2pi() -> Pair:
    high, low, *_ = _parts("1/sqrt(2*pi)", 53)
    return Pair(np.array(high), np.array(low), np.array(1e-32))


def _parts(text: str, bits: int) -> tuple[float, float, float, float]:
    """A constant in four parts of so many bits, from sympy's digits."""
    import sympy

    left, found = sympy.Rational(str(sympy.N(sympy.sympify(text), _DIGITS))), []
    for _ in range(4):
        scale = 2 ** (bits - 1 - math.floor(math.log2(abs(float(left)))))
        part = Fraction(round(left * scale), scale)
        found.append(float(part))
        left -= sympy.Rational(part.numerator, part.denominator)
    return found[0], found[1], found[2], found[3]
