"""Figures of derivatives. The only place that draws; matplotlib is imported on the first call."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from sobolev.audit import Finding

    Measured = tuple[Tensor | ArrayLike, Sequence[Tensor | ArrayLike], Sequence[Tensor | ArrayLike | None]]

_DRAWING = RLock()
"""matplotlib's text layout keeps state between calls; one thread draws at a time."""


def derivatives_figure(
    points: "Tensor | ArrayLike",
    predicted: "Sequence[Tensor | ArrayLike]",
    exact: "Sequence[Tensor | ArrayLike | None] | None" = None,
    *,
    input_names: Sequence[str] = ("x",),
    output_names: Sequence[str] = ("y",),
    derivative_names: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    title: str = "",
    findings: "Sequence[Finding]" = (),
    deviations: "Sequence[Tensor | ArrayLike | None] | None" = None,
    measured: "Measured | None" = None,
    measured_name: str = "data",
    outside: Tensor | None = None,
) -> "Figure":
    """Draw a network's derivatives, over the truth and with their errors where the truth is known.

    One input: a column per order, the curve above, its absolute error on a log axis below. Two inputs: heat
    maps of value, gradient and Hessian. More inputs: network against truth, a panel per order; where nothing is known
    but measured values, value and derivatives along each input, the points of one input behind those of the other.

    Args:
        points: (n, d), or (n,) for one input.
        predicted: orders 0, 1, ...; order k is (n, outputs, d, ..., d), d repeated k times.
        exact: the truth in the same shapes; None, as a whole or for single orders, where it is not known.
        input_names: a name per input, shown as it is.
        output_names: a name per output, shown as it is.
        derivative_names: names for derivatives, `{"dprice/dspot": "delta"}`; with more than two inputs each has a
            panel of its own, in place of those of the orders.
        units: of inputs and outputs by their names; axes and titles show them, those of derivatives follow.
        title: the first line.
        findings: of an audit; the worst is shown in one line.
        deviations: standard deviations of the errors, in the same shapes as the truth: where there is none, bands that
            hold it in nine of ten cases; with two inputs a map beside each.
        measured: where a truth is known at some rows alone, in place of `exact`: these points (rows, d), the network's
            derivatives and the labels there, in the shapes of `predicted` and `exact`; NaN is no label.
        measured_name: what the labels there are called.
        outside: which points lie outside of the data, (n,); they are shaded.

    Returns:
        A figure of its own, unknown to pyplot: nothing to close.

    Raises:
        ValueError: a shape that does not fit the points.

    Examples:
        >>> import sobolev, torch
        >>> x = torch.linspace(0, 6, 200, dtype=torch.float64)[:, None]
        >>> predicted = sobolev.derivatives(torch.sin, x, order=2)
        >>> figure = sobolev.plots.derivatives_figure(x[:, 0], predicted)
    """
    from sobolev.plots.figure import build
    from sobolev.plots.samples import samples
    from sobolev.plots.style import Names

    data = samples(points, predicted, exact, deviations, outside)
    names = Names(input_names, output_names, derivative_names or {}, units or {}, measured_name)
    names = names.fitted(data.inputs, data.outputs)
    with _DRAWING:
        return build(data, names, title, findings, None if measured is None else samples(*measured))


def digits_figure(
    history: Mapping[int, Mapping[int, float]], estimated: Collection[int] = (), *, title: str = "Correct digits"
) -> "Figure":
    """Draw how many digits of f, f', f'', ... were correct as the training went on.

    Args:
        history: minus log10 of the relative error of each order, by epochs.
        estimated: the orders whose errors are estimates.
        title: the first line.

    Examples:
        >>> import sobolev
        >>> figure = sobolev.plots.digits_figure({0: {1: 2.0, 2: 3.5}, 1: {1: 1.0, 2: 2.6}})
    """
    from sobolev.plots.digits import build

    with _DRAWING:
        return build(history, estimated, title)


def save(figure: "Figure", path: str | Path) -> Path:
    """Write the figure, replacing an older one only when the new one is complete; returns the path.

    Args:
        figure: from `derivatives_figure`.
        path: its suffix says the format: .png, .svg, .pdf.

    Examples:
        >>> import sobolev
        >>> sobolev.plots.save(sobolev.plots.digits_figure({0: {1: 2.0}}), "digits.svg").name
        'digits.svg'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        with _DRAWING:
            figure.savefig(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def image(figure: "Figure") -> "np.ndarray[Any, Any]":
    """The figure as pixels, (height, width, 3) uint8, for `SummaryWriter.add_image(..., dataformats="HWC")`."""
    import numpy as np

    canvas: Any = figure.canvas
    with _DRAWING:
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()
