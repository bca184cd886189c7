"""Colours, sizes and axes shared by all figures. Nothing here touches matplotlib's global settings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray

from sobolev.functions.notation import derivative_notation, derivative_unit
from sobolev.plots import labels
from sobolev.plots.samples import Array, Curve, relative_l2, root_mean_square

# After Okabe and Ito: told apart with every kind of colour blindness.
NETWORK, EXACT, WORST = "#0072B2", "#F2BC57", "#D55E00"
OUTSIDE = "#DDDDDD"
INK, MUTED, GRID = "#222222", "#666666", "#E4E4E4"
SEVERITY = {"error": "#B3261E", "warning": "#8A5A00"}

TITLE, LABEL, SMALL, SMALLEST = 12.5, 10.5, 9.0, 7.5
_PER_CHARACTER = 0.085
"""Inches of a letter of a label."""
DPI = 110


@dataclass(frozen=True)
class Names:
    """What the user calls the columns; missing names are made up."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    derivatives: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    measured: str = "data"
    """What the values at rows of their own are called."""

    def fitted(self, inputs: int, outputs: int) -> "Names":
        """One name per column: x1, x2, ... and y1, y2, ... where the given ones do not fit."""
        return replace(self, inputs=_named(self.inputs, inputs, "x"), outputs=_named(self.outputs, outputs, "y"))

    def given(self, curve: Curve) -> str | None:
        """What the user calls this derivative."""
        return self.derivatives.get(derivative_notation(*self._of(curve)))

    def label(self, curve: Curve, room: int = labels.ROOM) -> str:
        """What the user calls the derivative, or mathematical notation, and its unit."""
        output, by = self._of(curve)
        unit = self._unit(output, by)
        if given := self.given(curve):
            return labels.with_unit(labels.name(given, room), unit)
        return labels.with_unit(labels.derivative(output, by, partial=len(self.inputs) > 1, room=room), unit)

    def axis(self, number: int) -> str:
        """The label of the axis of an input, with its unit."""
        return labels.with_unit(labels.name(self.inputs[number]), self.units.get(self.inputs[number], ""))

    def _unit(self, output: str, by: Sequence[str]) -> str:
        """Of a derivative; empty where one of the units in it is not known."""
        if output not in self.units or any(name not in self.units for name in by):
            return ""
        return derivative_unit(self.units[output], [self.units[name] for name in by])

    def _of(self, curve: Curve) -> tuple[str, list[str]]:
        return self.outputs[curve.output], [self.inputs[i] for i in curve.inputs]


def _named(names: Sequence[str], count: int, letter: str) -> list[str]:
    if len(names) == count:
        return [str(name) for name in names]
    return [f"{letter}{i + 1}" for i in range(count)]


def fitting(text: str, inches: float, size: float = LABEL) -> float:
    """The size of letters at which a text of one line takes so many inches, between that given and the smallest."""
    written = len(re.sub(r"[${}^_\\]", "", text))
    return max(SMALLEST, size * min(1.0, inches / (_PER_CHARACTER * max(1, written))))


def dress(axes: Axes) -> None:
    """Light frame and grid, few ticks, powers of ten written once."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, color=MUTED, length=3)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "linear":
            plain_ticks(axis)
        else:
            axis.set_major_locator(LogLocator(numticks=5))
            axis.set_minor_locator(NullLocator())


def plain_ticks(axis: Axis, count: int = 5) -> None:
    """Few round ticks on a linear axis."""
    axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]))
    form = ScalarFormatter(useOffset=False, useMathText=True)
    form.set_powerlimits((-3, 4))
    axis.set_major_formatter(form)
    axis.get_offset_text().set_fontsize(SMALL)


BAND = 1.645
"""Standard deviations that nine of ten cases of a normal distribution lie within."""


def score(predicted: Array, exact: Array | None, deviation: Array | None = None) -> str:
    """One short line: relative L2 and RMSE over the finite entries, or the size where no truth is known."""
    if not np.isfinite(predicted).any():
        return "nowhere finite"
    if exact is None:
        error = "" if deviation is None else f" ± {labels.number(root_mean_square(deviation))}"
        return f"root mean square {labels.number(root_mean_square(predicted))}{error}"
    error = predicted - exact
    relative = labels.number(relative_l2(error, exact)) if exact.any() else "undefined"
    return f"rel. L2 {relative} · RMSE {labels.number(root_mean_square(error))}"


def band(curve: Curve) -> tuple[Array, Array] | None:
    """What the error lies within in nine of ten cases."""
    if curve.deviation is None:
        return None
    half = BAND * curve.deviation
    return curve.predicted - half, curve.predicted + half


def usual_band(curve: Curve) -> tuple[Array, Array] | tuple[()]:
    """As wide everywhere as the band is at half of the points: at the ends it often leaves the panel."""
    if curve.deviation is None or not np.isfinite(curve.deviation).any():
        return ()
    half = BAND * float(np.nanmedian(np.where(np.isfinite(curve.deviation), curve.deviation, np.nan)))
    return curve.predicted - half, curve.predicted + half


def limits(*values: Array | None) -> tuple[float, float]:
    """Range of the finite values with some room, at least 5 % of their size: rounding is not blown up."""
    finite = np.concatenate([v[np.isfinite(v)] for v in values if v is not None])
    if not finite.size:
        return -1.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    middle = low / 2 + high / 2
    half = max(high / 2 - low / 2, 0.025 * max(abs(low), abs(high))) or 1.0
    return middle - 1.06 * half, middle + 1.06 * half


def log_limits(errors: Array) -> tuple[float, float]:
    """Decades of the positive errors that matter: isolated zeros do not stretch them."""
    positive = errors[np.isfinite(errors) & (errors > 0)]
    if not positive.size:
        return 1e-17, 1e-15
    high = 2 * float(positive.max())
    low = float(np.quantile(positive, 0.02)) / 2
    return max(min(low, high / 100), high * 1e-8, 1e-300), high


def shade_outside(axes: Axes, x: Array, outside: NDArray[np.bool_] | None) -> None:
    """Grey where ascending x lies outside of the data."""
    if outside is None or not outside.any():
        return
    edges = np.flatnonzero(np.diff(outside.astype(int), prepend=0, append=0))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        axes.axvspan(
            float(x[start]), float(x[end - 1]), color=OUTSIDE, linewidth=0, zorder=0, label="outside of the data"
        )


def remark(axes: Axes, text: str, color: str = MUTED) -> None:
    """A short line inside the axes, at the bottom."""
    axes.text(
        0.03, 0.07, text, transform=axes.transAxes, fontsize=SMALL, color=color, zorder=5, parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )  # fmt: skip


def remark_not_finite(axes: Axes, bad: NDArray[np.bool_]) -> None:
    """Say at how many points there is no number."""
    if bad.any():
        remark(axes, f"NaN or infinite at {bad.sum()} of {len(bad)} points", WORST)
