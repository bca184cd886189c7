"""What a monitor does with a module and its batches: which points it takes, how it evaluates and audits them."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sobolev.audit import Finding, audit
from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.guard import undisturbed as plain
from sobolev.callbacks.batches import alike, entry, joined_batches, leaves, mapped, replaced
from sobolev.callbacks.evaluation import Evaluation, evaluation, evaluation_by_user
from sobolev.callbacks.measurement import Truth, measured_order
from sobolev.callbacks.places import places
from sobolev.callbacks.processes import gathered
from sobolev.callbacks.undisturbed import undisturbed
from sobolev.callbacks.weights import lent_weights
from sobolev.functions import Function

if TYPE_CHECKING:
    from sobolev.callbacks.monitor import DerivativeMonitor

AUDITED_POINTS = 64

_BLOCK = 256
"""Rows evaluated at a time where rows of other entries go with them."""

_MERGED = 1024
"""So many rows of small batches are measured together."""

_REMEMBERED = 1 << 24
"""So many numbers are kept for a second measurement."""

Sample = tuple[Any, Tensor | None]
"""A batch, and points to take in place of its own, (points, inputs)."""


class Samples:
    """What was measured, on the CPU, to be measured again.

    Attributes:
        complete: a whole validation has passed.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._kept: list[Sample] = []
        self._numbers, self.complete = 0, False

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add(self, sample: Sample) -> None:
        """Keep a copy, while there is room."""
        size = _numbers(sample)
        if not self._kept or self._numbers + size <= _REMEMBERED:
            self._kept.append(mapped(_copied, sample))
            self._numbers += size

    def on(self, device: torch.device) -> Iterator[Sample]:
        """All of them, on a device."""
        return (mapped(lambda tensor: tensor.to(device), sample) for sample in self._kept)


class Watch:
    """A monitor's work on one module.

    Attributes:
        samples: of the last validation.
        evaluation: how the module is evaluated on batches of the present form.
    """

    def __init__(self, monitor: "DerivativeMonitor") -> None:
        self._monitor = monitor
        self.samples = Samples()
        self.evaluation: Evaluation
        self._forms: dict[tuple, Evaluation] = {}
        self._first: Any = None
        self._of_training = False
        self._exact: list[tuple[Tensor, Truth]] = []
        self._too_high = False
        self._own: Tensor | None = None
        self.begin()

    def begin(self) -> None:
        """A new pass through the data."""
        self._stride, self._seen, self._placed, self._handed = 0, 0, False, False
        self._waiting: list[tuple[Any, int]] = []

    def see(self, batch: Any, *, of_training: bool = False) -> None:
        """Keep the first batch, for the audit; one of the validation is better than one of the training."""
        if self._first is None or (self._of_training and not of_training):
            self._first = mapped(_copied, _rows(batch, slice(AUDITED_POINTS), _length(batch)))
            self._of_training = of_training

    def share(self, trainer: Any, model: nn.Module) -> bool:
        """Give all processes the first batch of the first one that has any; whether there is one that fits."""
        owners = [rank for rank, has in enumerate(gathered(self._first is not None)) if has]
        if not owners:
            return False
        if trainer.world_size > 1:
            self._first = trainer.strategy.broadcast(self._first, owners[0])
        if not self._of_training:
            return True
        try:  # a training batch may have a form of its own
            with self.opened(model):
                self._prepared(model, self._first_on(model))
        except (TypeError, ValueError):
            self._first = None
        return self._first is not None

    @contextmanager
    def opened(self, model: Any) -> Iterator[None]:
        """The module as derivatives need it. All processes enter together where the weights are in pieces."""
        with ExitStack() as stack:
            stack.enter_context(lent_weights(model))
            stack.enter_context(undisturbed(model, model.device))
            stack.enter_context(torch.inference_mode(False))
            yield

    def take(self, trainer: Any, model: Any, batch: Any) -> list[Sample]:
        """What is to be measured now: small batches of one form wait for others, up to the last one."""
        if self._placed:
            return []
        x = self._inputs(model, batch)
        if self._monitor.places is not None:
            return self._at_places(trainer, batch)
        if not self._stride:
            self._stride, self._most, self._batches = self._drawn(trainer, model, x)
        rows, start = len(x), self._seen
        self._seen += rows
        self._batches -= 1
        ready = []
        chosen = range(-start % self._stride, rows, self._stride)[: max(0, self._most - start // self._stride)]
        if chosen:
            if self._waiting and not alike(self._waiting[0][0], batch):
                ready = self.waiting(trainer)
            part = batch if len(chosen) == rows else _rows(batch, slice(chosen.start, chosen.stop, chosen.step), rows)
            self._waiting.append((part, len(chosen)))
        enough = self._batches <= 0 or sum(count for _, count in self._waiting) >= _MERGED
        return ready + self.waiting(trainer) if enough else ready

    def waiting(self, trainer: Any) -> list[Sample]:
        """What has waited for more."""
        return [self._merged(trainer)] if self._waiting else []

    def _merged(self, trainer: Any) -> Sample:
        sample = (joined_batches([batch for batch, _ in self._waiting], [count for _, count in self._waiting]), None)
        self._waiting = []
        if trainer.state.fn == "fit":
            if not self._handed:
                self.samples.clear()
            self.samples.add(sample)
        self._handed = True
        return sample

    def _inputs(self, model: Any, batch: Any) -> Tensor:
        if _form(batch) not in self._forms:
            with self.opened(model):
                self._prepared(model, batch)
        self.evaluation = self._forms[_form(batch)]
        return self._monitor.inputs_of(batch)

    def rest(self, trainer: Any, model: Any) -> list[Sample]:
        """What is left at the end; of the user's own points, the share of a process that had no batch."""
        if self._monitor.places is None or self._placed or self._first is None:
            return self.waiting(trainer)
        self._inputs(model, first := self._first_on(model))
        return self._at_places(trainer, first)

    def measure(self, trainer: Any, model: Any, sample: Sample) -> None:
        """Count the errors at a sample; inside `opened`."""
        batch, given = sample
        batch = self._prepared(model, batch)
        x, monitor = monitor_inputs(self._monitor, batch, given), self._monitor
        reference = monitor.exact_function(trainer)
        if given is None:
            truth = monitor.truth(trainer, batch)
        else:
            truth = () if reference is None else self.exact(reference, x)
        self._say_if_too_high(x)
        alone = self._alone

        def function(rows: slice) -> BatchedFunction:
            part = batch if alone else self._part(batch, rows, len(x), given is not None)
            return MethodType(lambda model, x: monitor.outputs_at(model, part, x), model)

        required = reference is not None or monitor.targets is not None
        monitor.measurement.update(function, x, truth, required=required, block=None if alone else _BLOCK)

    def audit(self, model: Any) -> tuple[Finding, ...]:
        """Findings at the first batch, all that is not differentiated as in its first sample."""
        if self._first is None:
            return ()
        with self.opened(model):
            batch = self._prepared(model, self._first_on(model))
            x = monitor_inputs(self._monitor, batch, self._all_places())
            x = x[torch.linspace(0, len(x) - 1, min(len(x), AUDITED_POINTS)).round().long().to(x.device)]
            outputs_at, rows, alone = self._monitor.outputs_at, _length(batch), self._alone

            def outputs(model: Any, x: Tensor) -> Tensor:
                return outputs_at(model, batch if alone else _repeated(batch, x.shape[0], rows), x)

            return audit(MethodType(outputs, model), x, order=max(1, min(self._monitor.order, 2))).findings

    def exact(self, reference: Function, x: Tensor) -> Truth:
        """The reference's tensors; those of the same points are not computed again."""
        known = next((truth for points, truth in self._exact if torch.equal(points, x)), None)
        if known is not None:
            return known
        points = (x.cpu() if x.device.type == "mps" else x).double().flatten(1) if x.dim() > 1 else x.double()[:, None]
        truth = reference.tensors(points, measured_order(self._monitor.order, x))
        if _numbers(self._exact) + _numbers((x, truth)) <= _REMEMBERED:
            self._exact.append((x.detach().clone(), truth))
        return truth

    def labels(self, batch: Any) -> Truth:
        """Targets and derivative labels of a batch; what else it holds, classes or weights, is no truth."""
        paths = self.evaluation.targets
        items = tuple(None if path is None else self._label(batch, path) for path in paths)
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

    @property
    def _alone(self) -> bool:
        """Whether the outputs depend on nothing but the inputs."""
        return self.evaluation.alone and not self._monitor.overridden("outputs_at")

    def _label(self, batch: Any, path: str) -> Any:
        try:
            return entry(batch, path)
        except (LookupError, ValueError):
            known = ", ".join(name for name, _ in leaves(batch))
            raise ValueError(f"DerivativeMonitor: the batch has no target {path!r}; it has {known}") from None

    def _prepared(self, model: nn.Module, batch: Any) -> Any:
        """The batch in the module's precision, but for its targets; finds out how it is to be evaluated."""
        batch = mapped(lambda tensor: tensor.clone() if tensor.is_inference() else tensor, batch)
        precisions = {w.dtype for w in (*model.parameters(), *model.buffers()) if w.is_floating_point()}
        converted = mapped(lambda tensor: _fitted(tensor, precisions), batch)
        form = _form(batch)
        if form not in self._forms:
            with torch.no_grad(), plain(model.device):  # pyright: ignore[reportArgumentType]
                self._forms[form] = self._evaluation(model, converted)
        self.evaluation = self._forms[form]
        for path in self.evaluation.targets:
            if path is not None and path in form[1:]:
                converted = replaced(converted, path, entry(batch, path))
        return converted

    def _evaluation(self, model: nn.Module, batch: Any) -> Evaluation:
        monitor = self._monitor
        if monitor.overridden("outputs_at"):
            return evaluation_by_user(batch, monitor.inputs, monitor.targets)
        x = monitor.inputs_of(batch) if monitor.overridden("inputs_of") else None
        return evaluation(model, batch, monitor.inputs, monitor.output, monitor.targets, x)

    def _drawn(self, trainer: Any, model: Any, x: Tensor) -> tuple[int, int, int]:
        """Every how-manieth row to take, how many of this process's at most, and how many batches will come."""
        batches = sum(trainer.num_sanity_val_batches if trainer.sanity_checking else _batches(trainer))
        known = int(batches) if math.isfinite(batches) else 0
        budget = self._monitor.budget(trainer, model, x.shape[1:].numel())
        if budget is None:
            return 1, 1 << 62, known
        own = math.ceil(budget / trainer.world_size)
        return max(1, math.ceil(len(x) * known / own)), own, known

    def _at_places(self, trainer: Any, batch: Any) -> list[Sample]:
        """This process's share of the user's own points, with the first sample of a batch."""
        points = self._all_places()
        self._placed = True
        if points is None or not len(points := points[trainer.global_rank :: trainer.world_size]):
            return []
        sample = (_rows(batch, slice(1), _length(batch)), points)
        self.samples.clear()
        self.samples.add(sample)
        return [mapped(lambda tensor: tensor.to(trainer.strategy.root_device), sample)]

    def _all_places(self) -> Tensor | None:
        """The user's own points, in the order of the inputs."""
        if self._own is None and self._monitor.places is not None:
            names = [path.rpartition(".")[2] for path in self.evaluation.inputs or ()]
            self._own = places(self._monitor.places, None if any(map(str.isdigit, names)) else names)
        return self._own

    def _first_on(self, model: Any) -> Any:
        return mapped(lambda tensor: tensor.to(model.device), self._first)

    def _part(self, batch: Any, rows: slice, length: int, repeated: bool) -> Any:
        if repeated:
            return _repeated(batch, len(range(*rows.indices(length))), _length(batch))
        return _rows(batch, rows, length)

    def _say_if_too_high(self, x: Tensor) -> None:
        """Once."""
        order, inputs = self._monitor.order, x.shape[1:].numel()
        if measured_order(order, x) < order and not self._too_high:
            from lightning_utilities.core.rank_zero import rank_zero_warn

            self._too_high = True
            rank_zero_warn(
                f"the derivative of order {order} by {inputs} inputs has {inputs**order} entries for each sample: "
                f"DerivativeMonitor measures up to order {measured_order(order, x)}. Say so, order="
                f"{measured_order(order, x)}, or differentiate by fewer entries of the batch: inputs=..."
            )


def monitor_inputs(monitor: "DerivativeMonitor", batch: Any, given: Tensor | None) -> Tensor:
    """The inputs of a batch, or in their place the given points, in the same shape and precision."""
    x = monitor.inputs_of(batch)
    if given is None:
        return x
    inputs = x.shape[1:].numel()
    if given.shape[1] != inputs:
        raise ValueError(
            f"DerivativeMonitor: the points have {given.shape[1]} columns, but the model is differentiated by {inputs} "
            "inputs; give a column for each, or name the inputs: inputs=..."
        )
    return given.to(x).reshape(-1, *x.shape[1:])


class Stopwatch:
    """Adds the time inside it to `monitor.seconds`; one inside another does not count twice."""

    def __init__(self, monitor: "DerivativeMonitor") -> None:
        self.monitor = monitor

    def __enter__(self) -> None:
        self.start, self.before = perf_counter(), self.monitor.seconds

    def __exit__(self, *_: object) -> None:
        self.monitor.seconds = self.before + perf_counter() - self.start


def _form(batch: Any) -> tuple[str, ...]:
    """Batches of one form are evaluated in one way."""
    return (type(batch).__name__, *(path for path, _ in leaves(batch)))


def _batches(trainer: Any) -> list[float]:
    return trainer.num_test_batches if trainer.state.fn == "test" else trainer.num_val_batches


def _length(batch: Any) -> int:
    """The number of samples: rows of the first tensor that has any axis."""
    return next((len(leaf) for _, leaf in leaves(batch) if isinstance(leaf, Tensor) and leaf.dim()), 1)


def _rows(batch: Any, rows: slice, length: int) -> Any:
    """Some samples; what has no row for each sample stays."""
    return mapped(lambda t: t[rows] if t.dim() and len(t) == length else t, batch)


def _repeated(batch: Any, count: int, length: int) -> Any:
    """The first sample, so many times."""
    return mapped(lambda t: t[:1].expand(count, *t.shape[1:]) if t.dim() and len(t) == length else t, batch)


def _copied(tensor: Tensor) -> Tensor:
    with torch.inference_mode(False):
        return tensor.detach().to("cpu", copy=True)


def _fitted(tensor: Tensor, precisions: set[torch.dtype]) -> Tensor:
    """In one of the module's precisions; half precision blurs derivatives."""
    if not tensor.is_floating_point() or tensor.dtype in precisions:
        return tensor
    if precisions:
        return tensor.to(max(precisions, key=lambda dtype: dtype.itemsize))
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


def _numbers(value: Any) -> int:
    return sum(leaf.numel() for _, leaf in leaves(value) if isinstance(leaf, Tensor))
