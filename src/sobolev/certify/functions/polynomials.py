"""Polynomials with exact coefficients, and their values in float64."""

from fractions import Fraction
from functools import cache

import numpy as np

from sobolev.certify.balls import Array

Polynomial = tuple[Fraction, ...]
"""Coefficients, constant first."""


def derivative(p: Polynomial) -> Polynomial:
    """The derivative."""
    return tuple(n * c for n, c in enumerate(p))[1:]


def times(a: Polynomial, b: Polynomial) -> Polynomial:
    """The product."""
    total = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for k, y in enumerate(b):
            total[i + k] += x * y
    return tuple(total)


def difference(a: Polynomial, b: Polynomial) -> Polynomial:
    """The difference, as long as the longer one."""
    count = max(len(a), len(b))
    a, b = ((*p, *(Fraction(0),) * (count - len(p))) for p in (a, b))
    return tuple(x - y for x, y in zip(a, b, strict=True))


@cache
def floats(p: Polynomial) -> tuple[float, ...]:
    """The coefficients, each rounded to the nearest float64."""
    return tuple(float(c) for c in p)


@cache
def size(p: Polynomial) -> float:
    """At least |p(t)| wherever |t| <= 1."""
    return float(sum(abs(c) for c in p)) * (1 + 1e-12)


@cache
def slope(p: Polynomial) -> float:
    """At least |p'(t)| wherever |t| <= 1."""
    return size(derivative(p)) if len(p) > 1 else 0.0


def horner(coefficients: tuple[float, ...], x: Array) -> Array:
    """The value, by Horner's scheme: off by at most 2 n U times that of the magnitudes (Higham 2002, section 5.1)."""
    total = np.full_like(x, coefficients[-1], dtype=np.float64)
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += coefficient
    return total


def magnitude(p: Polynomial, x: Array) -> Array:
    """The same of the magnitudes of coefficients and argument."""
    return horner(tuple(map(abs, floats(p))), np.abs(x))
