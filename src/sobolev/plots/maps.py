"""Two inputs: the network's value, gradient and Hessian as heat maps beside the truth and the error."""

from collections.abc import Callable
from itertools import pairwise

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

MOST_ROWS = 6
ROOM = 17
MAP, BAR, HEIGHT = 2.2, 0.12, 1.45
VALUES, ERRORS = "viridis", "magma"


def draw(figure: Figure, samples: Samples, names: style.Names) -> str:
    """Draw into an empty figure, set its size, and say what was left out."""
    chosen, left_out = choose(samples)
    plane = Plane(samples.points)
    panel, widths, across = _layout(chosen)
    rows = [chosen[start : start + across] for start in range(0, len(chosen), across)]
    sheet = _Sheet(figure, widths * len(rows[0]), len(rows))
    for row, curves in enumerate(rows):
        axes = [sheet.axes(row, column) for column in range(len(widths) * len(curves))]
        for number, curve in enumerate(curves):
            panel(axes[number * len(widths) : (number + 1) * len(widths)], plane, curve, names)
        for column, cell in enumerate(axes):
            if sheet.widths[column] == MAP:
                _frame(cell, plane, names, last=row + 1 == len(rows), first=column == 0)
    return left_out


class _Sheet:
    """Maps and colour bars at fixed places: a third of the time of a computed layout."""

    def __init__(self, figure: Figure, widths: list[float], rows: int) -> None:
        """Lay out so many rows of these columns, whose widths are in inches."""
        self.figure, self.widths = figure, widths
        gaps = [0.08 if after == BAR else 0.28 if before == MAP else 0.8 for before, after in pairwise(widths)]
        left, right, top, bottom, between = 0.7, 0.6, 0.35, 0.6, 0.45
        width = left + sum(widths) + sum(gaps) + right
        height = top + HEIGHT * rows + between * (rows - 1) + bottom
        figure.set_size_inches(width, height)
        figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height, 0, 0)
        self.grid = figure.add_gridspec(
            2 * rows - 1, 2 * len(widths) - 1, height_ratios=[HEIGHT, between] * (rows - 1) + [HEIGHT],
            width_ratios=[inches for pair in zip(widths, [*gaps, 0], strict=True) for inches in pair][:-1],
        )  # fmt: skip

    def axes(self, row: int, column: int) -> Axes:
        return self.figure.add_subplot(self.grid[2 * row, 2 * column])


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


def _layout(curves: list[Curve]) -> tuple[Callable[[list[Axes], Plane, Curve, style.Names], None], list[float], int]:
    """How an entry is drawn, in maps and bars of which widths, and how many of them stand in a row."""
    if any(curve.exact is not None for curve in curves):
        return _compare, [MAP, MAP, BAR, MAP, BAR], 1
    if any(curve.deviation is not None for curve in curves):
        return _estimate, [MAP, BAR, MAP, BAR], 2
    return _single, [MAP, BAR], 3


def _compare(row: list[Axes], plane: Plane, curve: Curve, names: style.Names) -> None:
    """Network, truth on the same colours, error on its own."""
    network, exact, bar, error, error_bar = row
    norm = Normalize(*style.limits(_core(curve.predicted), curve.exact))
    _title(network, f"{names.label(curve, ROOM)}  network")
    _bar(plane.paint(network, curve.predicted, norm, VALUES), bar)
    _not_finite(network, plane, curve.predicted)
    if curve.exact is None or curve.error is None:
        for axes in (exact, error):
            _title(axes, "no reference")
        error_bar.set_axis_off()
        return
    plane.paint(exact, curve.exact, norm, VALUES)
    _title(exact, "exact")
    low, high = style.log_limits(curve.error)
    _bar(plane.paint(error, np.maximum(curve.error, low), LogNorm(low, high), ERRORS), error_bar)
    _title(error, f"|error|  {style.score(curve.predicted, curve.exact)}", style.SMALL)
    if not curve.error.any():
        style.remark(error, "exactly 0")


def _estimate(row: list[Axes], plane: Plane, curve: Curve, names: style.Names) -> None:
    """Network, and the standard deviation of its error on colours of its own."""
    _single(row[:2], plane, curve, names)
    axes, bar = row[2:]
    if curve.deviation is None:
        _title(axes, "no estimate")
        bar.set_axis_off()
        return
    low, high = style.log_limits(curve.deviation)
    _bar(plane.paint(axes, np.maximum(curve.deviation, low), LogNorm(low, high), ERRORS), bar)
    relative = f"  rel. L2 {labels.number(relative_l2(curve.deviation, curve.predicted))}"
    _title(axes, f"estimated error{relative if curve.predicted.any() else ''}", style.SMALL)


def _single(row: list[Axes], plane: Plane, curve: Curve, names: style.Names) -> None:
    axes, bar = row
    norm = Normalize(*style.limits(_core(curve.predicted)))
    _bar(plane.paint(axes, curve.predicted, norm, VALUES), bar)
    _title(axes, names.label(curve, ROOM))
    _not_finite(axes, plane, curve.predicted)


def _title(axes: Axes, text: str, size: float = style.LABEL) -> None:
    axes.set_title(text, fontsize=size, loc="left", color=style.INK)


def _bar(painted: ScalarMappable, axes: Axes) -> None:
    """Colour bar in axes of its own; its ticks follow the scale."""
    bar = Colorbar(axes, painted)
    axes.tick_params(labelsize=style.SMALL, length=2)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    if isinstance(painted.norm, LogNorm):
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.minorticks_off()
    else:
        style.plain_ticks(axes.yaxis, 4)
        axes.yaxis.get_offset_text().set_horizontalalignment("left")


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
        axes.set_xlabel(labels.name(names.inputs[0]), fontsize=style.LABEL)
    if first:
        axes.set_ylabel(labels.name(names.inputs[1]), fontsize=style.LABEL)


def _span(values: Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else style.limits(values)


def _core(values: Array) -> Array:
    """Without the most extreme 1 % on either side: one spike does not bleach the map."""
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.01, 0.99]) if finite.size else (0.0, 0.0)
    return np.clip(finite, low, high)
