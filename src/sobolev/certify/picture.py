"""A picture of what is proved: the bound of each cell over the domain."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from sobolev.certify.balls import Array
from sobolev.certify.statement import Bound, Part

_PIXELS = 400
_LIMIT = "#b03a2e"


def draw(
    path: str | Path,
    subject: str,
    inputs: Sequence[str],
    domain: Sequence[tuple[float, float]],
    bounds: Sequence[Bound],
    parts: Sequence[Part],
) -> None:
    """One panel for each bound: steps over one input, a map over the first two inputs otherwise (worst of the others).

    A condition that gives values to all inputs but one is drawn over that one.

    Args:
        path: of the file; its ending says the format.
        subject: the title.
        inputs: names.
        domain: the interval of each.
        bounds: what was proved.
        parts: the searches, whose columns are the bounds in their order, or two for each range.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [(bound, *columns) for bound, columns in zip(bounds, _columns(bounds, parts), strict=True)]
    figure = Figure(
        figsize=(9, 2.6 * len(panels)) if len(inputs) == 1 else (4.4 * len(panels), 4), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = (len(panels), 1) if len(inputs) == 1 else (1, len(panels))
    for axes, (bound, part, upper) in zip(figure.subplots(*grid, squeeze=False).ravel(), panels, strict=True):
        free = _free(part, domain)
        if len(free) < 2:
            _steps(axes, part, upper, bound, free[0] if free else 0, inputs)
            axes.legend(fontsize=8, loc="best") if bound is bounds[0] else None
        else:
            _map(axes, part, upper, bound, inputs, domain)
    figure.suptitle(subject, fontsize=11)
    figure.savefig(path, dpi=150)


def _columns(bounds: Sequence[Bound], parts: Sequence[Part]) -> list[tuple[Part, Array]]:
    """For each bound its search and the bound of each cell."""
    if len(parts) == len(bounds):
        return [(part, part.cover.upper[:, 0]) for part in parts]
    (part,) = parts
    if len(part.names) == len(bounds):
        return [(part, part.cover.upper[:, k]) for k in range(len(bounds))]
    return [(part, part.cover.upper[:, [own == k for own in part.orders]].max(1)) for k in range(len(bounds))]


def _free(part: Part, domain: Sequence[tuple[float, float]]) -> list[int]:
    """The inputs that vary in a search; the others have a thin slice of the domain."""
    widths = zip(part.domain, domain, strict=True)
    return [i for i, ((low, high), (a, b)) in enumerate(widths) if high - low > 1e-9 * (b - a)]


def _steps(axes: Any, part: Part, upper: Array, bound: Bound, place: int, inputs: Sequence[str]) -> None:
    order = np.argsort(part.cover.low[:, place])
    edges = np.append(part.cover.low[order, place], part.cover.high[order[-1:], place])
    axes.stairs(upper[order], edges, baseline=None, color="#1f5a93", label="proved in each cell")
    axes.axhline(bound.upper, color=_LIMIT, linewidth=1, label="nowhere exceeded")
    axes.plot(bound.where[place], bound.lower, "o", color=_LIMIT, markersize=4, label="attained")
    axes.set(xlabel=inputs[place])
    axes.set_ylabel(bound.name) if len(inputs) == 1 else axes.set_title(_title(bound), fontsize=9)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", scilimits=(-3, 4))


def _title(bound: Bound) -> str:
    return f"{fill(bound.name, 40)} <= {bound.upper:.3g}"


def _map(
    axes: Any, part: Part, upper: Array, bound: Bound, inputs: Sequence[str], domain: Sequence[tuple[float, float]]
) -> None:
    (left, right), (bottom, top) = domain[:2]
    picture = np.full((_PIXELS, _PIXELS), -np.inf)
    scale = np.array([_PIXELS / (right - left), _PIXELS / (top - bottom)])
    first = np.floor((part.cover.low[:, :2] - [left, bottom]) * scale + 1e-9).astype(int).clip(0, _PIXELS - 1)
    last = np.ceil((part.cover.high[:, :2] - [left, bottom]) * scale - 1e-9).astype(int).clip(1, _PIXELS)
    for (x, y), (x_end, y_end), value in zip(first, np.maximum(last, first + 1), upper, strict=True):
        block = picture[y:y_end, x:x_end]
        np.maximum(block, value, out=block)
    picture[~np.isfinite(picture)] = np.nan
    image = axes.imshow(picture, origin="lower", extent=(left, right, bottom, top), aspect="auto", cmap="viridis")
    axes.plot(*bound.where[:2], "o", color=_LIMIT, markersize=5)
    axes.set(xlabel=inputs[0], ylabel=inputs[1])
    axes.set_title(_title(bound), fontsize=9)
    axes.figure.colorbar(image, ax=axes, shrink=0.8)
