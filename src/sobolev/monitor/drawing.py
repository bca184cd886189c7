"""Which points of a validation a monitor takes: evenly drawn ones of its batches, or the user's own."""

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor

from sobolev.monitor.batches import alike, joined_batches, mapped
from sobolev.monitor.budget import affordable, coefficients, steps_between
from sobolev.monitor.forms import Forms
from sobolev.monitor.places import places
from sobolev.monitor.rows import length, some_rows
from sobolev.monitor.samples import Sample, Samples

if TYPE_CHECKING:
    from sobolev.monitor.monitor import DerivativeMonitor

AUDITED_POINTS = 64

_MERGED = 1024
"""So many rows of small batches are measured together."""


class Drawing:
    """Draws samples from one pass through the data after the other.

    Attributes:
        samples: of the last validation of a training.
        training_rows: of a batch of the training, once known.
    """

    def __init__(self, monitor: "DerivativeMonitor", forms: Forms) -> None:
        self._monitor, self._forms = monitor, forms
        self.samples, self.training_rows = Samples(), 0
        self._own: Tensor | None = None
        self._affordable: dict[tuple[int, int, int], int] = {}
        self.begin()

    def begin(self) -> None:
        """A new pass through the data."""
        self._stride, self._seen, self._placed, self._handed = 0, 0, False, False
        self._waiting: list[tuple[Any, int]] = []

    def take(self, trainer: Any, model: Any, batch: Any) -> list[Sample]:
        """What is to be measured now: small batches of one form wait for others, up to the last one."""
        if self._placed:
            return []
        x = self._forms.inputs(model, batch)
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
                ready = self._merged(trainer)
            part = batch if len(chosen) == rows else some_rows(batch, _slice(chosen), rows)
            self._waiting.append((part, len(chosen)))
        enough = self._batches <= 0 or sum(count for _, count in self._waiting) >= _MERGED
        return ready + self._merged(trainer) if enough else ready

    def rest(self, trainer: Any, model: Any, first: Any) -> list[Sample]:
        """What is left at the end; of the user's own points, the share of a process that had no batch.

        Args:
            trainer: at the end of a pass.
            model: its module.
            first: a batch on the CPU, None if no process had any.
        """
        if self._monitor.places is None or self._placed or first is None:
            return self._merged(trainer)
        first = mapped(lambda tensor: tensor.to(model.device), first)
        self._forms.inputs(model, first)
        return self._at_places(trainer, first)

    def places(self) -> Tensor | None:
        """The user's own points, in the order of the inputs."""
        if self._own is None and self._monitor.places is not None:
            names = [path.rpartition(".")[2] for path in self._forms.evaluation.inputs or ()]
            self._own = places(self._monitor.places, None if any(map(str.isdigit, names)) else names)
        return self._own

    def _merged(self, trainer: Any) -> list[Sample]:
        """What has waited for more, as one sample."""
        if not self._waiting:
            return []
        sample = (joined_batches([batch for batch, _ in self._waiting], [count for _, count in self._waiting]), None)
        self._waiting = []
        if trainer.state.fn == "fit":
            if not self._handed:
                self.samples.begin()
            sample = self.samples.add(sample)
        self._handed = True
        return [sample]

    def _at_places(self, trainer: Any, batch: Any) -> list[Sample]:
        """This process's share of the user's own points, with the first sample of a batch."""
        points = self.places()
        self._placed = True
        if points is None or not len(points := points[trainer.global_rank :: trainer.world_size]):
            return []
        sample = (some_rows(batch, slice(1), length(batch)), points)
        self.samples.clear()
        self.samples.add(sample)
        return [mapped(lambda tensor: tensor.to(trainer.strategy.root_device), sample)]

    def _drawn(self, trainer: Any, model: Any, x: Tensor) -> tuple[int, int, int]:
        """Every how-manieth row to take, how many of this process's at most, and how many batches will come."""
        batches = sum(trainer.num_sanity_val_batches if trainer.sanity_checking else _batches(trainer))
        known = int(batches) if math.isfinite(batches) else 0
        budget = self._budget(trainer, model, x.shape[1:].numel())
        if budget is None:
            return 1, 1 << 62, known
        own = math.ceil(budget / trainer.world_size)
        return max(1, math.ceil(len(x) * known / own)), own, known

    def _budget(self, trainer: Any, model: Any, inputs: int) -> int | None:
        """How many points to measure, over all processes; None: all."""
        monitor = self._monitor
        if trainer.sanity_checking:
            return AUDITED_POINTS
        if not isinstance(monitor.max_points, str):
            return monitor.max_points
        if trainer.state.fn != "fit" or not self.training_rows:
            return None
        steps = steps_between(trainer, monitor.every_n_epochs)
        facts = coefficients(inputs, monitor.order), steps, self.training_rows
        if facts not in self._affordable:
            self._affordable[facts] = affordable(model, *facts)
        return self._affordable[facts] * trainer.world_size


def _slice(rows: range) -> slice:
    return slice(rows.start, rows.stop, rows.step)


def _batches(trainer: Any) -> list[float]:
    return trainer.num_test_batches if trainer.state.fn == "test" else trainer.num_val_batches
