"""Branch and bound: cells that tile a box are split until what is proved in them is near what is attained."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sobolev.certify.balls import Array

_STUCK = 4
"""A bound within so many times the rounding at the centre cannot be improved by splitting."""
_AT_ONCE = 8
"""So many batches of the worst cells are split before the attained values are looked at again."""
_LEAST = 2.0**-40
"""A cell of this part of the box is not split: where its bounds are infinite, the quantity is."""
_LEAST_INFINITE = {1: 2.0**-40, 2: 2.0**-10, 3: 2.0**-6, 4: 2.0**-4, 5: 2.0**-4}
"""The same for infinite bounds, by the number of inputs: whole lines and surfaces of cells may have them."""


class Batch(NamedTuple):
    """What is known of some cells, for each goal; a goal is a quantity that is to be bounded from above."""

    upper: Array
    """Proved for the whole cell, (cells, goals)."""
    lower: Array
    """Proved to be attained at the centre, (cells, goals)."""
    noise: Array
    """The part of both that is rounding, (cells, goals)."""
    spread: Array
    """By how much each input lets the quantity vary in the cell, (cells, goals, inputs)."""
    peak: Array
    """Where in the cell, from -1 to 1, the quantity is probably largest, (cells, goals, inputs)."""


Evaluate = Callable[[Array, Array], Batch]
"""From the centres and half widths of cells, (cells, inputs)."""


class Cover(NamedTuple):
    """Cells that tile the domain, (cells, inputs), with what is proved in each, (cells, goals)."""

    low: Array
    high: Array
    upper: Array


class Outcome(NamedTuple):
    """What a search has found; a goal may have ended by rounding or by the time, the others not."""

    upper: Array
    """Proved to be nowhere exceeded, (goals,)."""
    lower: Array
    """Proved to be attained, (goals,)."""
    where: Array
    """There, (goals, inputs)."""
    reached: Array
    """Whether the upper bound is as near as was asked for, (goals,)."""
    limit: str
    """What ended the search early: "", "rounding", "size" or "time"."""
    evaluated: int
    cover: Cover


class _Cells(NamedTuple):
    """Cells with their `Batch`."""

    low: Array
    high: Array
    upper: Array
    lower: Array
    noise: Array
    spread: Array
    peak: Array

    def at(self, index: Array) -> "_Cells":
        return _Cells(*(part[index] for part in self))


class Search:
    """One search over a box.

    Args:
        evaluate: bounds the quantities in cells.
        low: the lower corner of the box, (inputs,).
        high: the upper corner.
        slack: from the attained values (goals,) to how far above them the bounds may stay.
        seconds: when to stop.
        batch: how many cells are evaluated at a time.
        start: into how many parts each input is cut at first, (inputs,).
    """

    def __init__(
        self,
        evaluate: Evaluate,
        low: Array,
        high: Array,
        slack: Callable[[Array], Array],
        seconds: float,
        batch: int,
        start: list[int],
    ) -> None:
        self._evaluate, self._slack = evaluate, slack
        self._width = high - low
        self._deadline, self._batch = time.monotonic() + seconds, batch
        self._evaluated, self._limit = 0, ""
        self._best, self._where = np.array([]), np.array([])
        self._floor: Array | float = -np.inf
        self._done: list[Cover] = []
        self._open = self._bounded(*_grid(low, high, start))

    def run(self) -> Outcome:
        """Split until every cell is bounded as it should, or cannot be, or time is up."""
        with np.errstate(all="ignore"):
            self._refine()
        cover = Cover(*map(np.concatenate, zip(*self._done, self._open[:3], strict=True)))
        upper = cover.upper.max(axis=0)  # NaN if there is one
        upper = np.where(np.isnan(upper), np.inf, upper)
        with np.errstate(all="ignore"):
            reached = upper <= self._best + self._slack(self._best)
        return Outcome(upper, self._best, self._where, reached, self._limit, self._evaluated, cover)

    def _refine(self) -> None:
        self._look_at_peaks()
        self._retire()
        while len(self._open.low):
            if time.monotonic() > self._deadline:
                self._limit = "time"
                break
            self._split_worst()
            self._look_at_peaks()
            self._retire()

    def _bounded(self, low: Array, high: Array) -> _Cells:
        """The cells with what is proved in them; the best attained values are brought up to date."""
        parts = []
        for start in range(0, len(low), self._batch):
            rows = slice(start, start + self._batch)
            centre, half = middle(low[rows], high[rows])
            batch = self._evaluate(centre, half)
            self._note(centre, batch.lower)
            parts.append(_Cells(low[rows], high[rows], *batch))
        self._evaluated += len(low)
        return _Cells(*map(np.concatenate, zip(*parts, strict=True)))

    def _note(self, points: Array, attained: Array) -> None:
        attained = np.where(np.isnan(attained), -np.inf, attained)
        row = attained.argmax(0)
        value = attained[row, np.arange(attained.shape[1])]
        if not self._best.size:
            self._best, self._where = value, points[row]
        better = value > self._best
        self._best = np.where(better, value, self._best)
        self._where = np.where(better[:, None], points[row], self._where)

    def _targets(self) -> Array:
        """What the bounds should not exceed; below the bound of a cell that cannot be improved is no use."""
        return np.maximum(self._best + self._slack(self._best), self._floor)

    def _excess(self, cells: _Cells) -> Array:
        """How far above its target each goal is in each cell; infinite for NaN."""
        excess = cells.upper - self._targets()
        return np.where(np.isnan(excess), np.inf, excess)

    def _retire(self) -> None:
        """Put aside the cells that are bounded well enough, and those that splitting does not help."""
        cells = self._open
        small: Array = ~np.any(self._splittable(cells), axis=1)
        hopeless = small[:, None] | self._endless(cells)
        rounding = (cells.upper - cells.lower <= _STUCK * cells.noise) & np.isfinite(cells.noise)
        stuck: Array = rounding | hopeless
        given_up = stuck & ~(cells.upper <= self._targets())  # so that NaN counts as not proved
        if given_up.any():
            self._limit = "size" if (given_up & hopeless).any() else self._limit or "rounding"
            found = np.where(np.isnan(cells.upper), np.inf, cells.upper)
            self._floor = np.maximum(self._floor, np.where(given_up, found, -np.inf).max(0))
        finished: Array = np.all(stuck | (cells.upper <= self._targets()), axis=1)
        self._done.append(Cover(*cells.at(finished)[:3]))
        self._open = cells.at(~finished)

    def _split_worst(self) -> None:
        """Bisect the cells farthest above a target, each along the input that matters most to it."""
        excess = self._excess(self._open)
        relative = (excess / np.maximum(np.abs(self._targets()), 1e-300)).max(1)
        worst = np.argsort(-relative, kind="stable")[: _AT_ONCE * self._batch]
        rest = np.ones(len(relative), dtype=bool)
        rest[worst] = False
        cells, goal = self._open.at(worst), excess[worst].argmax(1)
        rows = np.arange(len(worst))
        axis = self._axis(cells, cells.spread[rows, goal])
        cut, _ = middle(cells.low, cells.high)
        left_high, right_low = cells.high.copy(), cells.low.copy()
        left_high[rows, axis] = right_low[rows, axis] = cut[rows, axis]
        children = self._bounded(np.concatenate([cells.low, right_low]), np.concatenate([left_high, cells.high]))
        upper = np.fmin(children.upper, np.concatenate([cells.upper, cells.upper]))  # a NaN yields to the parent's
        self._open = _Cells(*map(np.concatenate, zip(self._open.at(rest), children._replace(upper=upper), strict=True)))

    def _axis(self, cells: _Cells, spread: Array) -> Array:
        """The input that lets the goal vary most; the relatively widest where that is not known."""
        width = (cells.high - cells.low) / self._width
        known = np.isfinite(spread).all(1, keepdims=True) & (spread > 0).any(1, keepdims=True)
        return np.where(self._splittable(cells), np.where(known, spread, width), -1.0).argmax(1)

    def _splittable(self, cells: _Cells) -> Array:
        """Whether an input can be cut further, (cells, inputs): float64 has numbers in between."""
        centre, _ = middle(cells.low, cells.high)
        wide = cells.high - cells.low > _LEAST * self._width
        return (cells.low < centre) & (centre < cells.high) & wide

    def _endless(self, cells: _Cells) -> Array:
        """Where infinite bounds are not worth another cut, (cells, goals)."""
        least = _LEAST_INFINITE.get(len(self._width), _LEAST) * self._width
        return ~np.isfinite(cells.upper) & np.all(cells.high - cells.low <= least, axis=1)[:, None]

    def _look_at_peaks(self) -> None:
        """See what is attained where the highest bounds say that it may be much."""
        cells = self._open
        if not len(cells.low):
            return
        excess = self._excess(cells)
        goals = np.arange(excess.shape[1])
        rows = np.where(np.isfinite(excess), excess, -np.inf).argmax(0)
        peak = np.nan_to_num(cells.peak[rows, goals])
        centre, half = middle(cells.low[rows], cells.high[rows])
        points = np.clip(centre + peak * half, cells.low[rows], cells.high[rows])
        self._note(points, self._evaluate(points, half * 2.0**-12).lower)


def middle(low: Array, high: Array) -> tuple[Array, Array]:
    """The centres of boxes, and half widths that reach both ends."""
    centre = 0.5 * low + 0.5 * high
    return centre, np.nextafter(np.maximum(high - centre, centre - low), np.inf)


def _grid(low: Array, high: Array, parts: list[int]) -> tuple[Array, Array]:
    """A box cut into equal parts, neighbours sharing their edges exactly."""
    edges = [np.linspace(a, b, n + 1) for a, b, n in zip(low, high, parts, strict=True)]
    for e, a, b in zip(edges, low, high, strict=True):
        e[0], e[-1] = a, b
    lows = np.meshgrid(*(e[:-1] for e in edges), indexing="ij")
    highs = np.meshgrid(*(e[1:] for e in edges), indexing="ij")
    return np.stack([x.ravel() for x in lows], 1), np.stack([x.ravel() for x in highs], 1)
