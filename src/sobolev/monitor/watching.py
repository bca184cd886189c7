"""What a monitor does with a module and the samples it has drawn: differentiate them, audit them."""

from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor, nn

from sobolev.audit import Finding, audit
from sobolev.autodiff.engine import BatchedFunction
from sobolev.callbacks.processes import gathered
from sobolev.monitor.batches import mapped
from sobolev.monitor.drawing import AUDITED_POINTS, Drawing
from sobolev.monitor.forms import Forms
from sobolev.monitor.inside import network_inside, scaled_tensors
from sobolev.monitor.measurement import measured_order
from sobolev.monitor.opened import opened
from sobolev.monitor.rows import copied, length, repeated, some_rows
from sobolev.monitor.samples import Sample
from sobolev.monitor.truths import Truths

if TYPE_CHECKING:
    from sobolev.monitor.monitor import DerivativeMonitor

_BLOCK = 256
"""Rows evaluated at a time where rows of other entries go with them."""


class Watch:
    """A monitor's work on one module.

    Attributes:
        forms: how the module is evaluated.
        drawing: at which points.
        truths: what the derivatives are compared with.
        first: a batch, on the CPU, None if there was none.
    """

    def __init__(self, monitor: "DerivativeMonitor") -> None:
        self._monitor = monitor
        self.forms = Forms(monitor)
        self.drawing = Drawing(monitor, self.forms)
        self.truths = Truths(monitor, self.forms)
        self.first: Any = None
        self._of_training = self._said = False

    def see(self, batch: Any, *, of_training: bool = False) -> None:
        """Keep the first batch, for the audit; one of the validation is better than one of the training."""
        if self.first is None or (self._of_training and not of_training):
            self.first = copied(some_rows(batch, slice(AUDITED_POINTS), length(batch)))
            self._of_training = of_training

    def share(self, trainer: Any, model: nn.Module) -> bool:
        """Give all processes the first batch of the first one that has any; whether there is one that fits."""
        owners = [rank for rank, has in enumerate(gathered(self.first is not None)) if has]
        if not owners:
            return False
        if trainer.world_size > 1:
            self.first = trainer.strategy.broadcast(self.first, owners[0])
        if not self._of_training:
            return True
        try:  # a training batch may have a form of its own
            with opened(model):
                self.forms.prepared(model, self._first_on(model))
        except (TypeError, ValueError):
            self.first = None
        return self.first is not None

    def measure(self, trainer: Any, model: Any, sample: Sample) -> None:
        """Count the errors at a sample; inside `opened`."""
        monitor = self._monitor
        batch, given = self.forms.prepared(model, sample[0]), sample[1]
        x = self.forms.inputs_at(batch, given)
        reference = monitor.exact_function(trainer)
        if given is None:
            truth = monitor.truth(trainer, batch)
        else:
            truth = () if reference is None else self.truths.exact(reference, x)
        self._say_if_too_high(x)
        alone = self.forms.alone

        def function(rows: slice) -> BatchedFunction:
            part = batch if alone else _part(batch, rows, len(x), given is not None)
            return MethodType(lambda model, x: monitor.outputs_at(model, part, x), model)

        required = reference is not None or monitor.targets is not None
        inside = network_inside(model) if self.forms.plain and x.dim() == 2 else None
        if inside is not None:
            monitor.measurement.update(lambda _: inside, x, truth, required=required, differentiate=scaled_tensors)
        else:
            monitor.measurement.update(function, x, truth, required=required, block=None if alone else _BLOCK)

    def audit(self, model: Any) -> tuple[Finding, ...]:
        """Findings at the first batch, all that is not differentiated as in its first sample."""
        if self.first is None:
            return ()
        with opened(model):
            batch = self.forms.prepared(model, self._first_on(model))
            x = self.forms.inputs_at(batch, self.drawing.places())
            x = x[torch.linspace(0, len(x) - 1, min(len(x), AUDITED_POINTS)).round().long().to(x.device)]
            outputs_at, rows, alone = self._monitor.outputs_at, length(batch), self.forms.alone

            def outputs(model: Any, x: Tensor) -> Tensor:
                return outputs_at(model, batch if alone else repeated(batch, x.shape[0], rows), x)

            return audit(MethodType(outputs, model), x, order=max(1, min(self._monitor.order, 2))).findings

    def _first_on(self, model: Any) -> Any:
        return mapped(lambda tensor: tensor.to(model.device), self.first)

    def _say_if_too_high(self, x: Tensor) -> None:
        """Once."""
        order, inputs, measured = self._monitor.order, x.shape[1:].numel(), measured_order(self._monitor.order, x)
        if measured < order and not self._said:
            self._said = True
            rank_zero_warn(
                f"the derivative of order {order} by {inputs} inputs has {inputs**order} entries for each sample: "
                f"DerivativeMonitor measures up to order {measured}. Say so, order={measured}, or differentiate by "
                "fewer entries of the batch: inputs=..."
            )


def _part(batch: Any, rows: slice, count: int, one_sample: bool) -> Any:
    """What goes with some rows of the points: the batch's own, or its first sample each time."""
    if one_sample:
        return repeated(batch, len(range(*rows.indices(count))), length(batch))
    return some_rows(batch, rows, count)
