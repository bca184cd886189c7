"""What was measured, kept to be measured again."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sobolev.callbacks.batches import mapped
from sobolev.callbacks.rows import copied, numbers

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
        self._numbers, self.complete = 0, False

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add(self, sample: Sample) -> None:
        """Keep a copy, while there is room."""
        size = numbers(sample)
        if not self._kept or self._numbers + size <= REMEMBERED:
            self._kept.append(copied(sample))
            self._numbers += size

    def on(self, device: torch.device) -> Iterator[Sample]:
        """All of them, on a device."""
        return (mapped(lambda tensor: tensor.to(device), sample) for sample in self._kept)
