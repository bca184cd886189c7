"""One input: f, f', f'', ... over the truth, and below each its absolute error on a log axis."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D

from sobolev.plots import labels, style
from sobolev.plots.samples import Curve, Samples, root_mean_square

COLUMNS = 4
OUTPUTS = 3
MOST_POINTS = 2000
FEW_POINTS = 40
TITLE = 2.75
"""Inches that a title has."""


def draw(figure: Figure, samples: Samples, names: style.Names, measured: Samples | None = None) -> str:
    """Draw into an empty figure, set its size, and say what was left out.

    Orders stand side by side, at most four in a row; each output starts a new row.
    """
    shown = range(min(samples.outputs, OUTPUTS))
    rows = [
        [samples.curve(output, (0,) * order) for order in samples.orders[start : start + COLUMNS]]
        for output in shown
        for start in range(0, len(samples.orders), COLUMNS)
    ]
    columns = max(len(row) for row in rows)
    compared = samples if measured is None else measured
    told = compared.exact if measured is None else compared.exact[1:]  # how far off measurements are is in their title
    panels = 1 if all(exact is None for exact in told) else 2
    grid = _grid(figure, len(rows), columns, panels)
    order = np.argsort(samples.points[:, 0], kind="stable")
    x = samples.points[order, 0]
    for row, curves in enumerate(rows):
        for column, curve in enumerate(curves):
            top = figure.add_subplot(grid[2 * panels * row, 2 * column])
            rows_of = None if measured is None else (measured.points[:, 0], measured.curve(curve.output, curve.inputs))
            style.shade_outside(top, x, None if samples.outside is None else samples.outside[order])
            _values(top, x, order, curve, names, rows_of)
            bottom = top
            if panels == 2 and _is_known(curve, rows_of):
                bottom = figure.add_subplot(grid[2 * panels * row + 2, 2 * column], sharex=top)
                top.tick_params(labelbottom=False)
                top.xaxis.get_offset_text().set_visible(False)
                if rows_of is None:
                    _errors(bottom, x, order, curve)
                else:
                    _errors(bottom, rows_of[0], np.argsort(rows_of[0], kind="stable"), rows_of[1], dots=True)
                if column == 0:
                    bottom.set_ylabel("absolute error", fontsize=style.SMALL)
            bottom.set_xlabel(names.axis(0), fontsize=style.LABEL)
    return labels.left_out(names.outputs[len(shown) :])


def _grid(figure: Figure, rows: int, columns: int, panels: int) -> GridSpec:
    """Panels at the even places, at fixed distances: a computed layout takes three times as long to draw.

    All lengths are in inches: the axes' labels take the gaps, the titles the room above each row.
    """
    panel, small, beside, above, below, between = max(2.4, 4.2 / columns), 0.95, 0.72, 0.52, 0.5, 0.13
    row = [2.0, below + above] if panels == 1 else [2.0, between, small, below + above]
    heights = (row * rows)[:-1]
    widths = ([panel, beside] * columns)[:-1]
    left, right = 0.75, 0.15
    width, height = left + sum(widths) + right, above + sum(heights) + below
    figure.set_size_inches(width, height)
    figure.subplots_adjust(left / width, below / height, 1 - right / width, 1 - above / height, 0, 0)
    return figure.add_gridspec(len(heights), len(widths), height_ratios=heights, width_ratios=widths)


_Rows = tuple[np.ndarray, Curve]
"""Points with labels, and what the network says there."""


def _is_known(curve: Curve, rows: _Rows | None) -> bool:
    return curve.exact is not None if rows is None else rows[1].exact is not None


def _values(
    axes: Axes, x: np.ndarray, order: np.ndarray, curve: Curve, names: style.Names, rows_of: _Rows | None = None
) -> None:
    predicted, exact = curve.predicted[order], None if curve.exact is None else curve.exact[order]
    rows = _thinned(curve, order)
    form = "o" if len(x) <= FEW_POINTS else "-"
    if exact is not None:
        axes.plot(x[rows], exact[rows], form, color=style.EXACT, linewidth=5, markersize=9, label="exact")
    if exact is None and curve.deviation is not None:
        low, high = (edge[order][rows] for edge in style.band(curve) or ())
        axes.fill_between(x[rows], low, high, color=style.NETWORK, alpha=0.2, linewidth=0, label="estimated 90 % band")
    axes.plot(x[rows], predicted[rows], form, color=style.NETWORK, linewidth=1.4, markersize=4, label="network")
    score, labels_there = style.score(predicted, exact, curve.deviation), None
    if rows_of is not None and (labels_there := rows_of[1].exact) is not None:
        axes.plot(rows_of[0], labels_there, "o", color=style.EXACT, markersize=5, zorder=1.9, label=names.measured)
        score = style.score(rows_of[1].predicted, labels_there)
        if names.measured == "data":  # with noise of their own
            score = f"RMSE to the data {labels.number(root_mean_square(rows_of[1].predicted - labels_there))}"
    _title(axes, names.label(curve), score)
    style.dress(axes)
    usual = () if exact is not None else style.usual_band(curve)
    axes.set_ylim(*style.limits(predicted, exact, labels_there, *usual))
    axes.set_xlim(*style.limits(x))
    _mark_not_finite(axes, x, predicted)


def _title(axes: Axes, label: str, score: str) -> None:
    """Two lines; a unit that does not fit behind the name stands behind the numbers."""
    if style.fitting(label, TITLE) == style.SMALLEST and " [" in label:
        label, unit = label.rsplit(" [", 1)
        score = f"{score} [{unit}"
    size = min(style.fitting(line, TITLE) for line in (label, score))
    axes.set_title(f"{label}\n{score}", fontsize=size, loc="left", color=style.INK, linespacing=1.35)


def _mark_not_finite(axes: Axes, x: np.ndarray, predicted: np.ndarray) -> None:
    bad = ~np.isfinite(predicted)
    if bad.any():
        rug = Line2D(x[bad], np.zeros(bad.sum()), marker="|", markersize=9, linestyle="none", color=style.WORST)
        rug.set(transform=axes.get_xaxis_transform(), label="not finite")
        axes.add_line(rug)
        style.remark_not_finite(axes, bad)


def _errors(axes: Axes, x: np.ndarray, order: np.ndarray, curve: Curve, *, dots: bool = False) -> None:
    """The error of one curve; a zero leaves the panel through its floor."""
    assert curve.error is not None
    x = x[order] if dots else x
    error = curve.error[order]
    rows = _thinned(curve, order)
    form = "o" if dots or len(x) <= FEW_POINTS else "-"
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(*style.log_limits(error))
    axes.plot(x[rows], error[rows], form, color=style.NETWORK, linewidth=1.0, markersize=4, label="error")
    style.dress(axes)
    if len(error) and not error.any():
        style.remark(axes, "exactly 0")


def _thinned(curve: Curve, order: np.ndarray) -> np.ndarray:
    """At most about MOST_POINTS evenly spaced ranks, the largest error among them."""
    n = len(order)
    if n <= MOST_POINTS:
        return np.arange(n)
    rows = np.linspace(0, n - 1, MOST_POINTS).astype(np.intp)
    ranked = np.abs(curve.predicted if curve.error is None else curve.error)[order]
    return np.union1d(rows, np.argmax(np.where(np.isfinite(ranked), ranked, -1.0)))
