"""One input: f, f', f'', ... over the truth, and below each its absolute error on a log axis."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sobolev.plots import labels, style
from sobolev.plots.samples import Curve, Samples

COLUMNS = 4
OUTPUTS = 3
MOST_POINTS = 2000
FEW_POINTS = 40


def draw(figure: Figure, samples: Samples, names: style.Names) -> str:
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
    panels = 1 if all(exact is None for exact in samples.exact) else 2
    figure.set_layout_engine("constrained")
    figure.set_size_inches(max(3.2 * columns, 5.0), (2.5 + 1.3 * (panels - 1)) * len(rows))
    grid = figure.add_gridspec(len(rows) * panels, columns, height_ratios=[2.1, 1][:panels] * len(rows))
    order = np.argsort(samples.points[:, 0], kind="stable")
    x = samples.points[order, 0]
    for row, curves in enumerate(rows):
        for column, curve in enumerate(curves):
            top = figure.add_subplot(grid[row * panels, column])
            _values(top, x, order, curve, names)
            bottom = top
            if panels == 2:
                bottom = figure.add_subplot(grid[row * panels + 1, column], sharex=top)
                top.tick_params(labelbottom=False)
                top.xaxis.get_offset_text().set_visible(False)
                _errors(bottom, x, order, curve)
                if column == 0:
                    bottom.set_ylabel("absolute error", fontsize=style.SMALL)
            bottom.set_xlabel(labels.name(names.inputs[0]), fontsize=style.LABEL)
    return labels.left_out(names.outputs[len(shown) :])


def _values(axes: Axes, x: np.ndarray, order: np.ndarray, curve: Curve, names: style.Names) -> None:
    predicted, exact = curve.predicted[order], None if curve.exact is None else curve.exact[order]
    rows = _thinned(curve, order)
    form = "o" if len(x) <= FEW_POINTS else "-"
    if exact is not None:
        axes.plot(x[rows], exact[rows], form, color=style.EXACT, linewidth=5, markersize=9, label="exact")
    axes.plot(x[rows], predicted[rows], form, color=style.NETWORK, linewidth=1.4, markersize=4, label="network")
    axes.set_title(
        f"{names.label(curve)}\n{style.score(predicted, exact)}",
        fontsize=style.LABEL, loc="left", color=style.INK, linespacing=1.35,
    )  # fmt: skip
    style.dress(axes)
    axes.set_ylim(*style.limits(predicted, exact))
    axes.set_xlim(*style.limits(x))
    _mark_not_finite(axes, x, predicted)


def _mark_not_finite(axes: Axes, x: np.ndarray, predicted: np.ndarray) -> None:
    bad = ~np.isfinite(predicted)
    if bad.any():
        rug = Line2D(x[bad], np.zeros(bad.sum()), marker="|", markersize=9, linestyle="none", color=style.WORST)
        rug.set(transform=axes.get_xaxis_transform(), label="not finite")
        axes.add_line(rug)
        style.remark_not_finite(axes, bad)


def _errors(axes: Axes, x: np.ndarray, order: np.ndarray, curve: Curve) -> None:
    """The error of one curve; a zero leaves the panel through its floor."""
    if curve.error is None:
        style.dress(axes)
        axes.set_yticks([])
        style.remark(axes, "no reference")
        return
    error = curve.error[order]
    rows = _thinned(curve, order)
    form = "o" if len(x) <= FEW_POINTS else "-"
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
