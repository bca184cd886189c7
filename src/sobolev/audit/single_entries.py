"""A function looked at by single inputs and outputs: a weighted sum of them may hide what is small."""

from math import lcm

import torch
from torch import Tensor

from sobolev.audit.finite import as_rows
from sobolev.audit.probe import Probe

_EACH, _FEWEST, _MOST = 3, 16, 64
"""How many points look at each input or output, and how many points there are."""


class SingleEntries(Probe):
    """The same function, one input and one output at each point.

    Attributes:
        inputs: which input each point looks at.
        outputs: which output.
    """

    by_row = True

    def __init__(self, probe: Probe) -> None:
        width, height = probe.x[0].numel(), len(probe.output_sizes)
        count = min(max(_EACH * max(width, height), _FEWEST), _MOST)
        row = torch.arange(count, device=probe.x.device)
        super().__init__(probe.f, probe.x[row % len(probe.x)], probe.order, probe.modules)
        self.inputs = row % width if width <= count else row * width // count
        self.outputs = (row + row // lcm(width, height)) % height if height <= count else row * height // count
        self.output_sizes, self.is_level_nearby = probe.output_sizes, probe.is_level_nearby
        self.rounded, self.noises, self.widening = probe.rounded, probe.noises, probe.widening
        self.jitter = probe.jitter
        self._together = probe._together
        self.direction = torch.zeros_like(as_rows(self.x))
        self.direction[row, self.inputs] = probe.input_sizes.flatten()[self.inputs]
        self.direction = self.direction.reshape(self.x.shape)

    def _projected(self, entries: Tensor) -> Tensor:
        place = self.outputs[:, None].expand(*entries.shape[:-1], 1)
        return entries.gather(-1, place)[..., 0] / self.output_sizes[self.outputs]

    def named(self, row: int) -> str:
        """What a point looks at: `by input 3 of output 1`."""
        parts = (("by input", self.inputs, self.x[0].numel()), ("of output", self.outputs, len(self.output_sizes)))
        return " ".join(f"{what} {int(places[row])}" for what, places, count in parts if count > 1)
