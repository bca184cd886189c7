"""Title, notes and legend around the panels that fit the number of inputs."""

import re
import textwrap
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sobolev.audit import Finding
from sobolev.plots import curves, maps, parity, slices, style
from sobolev.plots.samples import Samples

_EXPLAINED = ("f'' = 0 everywhere", "the Hessian = 0 everywhere")
"""What piecewise linear activations are the cause of."""


def build(
    samples: Samples, names: style.Names, title: str, findings: Sequence[Finding], measured: Samples | None
) -> Figure:
    """Draw the panels, then the lines above them."""
    figure = Figure(dpi=style.DPI, facecolor="white", layout="none")  # pyright: ignore[reportArgumentType]
    FigureCanvasAgg(figure)
    many = slices if slices.are_slices(samples) else parity
    panels = {1: curves, 2: maps}.get(samples.inputs, many)
    left_out = panels.draw(figure, samples, names, measured) if len(samples.points) else _nothing(figure)
    lines = [(line, style.SEVERITY.get(severity, style.MUTED)) for line, severity in notes(samples, findings)]
    if left_out:
        lines.append((left_out, style.MUTED))
    _head(figure, title or "Derivatives of the network", lines)
    return figure


def notes(samples: Samples, findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """At most one line and its severity: what the numbers show, and why, from the worst finding."""
    worst = sorted(findings, key=lambda finding: {"error": 0, "warning": 1}.get(finding.severity, 2))
    seen = _vanishing(samples)
    if not worst:
        return [(seen, "error")] if seen else []
    first = worst[0]
    clause = re.split(r"[.;:]\s", first.message)[0].rstrip(".")
    text = clause if not first.where or first.where in clause else f"{first.where}: {clause}"
    more = f" (+ {len(worst) - 1} more)" if len(worst) > 1 else ""
    link = ": " if first.kind == "piecewise-linear" and seen in _EXPLAINED else " · "
    return [(f"{seen}{link}{text}{more}" if seen else text + more, first.severity)]


def _vanishing(samples: Samples) -> str:
    """The lowest order at which the network is 0 at every point although the truth is not."""
    for order in samples.orders:
        predicted, exact = samples.predicted[order], samples.exact[order]
        unlike = (exact is None and order in (1, 2)) or (exact is not None and exact.any())
        if predicted.size and not predicted.any() and unlike:
            what = f"f{chr(39) * order}" if order <= 3 else f"the derivative of order {order}"
            several = {0: "f", 1: "the gradient", 2: "the Hessian"}.get(order, what)
            return f"{what if samples.inputs == 1 else several} = 0 everywhere"
    return ""


def _nothing(figure: Figure) -> str:
    figure.set_size_inches(5.0, 1.0)
    return "no points"


def _head(figure: Figure, title: str, lines: Sequence[tuple[str, str]]) -> None:
    """Title, legend and notes in a band of their own above the panels."""
    width, height = figure.get_size_inches()
    band = 0.42 + 0.24 * len(lines)
    figure.set_size_inches(width, height + band)
    total = height + band
    if engine := figure.get_layout_engine():
        engine.set(rect=(0, 0, 1, height / total), w_pad=0.07, h_pad=0.05)  # pyright: ignore[reportCallIssue]
    else:
        fixed = figure.subplotpars
        figure.subplots_adjust(top=fixed.top * height / total, bottom=fixed.bottom * height / total)
        for axes in figure.axes:
            if axes.get_subplotspec() is None:  # placed by hand
                box = axes.get_position()
                axes.set_position((box.x0, box.y0 * height / total, box.width, box.height * height / total))
    place = {"x": 0.09 / width, "va": "center", "ha": "left", "parse_math": False}
    figure.text(y=1 - 0.25 / total, s=_short(title, width - 2.8, 8.5), fontsize=style.TITLE, weight="bold",
                color=style.INK, **place)  # fmt: skip
    for row, (line, color) in enumerate(lines):
        y = 1 - (0.54 + 0.24 * row) / total
        figure.text(y=y, s=_short(line, width, 12.5), fontsize=style.LABEL, color=color, **place)
    _legend(figure, total)


def _legend(figure: Figure, height: float) -> None:
    entries = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    entries.pop("error", None)
    if entries:
        figure.legend(
            entries.values(), entries.keys(), loc="center right", ncols=len(entries), frameon=False,
            fontsize=style.LABEL, bbox_to_anchor=(1.0, 1 - 0.25 / height), columnspacing=1.2, handlelength=1.6,
            borderaxespad=0.1,
        ).set_in_layout(False)  # fmt: skip


def _short(text: str, inches: float, per_inch: float) -> str:
    return textwrap.shorten(" ".join(text.split()), max(20, int(inches * per_inch)), placeholder=" …")
