"""Batches of one form are evaluated in one way, which is found out once."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sobolev.autodiff.guard import undisturbed
from sobolev.monitor.batches import entry, leaves, mapped, replaced
from sobolev.monitor.evaluation import Evaluation, evaluation, evaluation_by_user
from sobolev.monitor.forward_calls import Arguments
from sobolev.monitor.observed import Observer
from sobolev.monitor.opened import opened

if TYPE_CHECKING:
    from sobolev.monitor.monitor import DerivativeMonitor


class Forms:
    """How a monitor evaluates a module on the batches it meets.

    Attributes:
        evaluation: on batches of the present form.
        observer: of the steps that a module takes on them.
    """

    def __init__(self, monitor: "DerivativeMonitor") -> None:
        self._monitor = monitor
        self._known: dict[tuple[str, ...], Evaluation] = {}
        self.observer = Observer()
        self._as_it_is: tuple[Any, torch.dtype | None, Any] = (None, None, None)
        self.evaluation: Evaluation

    @property
    def alone(self) -> bool:
        """Whether the outputs depend on nothing but the inputs."""
        return self.evaluation.alone and not self._monitor.overridden("outputs_at")

    @property
    def plain(self) -> bool:
        """Whether forward takes the inputs as they are, nothing else, and what it returns is what counts."""
        return self.alone and self.evaluation.output == ("",) and len(self.evaluation.inputs or ("",)) == 1

    def inputs(self, model: Any, batch: Any) -> Tensor:
        """Those of a batch, which becomes the present form."""
        form = _form(batch)
        if form not in self._known:
            with opened(model):
                self.prepared(model, batch)
        self.evaluation = self._known[form]
        return self._monitor.inputs_of(batch)

    def inputs_at(self, batch: Any, given: Tensor | None) -> Tensor:
        """The inputs of a batch, or in their place the given points, in the same shape and precision."""
        x = self._monitor.inputs_of(batch)
        if given is None:
            return x
        inputs = x.shape[1:].numel()
        if given.shape[1] != inputs:
            raise ValueError(
                f"DerivativeMonitor: the points have {given.shape[1]} columns, but the model is differentiated by "
                f"{inputs} inputs; give a column for each, or name the inputs: inputs=..."
            )
        return given.to(x).reshape(-1, *x.shape[1:])

    def prepared(self, model: nn.Module, batch: Any) -> Any:
        """The batch in the module's precision, but for its targets; inside `opened`."""
        own = next((weight.dtype for weight in model.parameters()), None)
        if batch is self._as_it_is[0] and own == self._as_it_is[1]:
            self.evaluation = self._as_it_is[2]
            return batch
        given = batch
        if any(isinstance(leaf, Tensor) and leaf.is_inference() for _, leaf in leaves(batch)):
            batch = mapped(lambda tensor: tensor.clone() if tensor.is_inference() else tensor, batch)
        converted = _converted(batch, model, own)
        form = _form(batch)
        if form not in self._known:
            with torch.no_grad(), undisturbed(model.device):  # pyright: ignore[reportArgumentType]
                self._known[form] = self._found_out(model, converted, self.observer.arguments(given))
        self.evaluation = self._known[form]
        if converted is given:
            self._as_it_is = given, own, self.evaluation
        for path in self.evaluation.targets if converted is not batch else ():
            if path is not None and path in form[1:]:
                converted = replaced(converted, path, entry(batch, path))
        return converted

    def _found_out(self, model: nn.Module, batch: Any, observed: Arguments | None) -> Evaluation:
        monitor = self._monitor
        if monitor.overridden("outputs_at"):
            return evaluation_by_user(batch, monitor.inputs, monitor.targets)
        x = monitor.inputs_of(batch) if monitor.overridden("inputs_of") else None
        return evaluation(model, batch, monitor.inputs, monitor.output, monitor.targets, x, observed)


def _form(batch: Any) -> tuple[str, ...]:
    return (type(batch).__name__, *(path for path, _ in leaves(batch)))


def _converted(batch: Any, model: nn.Module, own: torch.dtype | None) -> Any:
    if all(leaf.dtype == own or not leaf.is_floating_point() for _, leaf in leaves(batch) if isinstance(leaf, Tensor)):
        return batch
    precisions = {w.dtype for w in (*model.parameters(), *model.buffers()) if w.is_floating_point()}
    return mapped(lambda tensor: _fitted(tensor, precisions), batch)


def _fitted(tensor: Tensor, precisions: set[torch.dtype]) -> Tensor:
    """In one of the module's precisions; half precision blurs derivatives."""
    if not tensor.is_floating_point() or tensor.dtype in precisions:
        return tensor
    if precisions:
        return tensor.to(max(precisions, key=lambda dtype: dtype.itemsize))
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor
