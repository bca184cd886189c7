"""The exact derivatives at the points of a batch: by a reference, or from labels in the batch."""

from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.tensor_classes import ordinary
from sobolev.callbacks.restored_state import random_numbers_kept
from sobolev.functions import Function
from sobolev.losses.labels import is_label
from sobolev.monitor.batch import by_sample, leaves, numbers
from sobolev.monitor.inputs import Evaluation
from sobolev.monitor.measured_points import REMEMBERED
from sobolev.monitor.measurement import Truth, measured_order
from sobolev.monitor.targets import Target


class ExactDerivatives:
    """The tensors of a reference; those of the same points are not computed again.

    Args:
        order: up to which they are needed.
    """

    def __init__(self, order: int) -> None:
        self._order = order
        self._known: list[tuple[Tensor, Truth]] = []

    def at(self, reference: Function, x: Tensor) -> Truth:
        """Orders 0, 1, ... at x, (batch, *in), as far as they are of a size one can compute."""
        x = ordinary(x)
        known = next((truth for points, truth in self._known if torch.equal(points, x)), None)
        if known is not None:
            return known
        points = (x.cpu() if x.device.type == "mps" else x).double().flatten(1) if x.dim() > 1 else x.double()[:, None]
        with random_numbers_kept():  # the reference may be anybody's function, a simulation with a seed
            truth = reference.tensors(points, measured_order(self._order, x))
        if numbers(self._known) + numbers((x, truth)) <= REMEMBERED:
            self._known.append((x.detach().clone(), truth))
        return truth


def labels_of(batch: Any, evaluation: Evaluation, x: Tensor, *, named: bool) -> Truth:
    """Targets and derivative labels of a batch; what else it holds, classes or weights, is no truth.

    Args:
        batch: of the evaluation's form.
        evaluation: knows where targets are.
        x: the inputs, (batch, *in).
        named: whether the user has named them; then whatever stands there is meant.
    """
    items = tuple(None if target is None else _label(batch, target) for target in evaluation.targets)
    if named or not items:
        return items
    target = items[0]
    if not isinstance(target, Tensor) or not target.is_floating_point():
        return ()
    return tuple(item if is_label(item, x, target, order) else None for order, item in enumerate(items))


def _label(batch: Any, target: Target) -> Any:
    try:
        found = by_sample(batch, target.path)
    except (LookupError, ValueError):
        known = ", ".join(name for name, _ in leaves(batch))
        raise ValueError(f"DerivativeMonitor: the batch has no target {target.path!r}; it has {known}") from None
    return found if target.factor == 1 else target.factor * found
