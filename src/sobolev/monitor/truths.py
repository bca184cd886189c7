"""The exact derivatives at the points of a batch: by a reference, or from labels in the batch."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sobolev.callbacks.undisturbed import random_numbers_kept
from sobolev.functions import Function
from sobolev.monitor.batches import entry, leaves
from sobolev.monitor.forms import Forms
from sobolev.monitor.measurement import Truth, measured_order
from sobolev.monitor.rows import numbers
from sobolev.monitor.samples import REMEMBERED

if TYPE_CHECKING:
    from sobolev.monitor.monitor import DerivativeMonitor


class Truths:
    """What a monitor compares with."""

    def __init__(self, monitor: "DerivativeMonitor", forms: Forms) -> None:
        self._monitor, self._forms = monitor, forms
        self._exact: list[tuple[Tensor, Truth]] = []

    def exact(self, reference: Function, x: Tensor) -> Truth:
        """The reference's tensors; those of the same points are not computed again."""
        known = next((truth for points, truth in self._exact if torch.equal(points, x)), None)
        if known is not None:
            return known
        points = (x.cpu() if x.device.type == "mps" else x).double().flatten(1) if x.dim() > 1 else x.double()[:, None]
        with random_numbers_kept():  # the reference may be anybody's function, a simulation with a seed
            truth = reference.tensors(points, measured_order(self._monitor.order, x))
        if numbers(self._exact) + numbers((x, truth)) <= REMEMBERED:
            self._exact.append((x.detach().clone(), truth))
        return truth

    def labels(self, batch: Any) -> Truth:
        """Targets and derivative labels of a batch; what else it holds, classes or weights, is no truth."""
        items = tuple(None if path is None else _label(batch, path) for path in self._forms.evaluation.targets)
        if self._monitor.targets is not None or not items:
            return items
        target, x = items[0], self._monitor.inputs_of(batch)
        if not isinstance(target, Tensor) or not target.is_floating_point():
            return ()
        shapes = (target.shape + x.shape[1:] * k for k in range(len(items)))
        return tuple(
            item if isinstance(item, Tensor) and item.shape == shape else None
            for item, shape in zip(items, shapes, strict=True)
        )


def _label(batch: Any, path: str) -> Any:
    try:
        return entry(batch, path)
    except (LookupError, ValueError):
        known = ", ".join(name for name, _ in leaves(batch))
        raise ValueError(f"DerivativeMonitor: the batch has no target {path!r}; it has {known}") from None
