"""Derivatives of a function at batches of points, compared with the truth where there is one."""

from collections.abc import Callable, Mapping
from itertools import zip_longest
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.autodiff.engine import ChunkSize, Method
from sobolev.autodiff.operators import derivative_tensors
from sobolev.autodiff.tensor_classes import changed, ordinary
from sobolev.callbacks.processes import gathered
from sobolev.functions.notation import Place
from sobolev.metrics import Exact, add_sums, as_exact, plain_errors, sums_of_errors
from sobolev.monitor.budget import coefficients

Truth = tuple[Tensor | None, ...]
"""The exact derivative tensors of orders 0, 1, ...; None where an order has no truth."""

FIGURE_POINTS = 2000

_NUMBERS = 1 << 22
"""About so many entries of the highest derivative are in memory at a time, and ten times as many for a figure."""

_LARGEST = 1 << 16
"""An order above the first with more entries than this for a single output of a single sample is not measured..."""
_LARGEST_OF_ALL, _FEW = 1 << 18, 64
"""...nor is one with more than the first number for all outputs of a sample, and the second for each: a Jacobian of a
field on a grid by another takes as many passes as there are inputs."""
_LAST_COEFFICIENTS = 1 << 14
"""Rows times numbers that stand in place of each number of a plain pass, computed between two looks at the clock."""

_REMEMBERED = 1 << 18
"""Of exact tensors with so many entries at most, more is kept than their errors."""


class Measurement:
    """Errors of orders 0 to `order`, summed over batches and processes; a few points are kept for a figure.

    Args:
        order: the highest.
        method: as in `sobolev.derivatives`.
        chunk_size: as in `sobolev.derivatives`.
        named: single entries of the derivatives that are measured by themselves, for modules of (batch, inputs).

    Attributes:
        named_errors: of these, by the last call of `errors`: as there, with the `name`.
        kept: points, derivatives and their truth, for a figure.
        rows: how many points this process has counted.
        inputs: how many numbers each point had.
        outputs: of each of the last points, where these have many inputs.
        measured: the highest order that was, at these.
    """

    def __init__(
        self,
        order: int,
        method: Method = "auto",
        chunk_size: ChunkSize = "auto",
        named: Mapping[str, Place] | None = None,
    ) -> None:
        self.order, self.named = order, named or {}
        self.method: Method = method
        self.chunk_size: ChunkSize = chunk_size
        self.named_errors: list[dict[str, Any]] = []
        self.inputs, self.outputs, self.measured = 0, 1, order
        self._shapes: dict[torch.Size, int] = {}
        self._known: tuple[list[tuple[Tensor, int]], Exact | None] = ([], None)
        self.reset()

    def reset(self) -> None:
        """Forget all batches, but not what is known of the truths, which are the same at every validation."""
        self.kept: list[tuple[Tensor, tuple[Tensor, ...], Truth]] = []
        self.rows = 0
        self._sums: dict[str, list[float]] = {}

    def update(
        self,
        function: Callable[[slice], Any],
        x: Tensor,
        truth: Truth,
        *,
        required: bool = True,
        block: int | None = None,
        differentiate: Callable[..., tuple[Tensor, ...]] = derivative_tensors,
        most_kept: int | None = None,
        until: float | None = None,
    ) -> None:
        """Differentiate at x, (batch, *in), and count the errors.

        Where a truth is missing or NaN, no error counts.

        Args:
            function: what maps some of the rows of x, (rows, *in), to (rows, *out); whatever `differentiate` takes.
            x: the points.
            truth: the exact tensors of orders 0, 1, ....
            required: whether a truth of another shape than the derivative is an error; otherwise it is none.
            block: the number of rows that `function` is asked for at most; None: any number.
            differentiate: finds the derivative tensors of what `function` returns.
            most_kept: so many points at most are kept for a figure; None: as many as a figure of points shows.
            until: leave out the rest of the points when `perf_counter` is beyond that.

        Raises:
            ValueError: a required truth does not have the shape of the derivative.
        """
        inputs, self.outputs = x.shape[1:].numel(), self._outputs_at(function, x, block)
        self.measured = order = measured_order(self.order, x, self.outputs)
        size = max(1, min(block or len(x), _NUMBERS // (inputs**order * self.outputs)))
        if until is not None:
            size = min(size, max(1, _LAST_COEFFICIENTS // coefficients(inputs, order)))
        chunk = self.chunk_size if block is None else None
        for start in range(0, len(x), size):
            if start and until is not None and perf_counter() > until:
                break
            rows = slice(start, start + size)
            part = x if size >= len(x) else changed(lambda plain, rows=rows: plain[rows], x)
            with torch.no_grad():
                values = differentiate(function(rows), part, order, method=self.method, chunk_size=chunk)
                self._count(part, values, truth if part is x else _rows(truth, rows), required, most_kept)

    def _outputs_at(self, function: Callable[[slice], Any], x: Tensor, block: int | None) -> int:
        """How many outputs a sample has; 1 where it does not matter, for there are few inputs."""
        if x.shape[1:].numel() <= _FEW or not len(x):
            return 1
        if x.shape[1:] not in self._shapes:
            rows = slice(0, block or len(x))
            with torch.no_grad():
                y = function(rows)(changed(lambda plain: plain[rows], x))
            self._shapes[x.shape[1:]] = y.shape[1:].numel()
        return self._shapes[x.shape[1:]]

    def _count(
        self, x: Tensor, predicted: tuple[Tensor, ...], truth: Truth, required: bool, most_kept: int | None
    ) -> None:
        x, *values = (_countable(tensor) for tensor in (ordinary(x), *predicted))
        truth = (*(None if t is None else ordinary(t) for t in truth), *(None for _ in values))[: len(values)]
        exact = tuple(_fitting(k, *pair, required) for k, pair in enumerate(zip(values, truth, strict=True)))
        points = x.reshape(len(x), -1)
        if not self.rows:
            self.inputs = points.shape[1]
        if points.shape[1] != self.inputs:  # sequences differ in length
            points = nn.functional.pad(points, (0, self.inputs - points.shape[1]))
        pairs = {f"error {k}": (values[k], true) for k, true in enumerate(exact) if true is not None}
        pairs |= self._named_pairs(x, values, exact)
        known = self._exact([true for _, true in pairs.values()]) if pairs and len(x) else None
        counts = dict(zip(pairs, known.counts, strict=True)) if known else {}
        self._add(pairs, points, known)
        unknown = {f"size {k}": (v, torch.zeros_like(v)) for k, v in enumerate(values) if not counts.get(f"error {k}")}
        unknown |= self._named_sizes(x, values, counts)
        self._add(unknown, points)
        self.rows += len(x)
        self._keep(x, tuple(values), exact, most_kept or FIGURE_POINTS)

    def _named_pairs(self, x: Tensor, values: list[Tensor], exact: Truth) -> dict[str, tuple[Tensor, Tensor]]:
        """Single entries with a name of their own, predicted and exact."""
        pairs = {}
        for name, (output, *by) in self.named.items():
            true = exact[len(by)] if len(by) < len(exact) else None
            if true is not None:
                at, shape = (slice(None), output, *by), (len(x), -1, *x.shape[1:] * len(by))
                pairs[f"named {name}"] = values[len(by)].reshape(shape)[at], true.reshape(shape)[at]
        return pairs

    def _named_sizes(self, x: Tensor, values: list[Tensor], counts: dict[str, Any]) -> dict[str, tuple[Tensor, Tensor]]:
        """Single entries with a name of their own and no truth."""
        sizes = {}
        for name, (output, *by) in self.named.items():
            if not counts.get(f"named {name}") and len(by) < len(values):
                entry = values[len(by)].reshape(len(x), -1, *x.shape[1:] * len(by))[(slice(None), output, *by)]
                sizes[f"size {name}"] = entry, torch.zeros_like(entry)
        return sizes

    def _add(self, pairs: Mapping[str, tuple[Tensor, Tensor]], points: Tensor, exact: Exact | None = None) -> None:
        if pairs:
            rows = sums_of_errors(list(pairs.values()), points, exact).tolist()
            add_sums(self._sums, dict(zip(pairs, rows, strict=True)))

    def _exact(self, tensors: list[Tensor]) -> Exact:
        """As `as_exact`, not computed again for tensors that are still the same."""
        if any(tensor.is_inference() for tensor in tensors):  # which do not tell whether they have changed
            return as_exact(tensors)
        versions, (known, exact) = [(tensor, tensor._version) for tensor in tensors], self._known
        pairs = list(zip_longest(known, versions, fillvalue=(None, 0)))
        if exact is None or not all(a is b and v == w for (a, v), (b, w) in pairs):
            exact = as_exact(tensors)
            self._known = (versions, exact) if exact.columns.numel() <= _REMEMBERED else ([], None)
        return exact

    def errors(self) -> tuple[list[dict[str, Any]], int]:
        """An entry for each order, over all processes: `order`, `rmse`, `relative_l2`, `max`, `at`; how many points.

        An order nothing is known of has its own size in place of an error: `rms`, `max`, `at`. To be called by every
        process, also by one that had no batch.
        """
        parts = gathered((self.rows, self.inputs, self._sums))
        points, inputs = sum(rows for rows, *_ in parts), max(width if rows else 0 for rows, width, _ in parts)
        if not self.rows:
            self.inputs = inputs
        found = _joined([sums for *_, sums in parts], inputs)
        entries = []
        for k in range(self.order + 1):
            if error := found.get(f"error {k}"):
                entries.append({"order": k, **error})
            elif size := found.get(f"size {k}"):
                entries.append({"order": k, "rms": size["rmse"], "max": size["max"], "at": size["at"]})
        self.named_errors = []
        for name, place in self.named.items():
            if error := found.get(f"named {name}"):
                self.named_errors.append({"name": name, "order": len(place) - 1, **error})
            elif size := found.get(f"size {name}"):
                own = {"rms": size["rmse"], "max": size["max"], "at": size["at"]}
                self.named_errors.append({"name": name, "order": len(place) - 1, **own})
        return entries, points

    def figure_data(self) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:
        """Points kept for a figure, and predicted and exact tensors by order."""
        x = torch.cat([points for points, _, _ in self.kept])
        predicted = [torch.cat(values) for values in zip(*(p for _, p, _ in self.kept), strict=True)]
        exact = [
            torch.cat(list(values)) if all(v is not None for v in values) else None
            for values in zip(*(t for _, _, t in self.kept), strict=True)
        ]
        return x, predicted, exact

    def _keep(self, x: Tensor, predicted: tuple[Tensor, ...], truth: Truth, most: int) -> None:
        most = max(1, min(most, 10 * _NUMBERS // max(1, predicted[-1][:1].numel())))
        room = most - sum(len(points) for points, _, _ in self.kept)
        if room > 0 and all(points.shape[1:] == x.shape[1:] for points, _, _ in self.kept[:1]):
            if len(x) > room:
                x, predicted, truth = x[:room], tuple(p[:room] for p in predicted), _rows(truth, slice(room))
            exact = tuple(None if t is None else t.cpu() for t in truth)
            self.kept.append((x.cpu(), tuple(p.cpu() for p in predicted), exact))


def _joined(parts: list[dict[str, list[float]]], inputs: int) -> dict[str, dict[str, Any]]:
    """The errors over all processes, of those quantities that have a truth."""
    total: dict[str, list[float]] = {}
    for sums in parts:  # where another process has longer sequences, this one's have zeros
        add_sums(total, {name: row + [0.0] * (4 + inputs - len(row)) for name, row in sums.items()})
    return {name: error for name, error in plain_errors(total).items() if error.pop("count")}


def measured_order(order: int, x: Tensor, outputs: int = 1) -> int:
    """The highest order up to `order` whose derivative by x, (batch, *in), is of a size one can compute."""
    inputs = x.shape[1:].numel()
    found = next((k for k in range(order, 1, -1) if inputs**k <= _LARGEST), min(order, 1))
    few = (k for k in range(found, 0, -1) if inputs**k <= _FEW or inputs**k * outputs <= _LARGEST_OF_ALL)
    return found if outputs == 1 else next(few, 0)


def _rows(truth: Truth, rows: slice) -> Truth:
    return tuple(None if t is None else t[rows] for t in truth)


def _countable(values: Tensor) -> Tensor:
    """Where sums in float64 are possible: Apple's GPU has none."""
    return values.cpu() if values.device.type == "mps" else values


def _fitting(order: int, predicted: Tensor, exact: Tensor | None, required: bool) -> Tensor | None:
    """The truth in the shape of the derivative, if it has as many entries for each sample."""
    if exact is None or exact.shape == predicted.shape:
        return exact
    if exact.shape[:1] == predicted.shape[:1] and exact.numel() == predicted.numel():
        return exact.reshape(predicted.shape)
    if not required:
        return None
    column = " (where the targets belong to one of its columns: output=0, or targets=[None])" if order == 0 else ""
    raise ValueError(
        f"the model's derivative of order {order} has shape {tuple(predicted.shape)}, the reference's or label's "
        f"{tuple(exact.shape)}; give a reference with the inputs and outputs of the model{column}"
    )
