"""Batches of one form are evaluated in one way, which is found out once."""

from collections.abc import Callable
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.guard import plain_forward
from sobolev.autodiff.tensor_classes import changed
from sobolev.monitor.batch import entry, leaves, length, mapped, repeated, replaced, some_rows
from sobolev.monitor.forward import Arguments, Observer
from sobolev.monitor.inputs import Evaluation, Keys, evaluation, evaluation_by_user
from sobolev.monitor.targets import Targets
from sobolev.monitor.weights import differentiable


class OwnMethods(NamedTuple):
    """What a subclass of the monitor does in its own way; None: ours.

    Attributes:
        inputs_of: from a batch to x, (batch, *in).
        outputs_at: from a module, a batch and x to what is differentiated, (batch, *out).
    """

    inputs_of: Callable[[Any], Tensor] | None = None
    outputs_at: Callable[[Any, Any, Tensor], Tensor] | None = None


class Evaluations:
    """How a module is evaluated on batches of each form it meets.

    Args:
        inputs: which entries to differentiate by.
        output: which entries of what forward returns count.
        targets: where targets and derivative labels are; all three as in `sobolev.monitor.inputs.evaluation`.

    Attributes:
        present: on batches of the form that was prepared last.
        observer: of the steps that a module takes on them.
        bound: whether forward takes no other number of rows than it was given last, as it keeps a state of that size.
    """

    present: Evaluation
    bound = False

    def __init__(self, inputs: Keys = None, output: Keys = None, targets: Targets = None) -> None:
        self._inputs, self._output, self._targets = inputs, output, targets
        self._known: dict[tuple[str, ...], Evaluation] = {}
        self.observer = Observer()
        self._as_it_is: tuple[Any, torch.dtype | None, Any] = (None, None, None)

    def inputs(self, model: Any, batch: Any, own: OwnMethods) -> Tensor:
        """Those of a batch, (batch, *in), whose form becomes the present one."""
        form = _form(batch)
        if form not in self._known:
            with differentiable(model):
                self.prepared(model, batch, own)
        self.present = self._known[form]
        return self.x(batch, own)

    def x(self, batch: Any, own: OwnMethods) -> Tensor:
        """The inputs of a batch of the present form, (batch, *in)."""
        return self.present.x(batch) if own.inputs_of is None else own.inputs_of(batch)

    def alone(self, own: OwnMethods) -> bool:
        """Whether the outputs depend on nothing but the inputs."""
        return self.present.alone and own.outputs_at is None and not self.bound

    def plain(self, own: OwnMethods) -> bool:
        """Whether forward takes the inputs as they are, nothing else, and what it returns is what counts."""
        present = self.present
        return self.alone(own) and present.ordinary and present.output == ("",) and len(present.inputs or ("",)) == 1

    def function(
        self, model: Any, batch: Any, rows: int, one_sample: bool, own: OwnMethods
    ) -> Callable[[slice], BatchedFunction]:
        """From some of the rows of x to the function of these, (rows, *in) to (rows, *out), a method of the module.

        Args:
            model: the module.
            batch: with all else that forward takes, prepared.
            rows: how many x has.
            one_sample: whether all else is that of the first sample, for any x; otherwise each row has its own.
            own: methods of a subclass.
        """
        evaluation, alone, count = self.present, self.alone(own), length(batch)
        outputs = own.outputs_at or evaluation.y

        def part_of(batch: Any, part: slice) -> Any:
            if alone:
                return batch
            if one_sample:
                return repeated(batch, len(range(*part.indices(rows))), count)
            return some_rows(batch, part, rows)

        def function(part: slice) -> BatchedFunction:
            others = part_of(batch, part)
            return MethodType(lambda model, x: outputs(model, others, x), model)

        return function

    def prepared(self, model: nn.Module, batch: Any, own: OwnMethods) -> Any:
        """The batch in the module's precision, but for its targets; inside `differentiable`."""
        precision = next((weight.dtype for weight in model.parameters()), None)
        if batch is self._as_it_is[0] and precision == self._as_it_is[1]:
            self.present = self._as_it_is[2]
            return batch
        given = batch
        if any(isinstance(leaf, Tensor) and leaf.is_inference() for _, leaf in leaves(batch)):
            batch = mapped(lambda tensor: tensor.clone() if tensor.is_inference() else tensor, batch)
        converted = _converted(batch, model, precision)
        form = _form(batch)
        if form not in self._known:
            with torch.no_grad(), plain_forward(model.device):  # pyright: ignore[reportArgumentType]
                self._known[form] = self._found_out(model, converted, self.observer.arguments(given), own)
                self.bound |= self._is_bound(model, converted, self._known[form], own)
        self.present = self._known[form]
        if converted is given:
            self._as_it_is = given, precision, self.present
        for target in self.present.targets if converted is not batch else ():
            if target is not None and target.path in form[1:]:
                converted = replaced(converted, target.path, entry(batch, target.path))
        return converted

    @staticmethod
    def _is_bound(model: nn.Module, batch: Any, found: Evaluation, own: OwnMethods) -> bool:
        """Right after a call with the whole batch."""
        x, count = found.x(batch) if own.inputs_of is None else own.inputs_of(batch), length(batch)
        half = slice(max(1, len(x) // 2))
        try:
            (own.outputs_at or found.y)(model, some_rows(batch, half, count), changed(lambda plain: plain[half], x))
        except Exception:  # whatever it raises there
            return True
        return False

    def _found_out(self, model: nn.Module, batch: Any, observed: Arguments | None, own: OwnMethods) -> Evaluation:
        x = None if own.inputs_of is None else own.inputs_of(batch)
        if own.outputs_at is not None:
            return evaluation_by_user(batch, self._inputs, self._targets, x)
        return evaluation(model, batch, self._inputs, self._output, self._targets, x, observed)


def in_shape_of(x: Tensor, points: Tensor | None) -> Tensor:
    """The given points, (points, inputs), in the shape and precision of x, (batch, *in); x itself without any."""
    if points is None:
        return x
    inputs = x.shape[1:].numel()
    if points.shape[1] != inputs:
        raise ValueError(
            f"DerivativeMonitor: the points have {points.shape[1]} columns, but the model is differentiated by "
            f"{inputs} inputs; give a column for each, or name the inputs: inputs=..."
        )
    return changed(lambda plain: points.to(plain).reshape(-1, *plain.shape[1:]), x)


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
