"""The normal distribution function and the GELU."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np

from sobolev.certify import double_double, precise
from sobolev.certify.balls import Array, Ball, U, add, exact, multiply, outward, stack
from sobolev.certify.double_double import Pair
from sobolev.certify.elementary import exp, normal, normal_density
from sobolev.certify.functions.polynomials import Polynomial, derivative, difference, floats, horner, magnitude
from sobolev.certify.functions.univariate import Table, Tails


class Normal(Table):
    """Φ(x): its scaled derivatives are density(x) h_j(x), h_1 = 1 and j! h_j = g_j with g_(j+1) = g_j' - x g_j."""

    end, bins = 12.0, 4096

    def coefficients(self, x: Array, count: int) -> Ball:
        """Value and density are computed, the polynomials by Horner's scheme."""
        return _with_density(x, count, [normal(x)], _hermite)

    def precise(self, x: Array, count: int) -> Pair:
        """The same in twice the precision."""
        return _precise_with_density(x, count, [precise.normal(x)], _hermite)

    def bound(self, near: Array, far: Array, j: int) -> Array:
        """The density at the near end, the polynomial at the far one."""
        return _density_bound(near, far, _hermite(j))

    def tail(self, j: int) -> Tails:
        """Each x^n e^(-x²/2) falls beyond x = sqrt(n), and so does every term beyond 12."""
        if j == 0:
            return (0.0, 1e-30), (1 - U, 1.0)
        least = float(_density_bound(np.array(self.end), np.array(self.end), _hermite(j)))
        return (-least, least), (-least, least)


class GELU(Table):
    """x Φ(x): its derivative is Φ + x density, the higher ones density times polynomials; g_2 = 2 - x²."""

    end, bins = 12.0, 4096

    def coefficients(self, x: Array, count: int) -> Ball:
        """Value and slope from Φ and the density."""
        value, density = normal(x), normal_density(x)
        first = [multiply(exact(x), value), add(value, multiply(exact(x), density))]
        return _with_density(x, count, first[:count], _gelu)

    def precise(self, x: Array, count: int) -> Pair:
        """The same in twice the precision."""
        value, density, at = precise.normal(x), precise.normal_density(x), double_double.exact_pair(x)
        first = [double_double.multiply(at, value), double_double.add(value, double_double.multiply(at, density))]
        return _precise_with_density(x, count, first[:count], _gelu)

    def bound(self, near: Array, far: Array, j: int) -> Array:
        """The density at the near end, the polynomial at the far one."""
        return _density_bound(near, far, _gelu(j))

    def tail(self, j: int) -> Tails:
        """Beyond 12 density, x density and Φ(-x) are below 1e-29."""
        if j == 0:
            return (-math.inf, math.inf), (-math.inf, math.inf)
        least = 1e-29 if j == 1 else float(_density_bound(np.array(self.end), np.array(self.end), _gelu(j)))
        return (-least, least), ((1 - least - U, 1 + least + U) if j == 1 else (-least, least))


def _with_density(x: Array, count: int, first: list[Ball], polynomial: Callable[[int], Polynomial]) -> Ball:
    density = normal_density(x)
    balls = list(first)
    for j in range(len(first), count):
        mid = horner(floats(polynomial(j)), x)
        size = magnitude(polynomial(j), x)
        balls.append(multiply(Ball(mid, outward((2 * j + 8) * U * size)), density))
    return stack(balls[:count])


def _precise_with_density(x: Array, count: int, first: list[Pair], polynomial: Callable[[int], Polynomial]) -> Pair:
    density, at = precise.normal_density(x), double_double.exact_pair(x)
    rest = [
        double_double.multiply(double_double.polynomial(polynomial(j), at), density) for j in range(len(first), count)
    ]
    return double_double.stacked([*first, *rest])


def _density_bound(near: Array, far: Array, polynomial: Polynomial) -> Array:
    return exp(-near * near / 2).magnitude * magnitude(polynomial, far) * 0.4


@cache
def _hermite(j: int) -> Polynomial:
    """h_j."""
    return (Fraction(1),) if j == 1 else tuple(c / j for c in _next(_hermite(j - 1)))


@cache
def _gelu(j: int) -> Polynomial:
    return (Fraction(1), Fraction(0), Fraction(-1, 2)) if j == 2 else tuple(c / j for c in _next(_gelu(j - 1)))


def _next(p: Polynomial) -> Polynomial:
    """The polynomial p' - x p."""
    return difference(derivative(p), (Fraction(0), *p))
