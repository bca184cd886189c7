"""What was measured, kept to be measured again."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from sobolev.monitor.batches import leaves, mapped
from sobolev.monitor.rows import copied, numbers

REMEMBERED = 1 << 24
"""So many numbers are kept for a second measurement."""

Sample = tuple[Any, Tensor | None]
"""A batch, and points to take in place of its own, (points, inputs)."""


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
