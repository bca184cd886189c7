"""Two inputs: the network's value, gradient and Hessian as heat maps beside the truth and the error."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from sobolev.plots import labels, style
from sobolev.plots.plane import Plane
from sobolev.plots.samples import Array, Curve, Samples, relative_l2, root_mean_square

MOST_ROWS, ACROSS = 6, 3
ROOM = 42
MAP, BAR, HEIGHT = 2.4, 0.12, 1.5
"""Inches of a letter of a title, and the size of font below which nothing can be read."""
ABOVE_POWERS = 15
"""Points between a map and its title, for the power of ten that all numbers at an axis have in common."""
VALUES, ERRORS = "viridis", "magma"

_SPIKE = 4
"""So many times the range of 98 % of the values is a spike, beyond the colours; the bar has an arrow there."""

Painter = Callable[[Axes, Axes, Plane, Curve, style.Names], None]
"""Paints something about a curve into a map and its bar."""
Truth = tuple[Curve, Callable[..., ScalarMappable], str]
"""A curve where its truth is known, what paints such points, and what the truth is called."""


def draw(figure: Figure, samples: Samples, names: style.Names, measured: Samples | None = None) -> str:
    """Draw into an empty figure, set its size, and say what was left out.

    A row for each derivative with a truth: network, truth, error. The others stand three in a row.
    """
    chosen, left_out = choose(samples if measured is None else measured)
    plane, at_rows = Plane(samples.points), None if measured is None else Plane(measured.points)
    pairs = [(samples.curve(c.output, c.inputs), c) for c in chosen]
    compared = [pair for pair in pairs if pair[1].exact is not None]
    alone = [curve for curve, known in pairs if known.exact is None]
    estimated = any(curve.deviation is not None for curve in alone)
    estimate = partial(_estimate, outside=samples.outside)
    painters: tuple[Painter, ...] = (_single, estimate) if estimated else (_single,)
    cells = [(paint, curve) for curve in alone for paint in painters]
    across = 2 if estimated else ACROSS
    sheet = _Sheet(figure, len(compared), [cells[start : start + across] for start in range(0, len(cells), across)])
    for row, (curve, known) in enumerate(compared):
        truth = (curve, plane.paint, "exact") if at_rows is None else (known, at_rows.dot, names.measured)
        _compare(sheet.comparison(row), plane, curve, truth, names)
    for row, singles in enumerate(sheet.singles, start=len(compared)):
        for column, (paint, curve) in enumerate(singles):
            paint(*sheet.single(row, column), plane, curve, names)
    for axes, first, last in sheet.maps:
        _frame(axes, plane, names, last=last, first=first)
        _shade_outside(axes, plane, samples.outside)
    return left_out


class _Sheet:
    """Maps and colour bars at fixed places, in inches: a third of the time of a computed layout.

    Attributes:
        singles: what stands in each row of single maps.
        maps: those made so far: axes, whether it is the first of its row, whether it is the lowest of its column.
    """

    LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 0.7, 0.75, 0.45, 0.6, 0.55
    BESIDE, TO_BAR, BEHIND_BAR = 0.28, 0.08, 0.85

    def __init__(self, figure: Figure, comparisons: int, singles: Sequence[Sequence[tuple[Painter, Curve]]]) -> None:
        """Make room for so many rows of comparisons, then for rows of single maps."""
        self.figure, self.singles, self.rows = figure, singles, comparisons + len(singles)
        self.maps: list[tuple[Axes, bool, bool]] = []
        pair = MAP + self.TO_BAR + BAR
        across = max((len(row) for row in singles), default=0)
        wide = 2 * MAP + self.BESIDE + self.TO_BAR + BAR + self.BEHIND_BAR + pair if comparisons else 0.0
        inside = max(wide, across * pair + max(0, across - 1) * self.BEHIND_BAR)
        self.width = self.LEFT + inside + self.RIGHT
        self.height = self.TOP + HEIGHT * self.rows + self.BETWEEN * (self.rows - 1) + self.BOTTOM
        figure.set_size_inches(self.width, self.height)

    def comparison(self, row: int) -> list[Axes]:
        """Network, truth, their bar, error, its bar."""
        second = self.LEFT + MAP + self.BESIDE
        bar = second + MAP + self.TO_BAR
        error = bar + BAR + self.BEHIND_BAR
        return [
            self._map(self.LEFT, row, first=True), self._map(second, row), self._axes(bar, row, BAR),
            self._map(error, row), self._axes(error + MAP + self.TO_BAR, row, BAR),
        ]  # fmt: skip

    def single(self, row: int, column: int) -> tuple[Axes, Axes]:
        """A map and its bar."""
        left = self.LEFT + column * (MAP + self.TO_BAR + BAR + self.BEHIND_BAR)
        below = self.singles[len(self.singles) - self.rows + row + 1 :]
        last = not any(len(curves) > column for curves in below)
        return self._map(left, row, first=column == 0, last=last), self._axes(left + MAP + self.TO_BAR, row, BAR)

    def _map(self, left: float, row: int, *, first: bool = False, last: bool | None = None) -> Axes:
        axes = self._axes(left, row, MAP)
        self.maps.append((axes, first, row + 1 == self.rows if last is None else last))
        return axes

    def _axes(self, left: float, row: int, width: float) -> Axes:
        bottom = self.height - self.TOP - HEIGHT * (row + 1) - self.BETWEEN * row
        place = (left / self.width, bottom / self.height, width / self.width, HEIGHT / self.height)
        return self.figure.add_axes(place)


def choose(samples: Samples) -> tuple[list[Curve], str]:
    """Up to six entries: all up to the Hessian of a single output, otherwise the worst of each order."""
    orders = [order for order in samples.orders if order <= 2]
    if samples.outputs == 1:
        chosen = [curve for order in orders for curve in samples.curves(0, order)]
        return chosen, "not shown: derivatives beyond the Hessian" if len(samples.orders) > 3 else ""
    outputs = range(min(samples.outputs, MOST_ROWS // len(orders)))
    chosen = [max(samples.curves(output, order), key=badness) for output in outputs for order in orders]
    return chosen, f"the worst entry of each order, for {len(outputs)} of {samples.outputs} outputs"


def badness(curve: Curve) -> float:
    """Relative L2 error; without a truth, the size. What is not finite is the worst."""
    if not np.isfinite(curve.predicted).all():
        return np.inf
    if curve.error is None or curve.exact is None:
        return root_mean_square(curve.predicted)
    return relative_l2(curve.error, curve.exact)


def _compare(row: list[Axes], plane: Plane, curve: Curve, truth: Truth, names: style.Names) -> None:
    """Network, truth on the same colours, error on its own; the latter two where a truth is known."""
    network, exact, bar, error, error_bar = row
    known, paint, name = truth
    assert known.exact is not None and known.error is not None
    norm = Normalize(*style.limits(_core(curve.predicted), known.exact))
    _title(network, names.label(curve, ROOM), MAP)
    _bar(plane.paint(network, curve.predicted, norm, VALUES), bar)
    _not_finite(network, plane, curve.predicted)
    paint(exact, known.exact, norm, VALUES)
    _title(exact, name)
    low, high = style.log_limits(known.error)
    _bar(paint(error, np.maximum(known.error, low), LogNorm(low, high), ERRORS), error_bar)
    what = "to the data" if name == "data" else "|error|"
    _title(error, f"{what}  {style.score(known.predicted, known.exact)}", size=style.SMALL)
    if not known.error.any():
        style.remark(error, "exactly 0")


def _estimate(
    axes: Axes, bar: Axes, plane: Plane, curve: Curve, _: style.Names, outside: np.ndarray | None = None
) -> None:
    """The standard deviation of the error, on colours of its own; in a number where the data are."""
    if curve.deviation is None:
        _title(axes, "no estimate")
        bar.set_axis_off()
        return
    low, high = style.log_limits(curve.deviation)
    _bar(plane.paint(axes, np.maximum(curve.deviation, low), LogNorm(low, high), ERRORS), bar)
    inside = slice(None) if outside is None or outside.all() else ~outside
    relative = f"  rel. L2 {labels.number(relative_l2(curve.deviation[inside], curve.predicted[inside]))}"
    _title(axes, f"estimated error{relative if curve.predicted.any() else ''}", size=style.SMALL)


def _single(axes: Axes, bar: Axes, plane: Plane, curve: Curve, names: style.Names) -> None:
    norm = Normalize(*style.limits(_core(curve.predicted)))
    _bar(plane.paint(axes, curve.predicted, norm, VALUES), bar)
    _title(axes, names.label(curve, ROOM), MAP + BAR)
    _not_finite(axes, plane, curve.predicted)


def _title(axes: Axes, text: str, inches: float = np.inf, size: float = style.LABEL) -> None:
    """Smaller where it would not fit into so many inches."""
    size = style.fitting(text, inches, size)
    axes.set_title(text, fontsize=size, loc="left", color=style.INK, y=1, pad=ABOVE_POWERS)


def _shade_outside(axes: Axes, plane: Plane, outside: np.ndarray | None) -> None:
    """A grey veil over what lies outside of the data."""
    if outside is not None and outside.any():
        veil = np.where(outside, 1.0, np.nan)
        plane.paint(axes, veil, Normalize(0, 3), "Greys", alpha=0.8)
        axes.plot([], [], "s", color=style.OUTSIDE, label="outside of the data")


def _bar(painted: ScalarMappable, axes: Axes) -> None:
    """Colour bar in axes of its own; its ticks follow the scale."""
    bar = Colorbar(axes, painted, extend=_beyond(painted))
    axes.tick_params(labelsize=style.SMALL, length=2)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    if isinstance(painted.norm, LogNorm):
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.minorticks_off()
    else:
        style.plain_ticks(axes.yaxis, 4)
        axes.yaxis.get_offset_text().set_horizontalalignment("left")


def _beyond(painted: ScalarMappable) -> Literal["neither", "both", "min", "max"]:
    """On which side values lie outside of the colours."""
    values = np.ma.masked_invalid(np.ma.asarray(painted.get_array()))
    low, high = painted.get_clim()
    below, above = bool((values < low).any()), bool((values > high).any())
    return "both" if below and above else "min" if below else "max" if above else "neither"


def _not_finite(axes: Axes, plane: Plane, predicted: Array) -> None:
    bad = ~np.isfinite(predicted)
    if bad.any():
        x, y = plane.points[bad[plane.rows]].T
        axes.plot(x, y, "x", color=style.WORST, markersize=4, linestyle="none", label="not finite")
        style.remark_not_finite(axes, bad)


def _frame(axes: Axes, plane: Plane, names: style.Names, *, last: bool, first: bool) -> None:
    style.dress(axes)
    axes.grid(visible=False)
    axes.set_facecolor("#F4F4F4")
    x, y = plane.points.T
    axes.set(xlim=_span(x), ylim=_span(y))
    axes.tick_params(labelbottom=last, labelleft=first)
    axes.xaxis.get_offset_text().set_visible(last)
    axes.yaxis.get_offset_text().set_visible(first)
    if last:
        axes.set_xlabel(names.axis(0), fontsize=style.LABEL)
    if first:
        axes.set_ylabel(names.axis(1), fontsize=style.LABEL)


def _span(values: Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else style.limits(values)


def _core(values: Array) -> Array:
    """All values, but where the most extreme 1 % on either side would bleach the map: one spike is cut off."""
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.01, 0.99]) if finite.size else (0.0, 0.0)
    spikes = finite.size > 0 and np.ptp(finite) > _SPIKE * (high - low) > 0
    return np.clip(finite, low, high) if spikes else finite
