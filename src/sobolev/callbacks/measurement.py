"""Derivatives of a model at batches of points, compared with the truth where there is one."""

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
    known: list[bool] = field(default_factory=list)
    rows: SumMetric = field(default_factory=SumMetric)
    kept: list[tuple[Tensor, tuple[Tensor, ...], Truth]] = field(default_factory=list)

    def reset(self) -> None:
        """Forget all batches."""
        self.kept = []
        self.rows.reset()
        for metric in self.metrics:
            metric.reset()

    def update(self, model: nn.Module, x: Tensor, truth: Truth) -> None:
        """Differentiate the model at x, (batch, *in), and count the errors.

        Without a truth the derivatives themselves are counted, as if the truth were 0.
        """
        with evaluating(model):
            f, x = _at_least_single(model, x)
            with torch.no_grad():
                predicted = derivative_tensors(f, x, self.order, method=self.method, chunk_size=self.chunk_size)
        if not self.metrics:
            self.rows.to(x.device)
            self.metrics = [DerivativeError(x.shape[1:].numel()).to(x.device) for _ in predicted]
        known = (None if exact is None or exact.isnan().all() else exact for exact in truth)
        truth = (*known, *(None for _ in predicted))[: len(predicted)]
        self.known = [exact is not None for exact in truth]
        for metric, values, exact in zip(self.metrics, predicted, truth, strict=True):
            metric.update(values, torch.zeros_like(values) if exact is None else exact.reshape(values.shape), x)
        self.rows.update(len(x))
        self._keep(x, predicted, truth)

    def errors(self) -> list[dict[str, Any]]:
        """An entry for each order, over all processes: `order`, `rmse` (or `rms`), `relative_l2`, `max`, `at`."""
        entries = []
        for k, (metric, known) in enumerate(zip(self.metrics, self.known, strict=True)):
            values = {name: value.tolist() for name, value in metric.compute().items()}
            values["at"] = [values["at"]] if isinstance(values["at"], float) else values["at"]  # torchmetrics squeezes
            if not known:
                values = {"rms": values["rmse"], "max": values["max"], "at": values["at"]}
            entries.append({"order": k, **values})
        return entries

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


def _at_least_single(model: nn.Module, x: Tensor) -> tuple[BatchedFunction, Tensor]:
    """The model and points of its precision; in float32 where that is a half precision, which blurs derivatives."""
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    precisions = {w.dtype for w in weights.values() if w.is_floating_point()} or {x.dtype}
    half = {name: w.float() for name, w in weights.items() if w.dtype in _HALF}
    if not half:
        return model, x if x.dtype in precisions else x.to(max(precisions, key=lambda dtype: dtype.itemsize))
    return lambda x: torch.func.functional_call(model, half, x), x.float()
