"""Derivatives of a model at batches of points, compared with the truth where there is one."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import SumMetric

from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.guard import evaluating
from sobolev.autodiff.operators import ChunkSize, Method
from sobolev.autodiff.tensors import derivative_tensors
from sobolev.metrics import DerivativeError

Truth = tuple[Tensor | None, ...]
"""The exact derivative tensors of orders 0, 1, ...; None where an order has no truth."""

FIGURE_POINTS = 2000

_HALF = (torch.float16, torch.bfloat16)


@dataclass
class Measurement:
    """Errors of orders 0 to `order`, summed over batches and processes; a few points are kept for a figure."""

    order: int
    method: Method = "auto"
    chunk_size: ChunkSize = "auto"
    metrics: list[DerivativeError] = field(default_factory=list)
    sizes: list[DerivativeError] = field(default_factory=list)
    rows: SumMetric = field(default_factory=SumMetric)
    kept: list[tuple[Tensor, tuple[Tensor, ...], Truth]] = field(default_factory=list)

    def reset(self) -> None:
        """Forget all batches."""
        self.kept = []
        self.rows.reset()
        for metric in (*self.metrics, *self.sizes):
            metric.reset()

    def update(self, model: nn.Module, x: Tensor, truth: Truth, *, required: bool = True) -> None:
        """Differentiate the model at x, (batch, *in), and count the errors.

        Where a truth is missing or NaN, no error counts. The model is left as it was, random numbers included.

        Args:
            model: maps (batch, *in) to (batch, *out).
            x: the points.
            truth: the exact tensors of orders 0, 1, ....
            required: whether a truth of another shape than the derivative is an error; otherwise it is none.

        Raises:
            ValueError: a required truth does not have the shape of the derivative.
        """
        with undisturbed(model, x.device):
            f, x = _at_least_single(model, x)
            with torch.no_grad():
                predicted = derivative_tensors(f, x, self.order, method=self.method, chunk_size=self.chunk_size)
        x, *predicted = (_countable(tensor) for tensor in (x, *predicted))
        if not self.metrics:
            self.rows.to(x.device)
            self.metrics, self.sizes = ([_metric(x) for _ in predicted] for _ in range(2))
        truth = (*truth, *(None for _ in predicted))[: len(predicted)]
        exact = tuple(_fitting(k, *pair, required) for k, pair in enumerate(zip(predicted, truth, strict=True)))
        for metric, size, values, true in zip(self.metrics, self.sizes, predicted, exact, strict=True):
            metric.update(values, torch.full_like(values, torch.nan) if true is None else true, x)
            size.update(values, torch.zeros_like(values), x)
        self.rows.update(len(x))
        self._keep(x, tuple(predicted), exact)

    def errors(self) -> list[dict[str, Any]]:
        """An entry for each order, over all processes: `order`, `rmse`, `relative_l2`, `max`, `at`.

        An order nothing is known of has its own size in place of an error: `rms`, `max`, `at`.
        """
        return [{"order": k, **_entry(*pair)} for k, pair in enumerate(zip(self.metrics, self.sizes, strict=True))]

    def points(self) -> int:
        """How many points were measured, over all processes."""
        return int(self.rows.compute())

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
        room = FIGURE_POINTS - sum(len(points) for points, _, _ in self.kept)
        if room > 0:
            exact = tuple(None if t is None else t[:room].cpu() for t in truth)
            self.kept.append((x[:room].cpu(), tuple(p[:room].cpu() for p in predicted), exact))


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode inside; afterwards the flags, buffers and random numbers are those of before.

    A forward may count its calls in a buffer, or draw random numbers even in eval mode.
    """
    buffers = [(owner, name, b) for owner in model.modules() for name, b in owner._buffers.items() if b is not None]
    copies = [buffer.detach().clone() for _, _, buffer in buffers]
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.enter_context(evaluating(model))
        try:
            yield
        finally:
            with torch.no_grad():
                for (owner, name, buffer), copy in zip(buffers, copies, strict=True):
                    owner._buffers[name] = buffer
                    if not buffer.is_inference():  # those cannot be written to everywhere
                        buffer.copy_(copy)


def _at_least_single(model: nn.Module, x: Tensor) -> tuple[BatchedFunction, Tensor]:
    """The model and points of its precision; in float32 where that is a half precision, which blurs derivatives."""
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    precisions = {w.dtype for w in weights.values() if w.is_floating_point()} or {x.dtype}
    half = {name: w.float() for name, w in weights.items() if w.dtype in _HALF}
    if not half:
        return model, x if x.dtype in precisions else x.to(max(precisions, key=lambda dtype: dtype.itemsize))
    return lambda x: torch.func.functional_call(model, half, x), x.float()


def _metric(x: Tensor) -> DerivativeError:
    return DerivativeError(x.shape[1:].numel()).to(x.device)


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
        f"the model's derivative of order {order} has shape {tuple(predicted.shape)}, the reference's "
        f"{tuple(exact.shape)}; give a reference with the inputs and outputs of the model"
    )


def _entry(error: DerivativeError, size: DerivativeError) -> dict[str, Any]:
    """The numbers of one order; the size is asked for where no process knows a truth, so on all or none."""
    values = {name: value.tolist() for name, value in error.compute().items()}
    if not values.pop("count"):
        values = {name: value.tolist() for name, value in size.compute().items()}
        values = {"rms": values["rmse"], "max": values["max"], "at": values["at"]}
    values["at"] = [values["at"]] if isinstance(values["at"], float) else values["at"]  # torchmetrics squeezes
    return values
