"""Correct digits of f and its derivatives over the epochs of a training."""

from collections.abc import Collection, Mapping

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sobolev.plots import style

_COLORS = (style.NETWORK, style.WORST, "#009E73", "#CC79A7")
"""Of the orders; after Okabe and Ito, as all colours here."""
_FEW = 40
"""Epochs whose points are marked."""


def build(history: Mapping[int, Mapping[int, float]], estimated: Collection[int], title: str) -> Figure:
    """A curve for each order; what is estimated is dashed."""
    figure = Figure(figsize=(6.4, 3.6), dpi=style.DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for order in sorted({order for digits in history.values() for order in digits}):
        epochs = [epoch for epoch, digits in history.items() if order in digits]
        name = ("f" + "'" * order if order < 4 else f"order {order}") + (", estimated" if order in estimated else "")
        axes.plot(
            epochs, [history[epoch][order] for epoch in epochs], "--" if order in estimated else "-",
            color=_COLORS[order % len(_COLORS)], linewidth=1.6, label=name, marker="o" if len(epochs) <= _FEW else None,
            markersize=3.5,
        )  # fmt: skip
    style.dress(axes)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), max(1.0, axes.get_ylim()[1]))
    axes.set_xlabel("epoch", fontsize=style.LABEL)
    axes.set_ylabel("correct digits", fontsize=style.LABEL)
    axes.set_title(title, fontsize=style.TITLE, loc="left", color=style.INK, weight="bold")
    if axes.lines:
        columns = min(len(axes.lines), len(_COLORS))  # below the axes, where no curve is
        figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=style.LABEL)
    return figure
