"""Bounds of one derivative over cells, from the coefficients of its Taylor polynomial."""

import math
from typing import NamedTuple

import numpy as np

from sobolev.certify.balls import Array, Ball, U, ends, growth, outward
from sobolev.certify.enclosure import Enclosure
from sobolev.certify.space import Index, Space


class Bounds(NamedTuple):
    """Of a derivative of each output in each cell, (cells, outputs), and of what makes it vary."""

    low: Array
    high: Array
    centre: Ball
    """The value at the centre."""
    spread: Array
    """By how much each input lets it vary, (cells, outputs, inputs)."""
    top: Array
    """Where in the cell, from -1 to 1, it is probably largest, (cells, outputs, inputs)."""
    bottom: Array
    """Where it is probably smallest."""


def derivative_bounds(e: Enclosure, index: Index, half: Array) -> Bounds:
    """Of the derivative by the inputs, so often by each; `half` (cells, inputs) are the half widths of the cells.

    The polynomial in t is bounded term by term, but the linear and the square term of each variable together, exactly;
    a term with even powers only has the sign of its coefficient.
    """
    terms = _terms(e.space, index)
    mid, rad = ((part[[row for _, row, _ in terms]]) for part in e.ball)
    counts = np.array([count for *_, count in terms], dtype=np.float64).reshape(-1, *(1,) * (mid.ndim - 1))
    mid = mid * counts
    rad = rad * counts + U * np.abs(mid)
    high, low, spread = mid[0] + rad[0], mid[0] - rad[0], np.zeros((*mid.shape[1:], e.space.inputs))
    place = {beta: n for n, (beta, _, _) in enumerate(terms)}
    tops, bottoms, done = [], [], {0}
    for i in range(e.space.inputs):
        first, second = place.get(_unit(e.space, i, 1)), place.get(_unit(e.space, i, 2))
        a = np.zeros_like(high) if first is None else mid[first]
        known = second is not None and sum(terms[second][0]) + sum(index) <= e.space.order
        b = mid[second] if known else np.zeros_like(high)
        most, top = _largest(a, b)
        least, bottom = _largest(-a, -b)
        loose = sum((rad[n] for n in (first, second if known else None) if n is not None), np.zeros_like(high))
        high, low = high + most + loose, low - least - loose
        done |= {n for n in (first, second if known else None) if n is not None}
        spread[..., i] += np.abs(a) + np.abs(b) + loose
        tops.append(top)
        bottoms.append(bottom)
    for n, (beta, _, _) in enumerate(terms):
        if n not in done:
            size = np.abs(mid[n]) + rad[n]
            even = all(k % 2 == 0 for k in beta)
            high = high + (np.maximum(mid[n] + rad[n], 0) if even else size)
            low = low - (np.maximum(rad[n] - mid[n], 0) if even else size)
            for i, k in enumerate(beta):
                spread[..., i] += size * k / sum(beta)
    off = outward((np.abs(mid) + rad).sum(0) * (4 * growth(len(terms) + 8)))
    factor = math.prod(map(math.factorial, index)) / np.prod(half ** np.array(index), axis=1)[:, None]
    low, high = _scaled(low - off, factor, -1), _scaled(high + off, factor, 1)
    if not any(index):  # by interval arithmetic alone, too; of NaN and a number the number is proved
        plain_low, plain_high = ends(e.ball[-1])
        low, high = np.fmax(low, plain_low), np.fmin(high, plain_high)
    centre = Ball(mid[0] * factor, outward(rad[0] * factor + 16 * U * np.abs(mid[0] * factor)))
    return Bounds(low, high, centre, spread * factor[..., None], np.stack(tops, -1), np.stack(bottoms, -1))


def _terms(space: Space, index: Index) -> list[tuple[Index, int, int]]:
    """The powers of t in the derivative, the rows of their coefficients here, and how often these count."""
    found = []
    for row, target in enumerate(space.indices):
        beta = tuple(k - n for k, n in zip(target, index, strict=True))
        if min(beta) >= 0:
            found.append((beta, row, math.prod(math.comb(k, n) for k, n in zip(target, index, strict=True))))
    return found


def _largest(a: Array, b: Array) -> tuple[Array, Array]:
    """The maximum of a t + b t² over [-1, 1], but for rounding, and where it is."""
    inside = (b < 0) & (np.abs(a) < -2 * b)
    with np.errstate(all="ignore"):
        vertex = np.where(inside, -a / (2 * b), np.sign(a))
        return np.where(inside, -a * a / (4 * b), np.abs(a) + b), vertex


def _scaled(value: Array, factor: Array, direction: int) -> Array:
    product = value * factor
    return product + direction * (np.abs(product) * (32 * U) + 2.0**-1000)


def _unit(space: Space, i: int, power: int) -> Index:
    return tuple(power * (j == i) for j in range(space.inputs))
