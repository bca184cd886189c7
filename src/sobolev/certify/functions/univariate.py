"""What a function of one number needs to act on enclosures: Taylor coefficients at points, ranges over intervals."""

from abc import ABC, abstractmethod

import numpy as np

from sobolev.certify.balls import Array, Ball, between, common, ends, outward, stack
from sobolev.certify.double_double import Pair

Tails = tuple[tuple[float, float], tuple[float, float]]
"""The least and the largest value below an interval, and those above it."""


class Univariate(ABC):
    """A function f of one number with its scaled derivatives f^(j) / j!."""

    @abstractmethod
    def coefficients(self, x: Array, count: int) -> Ball:
        """f^(j)(x) / j! for j < count at exact points x: (count, *x.shape)."""

    @abstractmethod
    def hull(self, low: Array, high: Array, count: int) -> Ball:
        """Balls (count, *low.shape) that hold f^(j) / j! everywhere in [low, high]; they may be much too large."""

    def precise(self, x: Array, count: int) -> Pair | None:  # noqa: ARG002
        """The coefficients in twice the precision, (count, *x.shape); None where they cannot be had."""
        return None


class Expansion:
    """The scaled derivatives of a function near points, from those at the points.

    Args:
        f: the function.
        point: (...,), where it is expanded.
        low: the lower end of the interval in which it is asked for; holds the point.
        high: the upper end.
        order: the highest derivative that is asked for.
    """

    def __init__(self, f: Univariate, point: Array, low: Array, high: Array, order: int) -> None:
        self._at, self._hull = f.coefficients(point, order + 2), f.hull(low, high, order + 3)
        self._size = self._at.magnitude
        self._bound = self._hull.magnitude
        self.ends = low, high
        self.reach = np.nextafter(np.maximum(high - point, point - low), np.inf)

    def within(self, radius: Array, j: int) -> Ball:
        """f^(j) / j! at all numbers within a radius of the points: f_j + (j+1) f_(j+1) s + C(j+2, 2) f_(j+2)(ξ) s²."""
        linear = (j + 1) * self._size[j + 1]
        curved = self.bend(j) * radius
        return Ball(self._at.mid[j], outward(self._at.rad[j] + radius * (linear + curved)))

    def bend(self, j: int) -> Array:
        """C(j+2, 2) times at least |f^(j+2)| / (j+2)! over the interval."""
        return (j + 1) * (j + 2) / 2 * self._bound[j + 2]

    def over(self, j: int) -> Ball:
        """f^(j) / j! over the interval."""
        return common(self.within(self.reach, j), self._hull[j])


class Table(Univariate):
    """A function whose ranges are looked up: what it is in each of many bins is computed once.

    A range over an interval is that over the bins it touches, the smallest and the largest of which a sparse table
    gives (Bender & Farach-Colton, "The LCA problem revisited", 2000). Subclasses say what the function is outside
    [-end, end], and bound it roughly inside a bin.
    """

    end = 40.0
    bins = 4096

    def __init__(self) -> None:
        self._levels: list[tuple[Array, Array]] = []

    @abstractmethod
    def bound(self, near: Array, far: Array, j: int) -> Array:
        """At least |f^(j)(x)| / j! wherever near <= |x| <= far, for j >= 2."""

    @abstractmethod
    def tail(self, j: int) -> Tails:
        """The least and the largest f^(j) / j! below -end, and those above end."""

    def hull(self, low: Array, high: Array, count: int) -> Ball:
        """Of every bin that [low, high] touches."""
        while len(self._levels) < count:
            self._levels.append(self._table(len(self._levels)))
        scale = self.bins / (2 * self.end)
        first = np.nan_to_num(np.clip(np.floor((low + self.end) * scale), -1, self.bins)).astype(np.int64) + 1
        last = np.nan_to_num(np.clip(np.floor((high + self.end) * scale), -1, self.bins)).astype(np.int64) + 1
        level = _LOGARITHM[last - first + 1]
        second = last - (1 << level) + 1
        index, other = level * (self.bins + 2) + first, level * (self.bins + 2) + second
        known = low <= high  # not so for NaN
        ball = stack([self._looked_up(table, index, other) for table in self._levels[:count]])
        return Ball(ball.mid, np.where(known, ball.rad, np.inf))

    def _looked_up(self, table: tuple[Array, Array], index: Array, other: Array) -> Ball:
        lows, highs = table
        return between(np.minimum(lows[index], lows[other]), np.maximum(highs[index], highs[other]))

    def _table(self, j: int) -> tuple[Array, Array]:
        """Least and largest values over 2^level bins from each on, flat: (levels * bins)."""
        (below_low, below_high), (above_low, above_high) = self.tail(j)
        low, high = ends(self._in_bins(j))
        lows = [np.concatenate([[below_low], low, [above_low]])]
        highs = [np.concatenate([[below_high], high, [above_high]])]
        width = 1
        while 2 * width <= self.bins + 2:
            lows.append(np.minimum(lows[-1], _shifted(lows[-1], width, np.inf)))
            highs.append(np.maximum(highs[-1], _shifted(highs[-1], width, -np.inf)))
            width *= 2
        return np.concatenate(lows), np.concatenate(highs)

    def _in_bins(self, j: int) -> Ball:
        """The derivatives over each bin: two terms of Taylor's series from its middle, the third bounded."""
        half = self.end / self.bins
        middle = -self.end + half * (2 * np.arange(self.bins) + 1)
        at = self.coefficients(middle, j + 2)
        reach = half * (1 + 2.0**-30)
        near, far = np.maximum(np.abs(middle) - reach, 0), np.abs(middle) + reach
        slope = (j + 1) * at[j + 1].magnitude * reach
        curved = (j + 1) * (j + 2) / 2 * self.bound(near, far, j + 2) * reach**2
        return Ball(at.mid[j], outward(at.rad[j] + slope + curved))


def _shifted(values: Array, by: int, fill: float) -> Array:
    return np.concatenate([values[by:], np.full(by, fill)])


_LOGARITHM = np.array([0, *(n.bit_length() - 1 for n in range(1, 1 << 13))])
