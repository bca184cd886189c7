"""Many inputs and no truth: value and derivatives along each input, through the middle of the data."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sobolev.plots import labels, style
from sobolev.plots.samples import Array, Curve, Samples

INPUTS, OUTPUTS, ORDERS = 5, 2, 3
MOST_DOTS = 1000
WIDTH = 2.1
"""Inches that a title has."""


def are_slices(samples: Samples) -> bool:
    """Whether the points are those along the first input, then as many along the second, and so on."""
    rows, inputs = len(samples.points), samples.inputs
    if inputs < 2 or not rows or rows % inputs:
        return False
    blocks = samples.points.reshape(inputs, rows // inputs, inputs)
    changes = np.ptp(blocks, axis=1) > 0
    return bool((changes == np.eye(inputs, dtype=bool)).all())


def draw(figure: Figure, samples: Samples, names: style.Names, measured: Samples | None = None) -> str:
    """Draw into an empty figure, set its size, and say what was left out."""
    inputs, outputs = range(min(samples.inputs, INPUTS)), range(min(samples.outputs, OUTPUTS))
    rows = [(output, order) for output in outputs for order in samples.orders[:ORDERS]]
    figure.set_layout_engine("constrained")
    figure.set_size_inches(max(2.7 * len(inputs), 5.0), 1.9 * len(rows) + 0.4)
    blocks = np.array_split(np.arange(len(samples.points)), samples.inputs)
    cells = figure.subplots(len(rows), len(inputs), squeeze=False, sharex="col", sharey=False)
    for line, (output, order) in zip(cells, rows, strict=True):
        for along, axes in zip(inputs, line, strict=True):
            part = samples.take(blocks[along])
            data = None if measured is None or order else (measured.points[:, along], measured.curve(output, ()))
            _draw(axes, part.points[:, along], part.curve(output, (along,) * order), part, names, data)
    for along, axes in zip(inputs, cells[-1], strict=True):
        axes.set_xlabel(names.axis(along), fontsize=style.LABEL)
    return labels.left_out([*names.outputs[len(outputs) :], *(f"along {n}" for n in names.inputs[len(inputs) :])])


def _draw(
    axes: Axes, x: Array, curve: Curve, samples: Samples, names: style.Names, data: tuple[Array, Curve] | None
) -> None:
    style.shade_outside(axes, x, samples.outside)
    known = None if data is None else data[1].exact
    if data is not None and known is not None:
        rows = np.linspace(0, len(known) - 1, min(len(known), MOST_DOTS)).astype(np.intp)
        axes.plot(
            data[0][rows], known[rows], "o", color=style.EXACT, markersize=3, markeredgewidth=0, label=names.measured
        )
    if (band := style.band(curve)) is not None:
        axes.fill_between(x, *band, color=style.NETWORK, alpha=0.2, linewidth=0, label="estimated 90 % band")
    axes.plot(x, curve.predicted, color=style.NETWORK, linewidth=1.4, label="network")
    title = names.label(curve)
    size = style.fitting(title, WIDTH)
    if size == style.SMALLEST:  # the unit below the name
        title = "\n[".join(title.rsplit(" [", 1))
        size = min(style.fitting(line, WIDTH) for line in title.split("\n"))
    axes.set_title(title, fontsize=size, loc="left", color=style.INK)
    style.dress(axes)
    axes.set_xlim(float(x.min()), float(x.max()))
    axes.set_ylim(*style.limits(curve.predicted, known, *style.usual_band(curve)))
    style.remark_not_finite(axes, ~np.isfinite(curve.predicted))
