"""Many inputs: the network against the truth, a panel per order, the worst entry in a colour of its own."""

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sobolev.plots import labels, style
from sobolev.plots.maps import badness
from sobolev.plots.samples import Array, Curve, Samples

OUTPUTS, COLUMNS = 3, 4
MOST_DOTS = 4000


def draw(figure: Figure, samples: Samples, names: style.Names) -> str:
    """Draw into an empty figure, set its size, and say what was left out."""
    outputs = range(min(samples.outputs, OUTPUTS))
    orders = samples.orders[:COLUMNS]
    figure.set_layout_engine("constrained")
    figure.set_size_inches(max(3.2 * len(orders), 5.0), 3.5 * len(outputs))
    grid = figure.subplots(len(outputs), len(orders), squeeze=False)
    for output in outputs:
        for order in orders:
            _panel(grid[output, order], samples, output, order, names)
    return labels.left_out([*names.outputs[len(outputs) :], *[f"order {k}" for k in samples.orders[COLUMNS:]]])


def _panel(axes: Axes, samples: Samples, output: int, order: int, names: style.Names) -> None:
    entries = sorted(samples.curves(output, order), key=badness, reverse=True)
    predicted = samples.predicted[order][:, output]
    exact = samples.exact[order]
    exact = None if exact is None else exact[:, output]
    what = {0: names.label(entries[0]), 1: "gradient", 2: "Hessian"}.get(order, f"derivatives of order {order}")
    of = f" of {names.label(replace(entries[0], inputs=()))}, {len(entries)} entries" if order else ""
    axes.set_title(
        f"{what}{of}\n{style.score(predicted, exact)}",
        fontsize=style.LABEL, loc="left", color=style.INK, linespacing=1.35,
    )  # fmt: skip
    if exact is None:
        _distribution(axes, predicted)
    else:
        _against(axes, entries, names)
    style.dress(axes)
    style.remark_not_finite(axes, np.asarray(~np.isfinite(predicted.reshape(len(predicted), -1)).all(axis=1)))


def _against(axes: Axes, entries: list[Curve], names: style.Names) -> None:
    """Dots on the diagonal are right; the worst entry lies on top, named."""
    low, high = style.limits(*[c.exact for c in entries])
    axes.plot([low, high], [low, high], color=style.EXACT, linewidth=4, label="exact", zorder=1)
    worst, others = entries[0], entries[1:] or entries
    _dots(axes, others, style.NETWORK, "network")
    if others is not entries:
        _dots(axes, [worst], style.WORST, "")
        axes.text(
            0.03, 0.97, f"worst: {names.label(worst)}", transform=axes.transAxes, va="top",
            fontsize=style.SMALL, color=style.WORST,
        )  # fmt: skip
    axes.set(xlim=(low, high), ylim=style.limits(*[c.predicted for c in entries], np.array([low, high])))
    axes.set_xlabel("exact", fontsize=style.SMALL)
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
