"""Derivatives of a function at batches of points, compared with the truth where there is one."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.guard import evaluating
from sobolev.autodiff.operators import ChunkSize, Method
from sobolev.autodiff.tensors import derivative_tensors
from sobolev.metrics import DerivativeError, derivative_error_of_sums
from sobolev.notation import Place

Truth = tuple[Tensor | None, ...]
"""The exact derivative tensors of orders 0, 1, ...; None where an order has no truth."""

FIGURE_POINTS = 2000

_NUMBERS = 1 << 22
"""About so many entries of the highest derivative are in memory at a time, and ten times as many for a figure."""

_LARGEST = 1 << 16
"""An order with more entries than this for a single output of a single sample is not measured."""


@dataclass
class Measurement:
    """Errors of orders 0 to `order`, summed over batches and processes; a few points are kept for a figure.

    Attributes:
        named: single entries of the derivatives that are measured by themselves, for modules of (batch, inputs).
        named_errors: of these, by the last call of `errors`: as there, with the `name`, where a truth is known.
    """

    order: int
    method: Method = "auto"
    chunk_size: ChunkSize = "auto"
    named: dict[str, Place] = field(default_factory=dict)
    named_errors: list[dict[str, Any]] = field(default_factory=list)
    named_metrics: dict[str, DerivativeError] = field(default_factory=dict)
    metrics: list[DerivativeError] = field(default_factory=list)
    sizes: list[DerivativeError] = field(default_factory=list)
    rows: int = 0
    kept: list[tuple[Tensor, tuple[Tensor, ...], Truth]] = field(default_factory=list)
    _inputs: int = 0

    def reset(self) -> None:
        """Forget all batches."""
        self.kept, self.rows = [], 0
        for metric in self._all():
            metric.reset()

    def update(
        self,
        function: Callable[[slice], BatchedFunction],
        x: Tensor,
        truth: Truth,
        *,
        required: bool = True,
        block: int | None = None,
    ) -> None:
        """Differentiate at x, (batch, *in), and count the errors.

        Where a truth is missing or NaN, no error counts.

        Args:
            function: what maps some of the rows of x, (rows, *in), to (rows, *out).
            x: the points.
            truth: the exact tensors of orders 0, 1, ....
            required: whether a truth of another shape than the derivative is an error; otherwise it is none.
            block: the number of rows that `function` is asked for at most; None: any number.

        Raises:
            ValueError: a required truth does not have the shape of the derivative.
        """
        order = measured_order(self.order, x)
        size = max(1, min(block or len(x), _NUMBERS // x.shape[1:].numel() ** order))
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            with torch.no_grad():
                chunk = self.chunk_size if block is None else None
                values = derivative_tensors(function(rows), x[rows], order, method=self.method, chunk_size=chunk)
            self._count(x[rows], values, tuple(None if t is None else t[rows] for t in truth), required)

    def _count(self, x: Tensor, predicted: tuple[Tensor, ...], truth: Truth, required: bool) -> None:
        x, *values = (_countable(tensor) for tensor in (x, *predicted))
        if len(self.metrics) != len(values) or (not self.rows and self._inputs != x.shape[1:].numel()):
            self._inputs = x.shape[1:].numel()
            self.metrics, self.sizes = ([_metric(x) for _ in values] for _ in range(2))
            self.named_metrics = {name: _metric(x) for name, place in self.named.items() if len(place) <= len(values)}
        truth = (*truth, *(None for _ in values))[: len(values)]
        exact = tuple(_fitting(k, *pair, required) for k, pair in enumerate(zip(values, truth, strict=True)))
        places = x.flatten(1) if x.dim() > 1 else x[:, None]
        places = nn.functional.pad(places, (0, self._inputs - places.shape[1]))  # sequences differ in length
        for metric, size, value, true in zip(self.metrics, self.sizes, values, exact, strict=True):
            if true is not None:
                metric.update(value, true, places)
            if true is None or true.isnan().any():
                size.update(value, torch.zeros_like(value), places)
        for name, metric in self.named_metrics.items():
            output, *by = self.named[name]
            value, true = values[len(by)], exact[len(by)]
            if true is not None:
                at, shape = (slice(None), output, *by), (len(x), -1, *x.shape[1:] * len(by))
                metric.update(value.reshape(shape)[at], true.reshape(shape)[at], places)
        self.rows += len(x)
        self._keep(x, tuple(values), exact)

    def errors(self) -> tuple[list[dict[str, Any]], int]:
        """An entry for each order, over all processes: `order`, `rmse`, `relative_l2`, `max`, `at`; how many points.

        An order nothing is known of has its own size in place of an error: `rms`, `max`, `at`. One collective call,
        to be made by every process, also by one that had no batch.
        """
        states = None
        if self.rows:
            states = torch.stack([_state(metric) for metric in self._all()]).cpu()
        everywhere = [part for part in gathered((self.rows, states)) if part[1] is not None]
        self.named_errors = []
        if not everywhere:
            return [], 0
        merged = torch.stack([states for _, states in everywhere], dim=1)
        counts = {n: 2 * n + sum(len(place) <= n for place in self.named.values()) for n in range(1, self.order + 2)}
        measured = next(n for n, count in counts.items() if count == len(merged))
        orders, named = merged[: 2 * measured].unflatten(0, (2, -1)), merged[2 * measured :]
        names = [name for name, place in self.named.items() if len(place) <= measured]
        entries = [{"order": k, **_entry(*pair)} for k, pair in enumerate(zip(*orders, strict=True))]
        for name, states in zip(names, named, strict=True):
            values = _computed(states)
            if values.pop("count"):
                self.named_errors.append({"name": name, "order": len(self.named[name]) - 1, **values})
        return entries, sum(rows for rows, _ in everywhere)

    def _all(self) -> list[DerivativeError]:
        return [*self.metrics, *self.sizes, *self.named_metrics.values()]

    def figure_data(self) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:
        """Points kept for a figure, and predicted and exact tensors by order."""
        x = torch.cat([points for points, _, _ in self.kept])
        predicted = [torch.cat(values) for values in zip(*(p for _, p, _ in self.kept), strict=True)]
        exact = [
            torch.cat(list(values)) if all(v is not None for v in values) else None
            for values in zip(*(t for _, _, t in self.kept), strict=True)
        ]
        return x, predicted, exact

    def _keep(self, x: Tensor, predicted: tuple[Tensor, ...], truth: Truth) -> None:
        most = max(1, min(FIGURE_POINTS, 10 * _NUMBERS // max(1, predicted[-1][:1].numel())))
        room = most - sum(len(points) for points, _, _ in self.kept)
        if room > 0 and all(points.shape[1:] == x.shape[1:] for points, _, _ in self.kept[:1]):
            exact = tuple(None if t is None else t[:room].cpu() for t in truth)
            self.kept.append((x[:room].cpu(), tuple(p[:room].cpu() for p in predicted), exact))


def measured_order(order: int, x: Tensor) -> int:
    """The highest order up to `order` whose derivative by x, (batch, *in), is of a size one can compute."""
    inputs = x.shape[1:].numel()
    return next((k for k in range(order, 1, -1) if inputs**k <= _LARGEST), min(order, 1))


def coefficients(inputs: int, order: int) -> int:
    """How many numbers a pass for derivatives up to `order` computes in place of each number of a plain one."""
    if inputs == 1:
        return order + 1
    return sum((1, inputs, inputs * (inputs + 1) // 2, *(inputs**k for k in range(3, order + 1)))[: order + 1])


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode inside; afterwards the flags, buffers and random numbers are those of before.

    A forward may count its calls in a buffer, draw random numbers even in eval mode, or log.
    """
    buffers = [(owner, name, b) for owner in model.modules() for name, b in owner._buffers.items() if b is not None]
    copies = [buffer.detach().clone() for _, _, buffer in buffers]
    python, numpy = random.getstate(), sys.modules.get("numpy")
    numbers = numpy.random.get_state() if numpy else None
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.enter_context(evaluating(model))
        stack.enter_context(_not_logging(model))
        try:
            yield
        finally:
            random.setstate(python)
            if numpy:
                numpy.random.set_state(numbers)
            with torch.no_grad():
                for (owner, name, buffer), copy in zip(buffers, copies, strict=True):
                    owner._buffers[name] = buffer
                    if not buffer.is_inference():  # those cannot be written to everywhere
                        buffer.copy_(copy)


@contextmanager
def _not_logging(model: nn.Module) -> Iterator[None]:
    """A forward that calls `self.log` must not log from our calls of it."""
    attributes, silent = vars(model), {"log": _ignored, "log_dict": _ignored}
    saved = {name: attributes[name] for name in silent if name in attributes}
    attributes.update({name: ignored for name, ignored in silent.items() if hasattr(model, name)})
    try:
        yield
    finally:
        for name in silent:
            attributes.pop(name, None)
        attributes.update(saved)


def _ignored(*_: Any, **__: Any) -> None:
    return


def gathered(value: Any) -> list[Any]:
    """What every process has to say."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def _metric(x: Tensor) -> DerivativeError:
    return DerivativeError(x.shape[1:].numel(), sync_on_compute=False).to(x.device)


def _state(metric: DerivativeError) -> Tensor:
    """Squared errors, squared truths, count, worst error and its place: one row, float64."""
    sums = (metric.squared_error, metric.squared_truth, metric.count.double())
    return torch.cat([torch.stack(sums), metric.worst.reshape(-1)])


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
    raise ValueError(
        f"the model's derivative of order {order} has shape {tuple(predicted.shape)}, the reference's or label's "
        f"{tuple(exact.shape)}; give a reference with the inputs and outputs of the model"
    )


def _entry(error: Tensor, size: Tensor) -> dict[str, Any]:
    """The numbers of one order, from the states (processes, numbers) of all processes."""
    values = _computed(error)
    if not values.pop("count"):
        values = _computed(size)
        values = {"rms": values["rmse"], "max": values["max"], "at": values["at"]}
    return values


def _computed(states: Tensor) -> dict[str, Any]:
    squared_error, squared_truth, count = states[:, :3].sum(0)
    errors = derivative_error_of_sums(squared_error, squared_truth, count.long(), states[:, 3:])
    return {name: value.tolist() for name, value in errors.items()}
