"""What a figure is drawn from: points, derivatives and their errors as numpy arrays in float64."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One entry of one derivative of one output, at every point.

    Attributes:
        output: which output.
        inputs: the inputs it is differentiated by, in ascending order; empty for the value.
        predicted: the network's, (n,).
        exact: the truth, (n,), or None where it is not known.
        deviation: standard deviations of its error, (n,), or None where they are not known.
    """

    output: int
    inputs: tuple[int, ...]
    predicted: Array
    exact: Array | None
    deviation: Array | None = None

    @property
    def error(self) -> Array | None:
        """Absolute error, (n,)."""
        return None if self.exact is None else np.abs(self.predicted - self.exact)


@dataclass(frozen=True)
class Samples:
    """Points (n, d) and, per order k, derivatives (n, outputs, d, ..., d), d repeated k times."""

    points: Array
    predicted: list[Array]
    exact: list[Array | None]
    deviations: list[Array | None] = field(default_factory=list)
    outside: NDArray[np.bool_] | None = None
    """Which points lie outside of the data, where that is known."""

    @property
    def inputs(self) -> int:
        """Number of inputs, d."""
        return self.points.shape[1]

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.predicted[0].shape[1]

    @property
    def orders(self) -> range:
        """0 to the highest order."""
        return range(len(self.predicted))

    def curve(self, output: int, inputs: tuple[int, ...]) -> Curve:
        """The derivative of one output by these inputs."""
        at = (slice(None), output, *inputs)
        exact = self.exact[len(inputs)]
        known = self.deviations[len(inputs)] if len(inputs) < len(self.deviations) else None
        predicted, deviation = self.predicted[len(inputs)][at], None if known is None else known[at]
        true = None if exact is None else exact[at]
        if true is not None and len(true) and np.isnan(true).all():  # a table has labels of some derivatives
            true = None
        return Curve(output, inputs, predicted, true, deviation)

    def curves(self, output: int, order: int) -> list[Curve]:
        """Every derivative of this order, mixed ones once."""
        return [self.curve(output, i) for i in combinations_with_replacement(range(self.inputs), order)]

    def take(self, rows: NDArray[np.intp]) -> "Samples":
        """Some of the points, in this order."""
        exact = [None if value is None else value[rows] for value in self.exact]
        deviations = [None if value is None else value[rows] for value in self.deviations]
        outside = None if self.outside is None else self.outside[rows]
        return Samples(self.points[rows], [value[rows] for value in self.predicted], exact, deviations, outside)


def samples(
    points: Tensor | ArrayLike,
    predicted: Sequence[Tensor | ArrayLike],
    exact: Sequence[Tensor | ArrayLike | None] | None,
    deviations: Sequence[Tensor | ArrayLike | None] | None = None,
    outside: Tensor | None = None,
) -> Samples:
    """Check the shapes and bring everything to float64.

    Args:
        points: (n, d), or (n,) for one input.
        predicted: order k is (n, outputs, d, ..., d); any shape with as many entries in the same sequence will do.
        exact: the same, or None, as a whole or for single orders.
        deviations: the same.
        outside: which points lie outside of the data, (n,).

    Raises:
        ValueError: nothing predicted, or a shape that does not fit the points.
    """
    if not predicted:
        raise ValueError("predicted is empty; give at least the network's values, (n, outputs)")
    x = _array(points)
    x = x.reshape(len(x), int(np.prod(x.shape[1:])))
    values = _array(predicted[0])
    outputs = 1 if values.ndim == 1 else int(np.prod(values.shape[1:]))
    given, known = ([*(some or ()), *[None] * len(predicted)][: len(predicted)] for some in (exact, deviations))
    return Samples(
        x,
        [_shaped(value, x, outputs, order, "predicted") for order, value in enumerate(predicted)],
        [None if e is None else _shaped(e, x, outputs, order, "exact") for order, e in enumerate(given)],
        [None if s is None else _shaped(s, x, outputs, order, "deviations") for order, s in enumerate(known)],
        None if outside is None else _array(outside).astype(bool),
    )


def root_mean_square(values: Array) -> float:
    """Over the finite entries; NaN where there is none. Scaled, so that no square overflows."""
    finite = np.abs(values[np.isfinite(values)])
    largest = finite.max(initial=0.0)
    if not finite.size or largest == 0:
        return 0.0 if finite.size else float("nan")
    return float(largest * np.sqrt(np.mean((finite / largest) ** 2)))


def relative_l2(curve_error: Array, exact: Array) -> float:
    """RMSE over the root mean square of the truth; infinity where the truth is 0 and the network is not."""
    error, size = root_mean_square(curve_error), root_mean_square(exact)
    if size == 0:
        return 0.0 if error == 0 else float("inf")
    return error / size


def _array(values: Tensor | ArrayLike) -> Array:
    if isinstance(values, Tensor):
        return values.detach().to("cpu", torch.float64).numpy()
    return np.asarray(values, dtype=np.float64)


def _shaped(values: Tensor | ArrayLike, x: Array, outputs: int, order: int, what: str) -> Array:
    array = _array(values)
    shape = (len(x), outputs, *[x.shape[1]] * order)
    if array.size != np.prod(shape) or array.shape[:1] != shape[:1]:
        raise ValueError(f"{what}[{order}] has shape {array.shape}; with these points it must be {shape}")
    return array.reshape(shape)
