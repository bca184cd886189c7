"""Many inputs: the network against the truth, a panel per order, the worst entry in a colour of its own."""

from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sobolev.plots import labels, style
from sobolev.plots.maps import badness
from sobolev.plots.samples import Array, Curve, Samples

OUTPUTS, COLUMNS = 3, 4
MOST_DOTS = 4000


@dataclass(frozen=True)
class Panel:
    """Entries of one order of derivatives that share axes, and all the numbers that its score is about."""

    title: str
    entries: list[Curve]
    predicted: Array
    exact: Array | None


def draw(figure: Figure, samples: Samples, names: style.Names, measured: Samples | None = None) -> str:
    """Draw into an empty figure, set its size, and say what was left out."""
    samples, of_truth = (samples, "exact") if measured is None else (measured, names.measured)
    outputs = range(min(samples.outputs, OUTPUTS))
    panels = [_panels(samples, output, names) for output in outputs]
    columns = min(COLUMNS, max(map(len, panels)))
    rows = [row[start : start + columns] for row in panels for start in range(0, len(row), columns)]
    figure.set_layout_engine("constrained")
    figure.set_size_inches(max(3.2 * columns, 5.0), 3.5 * len(rows))
    for axes, row in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
        for cell, panel in zip(axes, row, strict=False):
            _draw(cell, panel, names, of_truth)
        for cell in axes[len(row) :]:
            cell.remove()
    orders = [] if names.derivatives else [f"order {k}" for k in samples.orders[COLUMNS:]]
    return labels.left_out([*names.outputs[len(outputs) :], *orders])


def _panels(samples: Samples, output: int, names: style.Names) -> list[Panel]:
    """One per order; where the user has names for derivatives, one for the value and one for each of those."""
    if not names.derivatives:
        return [_order(samples, output, order, names) for order in samples.orders[:COLUMNS]]
    curves = [curve for order in samples.orders for curve in samples.curves(output, order)]
    chosen = [curve for curve in curves if not curve.inputs or names.given(curve)]
    return [Panel(names.label(curve), [curve], curve.predicted, curve.exact) for curve in chosen]


def _order(samples: Samples, output: int, order: int, names: style.Names) -> Panel:
    entries = sorted(samples.curves(output, order), key=badness, reverse=True)
    exact = samples.exact[order]
    if all(entry.exact is None for entry in entries):
        exact = None
    what = {0: names.label(entries[0]), 1: "gradient", 2: "Hessian"}.get(order, f"derivatives of order {order}")
    of = f" of {names.label(replace(entries[0], inputs=()))}, {len(entries)} entries" if order else ""
    predicted = samples.predicted[order][:, output]
    return Panel(f"{what}{of}", entries, predicted, None if exact is None else exact[:, output])


def _draw(axes: Axes, panel: Panel, names: style.Names, of_truth: str) -> None:
    axes.set_title(
        f"{panel.title}\n{style.score(panel.predicted, panel.exact)}",
        fontsize=style.LABEL, loc="left", color=style.INK, linespacing=1.35,
    )  # fmt: skip
    if panel.exact is None:
        _distribution(axes, panel.predicted)
    else:
        _against(axes, [entry for entry in panel.entries if entry.exact is not None], names, of_truth)
    style.dress(axes)
    rows = panel.predicted.reshape(len(panel.predicted), -1)
    style.remark_not_finite(axes, np.asarray(~np.isfinite(rows).all(axis=1)))


def _against(axes: Axes, entries: list[Curve], names: style.Names, of_truth: str) -> None:
    """Dots on the diagonal are right; the worst entry lies on top, named."""
    low, high = style.limits(*[c.exact for c in entries])
    axes.plot([low, high], [low, high], color=style.EXACT, linewidth=4, label=of_truth, zorder=1)
    worst, others = entries[0], entries[1:] or entries
    _dots(axes, others, style.NETWORK, "network")
    if others is not entries:
        _dots(axes, [worst], style.WORST, "")
        axes.text(
            0.03, 0.97, f"worst: {names.label(worst)}", transform=axes.transAxes, va="top",
            fontsize=style.SMALL, color=style.WORST,
        )  # fmt: skip
    axes.set(xlim=(low, high), ylim=style.limits(*[c.predicted for c in entries], np.array([low, high])))
    axes.set_xlabel(of_truth, fontsize=style.SMALL)
    axes.set_ylabel("network", fontsize=style.SMALL)


def _dots(axes: Axes, entries: list[Curve], color: str, label: str) -> None:
    exact = np.concatenate([_thin(c.exact, len(entries)) for c in entries if c.exact is not None])
    predicted = np.concatenate([_thin(c.predicted, len(entries)) for c in entries])
    axes.plot(
        exact, predicted, "o", color=color, markersize=3, markeredgewidth=0, alpha=0.55,
        label=label or "_worst", rasterized=True,
    )  # fmt: skip


def _thin(values: Array, entries: int) -> Array:
    """Evenly spaced rows, so that all entries together have at most about MOST_DOTS."""
    most = max(1, MOST_DOTS // entries)
    return values[np.linspace(0, len(values) - 1, min(len(values), most)).astype(np.intp)]


def _distribution(axes: Axes, predicted: Array) -> None:
    finite = predicted[np.isfinite(predicted)]
    axes.hist(finite, bins=40, range=style.limits(finite), color=style.NETWORK)
    axes.set_xlabel("network", fontsize=style.SMALL)
    axes.set_ylabel("number of entries", fontsize=style.SMALL)
