"""Which points of a validation are measured: evenly drawn ones of its batches, or the user's own."""

import math
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from sobolev.monitor.batch import alike, copied, joined_batches, leaves, length, mapped, numbers, some_rows
from sobolev.monitor.budget import affordable, coefficients, steps_between

AUDITED_POINTS = 64

REMEMBERED = 1 << 24
"""So many numbers are kept for a second measurement."""

_MERGED = 1024
"""So many rows of small batches are measured together."""

Sample = tuple[Any, Tensor | None]
"""A batch, and points to take in place of its own, (points, inputs)."""


class Sampling:
    """Draws samples from one pass through the data after the other.

    Args:
        max_points: at most so many, over all processes; None: all; `"auto"`: in `fit` what the training can afford.
        every_n_epochs: how many epochs lie between two measurements of a training.
        order: up to which is differentiated.

    Attributes:
        samples: of the last validation of a training.
        training_rows: of a batch of the training, once known.
        seen: how many rows this process had in this pass.
        placed: whether this process has had its share of the user's own points in this pass.
        whole: take batches as they are, for a module that keeps a state with as many rows.
    """

    whole = False

    def __init__(self, max_points: int | str | None, every_n_epochs: int, order: int) -> None:
        self._max_points, self._every_n_epochs, self._order = max_points, every_n_epochs, order
        self.samples, self.training_rows = Samples(), 0
        self._affordable: dict[tuple[int, int, int], int] = {}
        self.begin()

    def begin(self, at_most: int | None = None) -> None:
        """A new pass through the data.

        Args:
            at_most: draw so many points, and keep none of them; None: what the training can afford.
        """
        self._at_most = at_most
        self._stride, self.seen, self.placed, self._handed = 0, 0, False, False
        self._waiting: list[tuple[Any, int]] = []

    def take(self, trainer: Any, model: Any, batch: Any, x: Tensor, points: Tensor | None = None) -> list[Sample]:
        """What is to be measured now: small batches of one form wait for others, up to the last one.

        Args:
            trainer: in a pass through the data.
            model: its module.
            batch: of this pass.
            x: its inputs.
            points: the user's own, (points, inputs), in place of those of all batches.
        """
        if self.placed:
            return []
        if points is not None:
            return self._at(points, trainer, batch)
        if not self._stride:
            self._stride, self._most, self._batches = self._drawn(trainer, model, x)
        rows, start = len(x), self.seen
        self.seen += rows
        self._batches -= 1
        if self.whole:
            self._waiting = [(batch, rows)] if start < self._most else []
            return self.rest(trainer)
        ready = []
        chosen = range(-start % self._stride, rows, self._stride)[: max(0, self._most - start // self._stride)]
        if chosen:
            if self._waiting and not alike(self._waiting[0][0], batch):
                ready = self.rest(trainer)
            part = batch if len(chosen) == rows else some_rows(batch, _slice(chosen), rows)
            self._waiting.append((part, len(chosen)))
        enough = self._batches <= 0 or sum(count for _, count in self._waiting) >= _MERGED
        return ready + self.rest(trainer) if enough else ready

    def rest(self, trainer: Any) -> list[Sample]:
        """What has waited for more, as one sample."""
        if not self._waiting:
            return []
        sample = (joined_batches([batch for batch, _ in self._waiting], [count for _, count in self._waiting]), None)
        self._waiting = []
        if trainer.state.fn == "fit" and self._at_most is None:
            if not self._handed:
                self.samples.begin()
            sample = self.samples.add(sample)
        self._handed = True
        return [sample]

    def _at(self, points: Tensor, trainer: Any, batch: Any) -> list[Sample]:
        """This process's share of the user's own points, with the first sample of a batch."""
        self.placed = True
        if not len(points := points[trainer.global_rank :: trainer.world_size]):
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
        if self._at_most is not None:
            return self._at_most
        if trainer.sanity_checking:
            return AUDITED_POINTS
        if not isinstance(self._max_points, str):
            return self._max_points
        if trainer.state.fn != "fit" or not self.training_rows:
            return None
        steps = steps_between(trainer, self._every_n_epochs)
        facts = coefficients(inputs, self._order), steps, self.training_rows
        if facts not in self._affordable:
            self._affordable[facts] = affordable(model, *facts)
        return self._affordable[facts] * trainer.world_size


class Samples:
    """What was measured, on the CPU.

    Attributes:
        complete: a whole validation has passed.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._kept: list[Sample] = []
        self._before: list[Sample] = []  # of the pass before, those not met again yet
        self._numbers, self.complete = 0, False

    def begin(self) -> None:
        """A new pass, whose samples take the place of those of the one before."""
        before = self._kept
        self.clear()
        self._before = before

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add(self, sample: Sample) -> Sample:
        """Keep a copy, while there is room.

        Returns:
            The sample; where the pass before had the same in its place, that one, of which more is known.
        """
        known = self._before.pop(0) if self._before else None
        if known is not None and _same(known, sample):
            sample = known
        elif self._kept and self._numbers + numbers(sample) > REMEMBERED:
            return sample
        self._kept.append(sample if sample is known else copied(sample))
        self._numbers += numbers(sample)
        return sample

    def on(self, device: torch.device) -> Iterator[Sample]:
        """All of them, on a device."""
        return (mapped(lambda tensor: tensor.to(device), sample) for sample in self._kept)


def _same(known: Sample, sample: Sample) -> bool:
    """Whether all entries are the same, and where they were kept, on the CPU."""
    pairs = list(zip_longest(leaves(known), leaves(sample), fillvalue=("", None)))
    return all(path == other and _equal(value, new) for (path, value), (other, new) in pairs)


def _equal(value: Any, new: Any) -> bool:
    if isinstance(value, Tensor) and isinstance(new, Tensor):
        return value.device == new.device and value.dtype == new.dtype and torch.equal(value, new)
    return value is new


def _slice(rows: range) -> slice:
    return slice(rows.start, rows.stop, rows.step)


def _batches(trainer: Any) -> list[float]:
    return trainer.num_test_batches if trainer.state.fn == "test" else trainer.num_val_batches
