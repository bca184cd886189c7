"""Which entries of a batch a readout takes, and a forward of several inputs as one of all their columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.losses.labels import is_label, with_outputs
from sobolev.readout.equations import Samples

Keys = str | int | Sequence[str | int]
"""Names or positions of entries of a batch."""
OWN = "module."
"""What the names of a module's parts begin with in one of several inputs."""


def samples_in(batch: Any, inputs: Keys | None, targets: Keys | None) -> tuple[Samples, list[torch.Size]]:
    """Points, targets and derivative labels of a batch, and the shape of one sample of each input.

    Args:
        batch: a tuple or list, (x, y[, d1[, d2]]) unless said otherwise, or a dictionary.
        inputs: which entries forward takes, in its order; None: the first.
        targets: which entries are the targets, then derivative labels; None: all behind the inputs, up to three.

    Raises:
        TypeError: these are no tensors of floating point.
        ValueError: the batch has no such entry.
    """
    if isinstance(batch, Mapping) and (inputs is None or targets is None):
        names = list(map(str, batch))
        raise TypeError(
            f"a batch has the entries {', '.join(names)}; say which forward takes, in its order, and which holds the "
            f"targets: LeastSquaresReadout(inputs={names[:1]}, targets={names[-1]!r})"
        )
    if not isinstance(batch, Mapping | list | tuple):
        raise TypeError(
            f"there are no inputs and targets in a batch of type {type(batch).__name__}; it takes tuples and "
            "dictionaries. For other batches override its method `samples`"
        )
    given = _keys(0 if inputs is None else inputs)
    behind = [key + 1 for key in given if isinstance(key, int)]
    start = max(behind, default=0)
    wanted = list(range(start, min(start + 3, len(batch)))) if targets is None else _keys(targets)
    parts, labels = [_entry(batch, key) for key in given], [_entry(batch, key) for key in wanted]
    if not labels or not all(isinstance(p, Tensor) and p.is_floating_point() for p in (*parts, *labels[:1])):
        raise TypeError(
            f"there are no inputs and targets of floating point in a batch of {len(batch)} entries; it takes (x, y) or "
            "(x, y, d1[, d2]). Say which entries are meant, LeastSquaresReadout(inputs=[0, 1], targets=2), or override "
            "its method `samples`"
        )
    x = parts[0] if len(parts) == 1 else torch.cat([part.reshape(len(part), -1) for part in parts], 1)
    count = next((k for k, label in enumerate(labels) if not is_label(label, x, labels[0], k)), len(labels))
    return [x, *with_outputs(x, labels[:count])], [part.shape[1:] for part in parts]


def _keys(keys: Keys) -> list[str | int]:
    return [keys] if isinstance(keys, str | int) else list(keys)


def _entry(batch: Any, key: str | int) -> Any:
    try:
        return batch[key]
    except (LookupError, TypeError):
        known = ", ".join(map(str, batch)) if isinstance(batch, Mapping) else f"{len(batch)} entries"
        raise ValueError(f"the batch has no entry {key!r}; it has {known}") from None


class OfColumns(nn.Module):
    """A module of several inputs as one of the columns of all, (batch, columns).

    Args:
        module: takes the inputs one after the other, (batch, *shape) each.
        shapes: of one sample of each.
    """

    def __init__(self, module: nn.Module, shapes: Sequence[torch.Size]) -> None:
        super().__init__()
        self.module, self.shapes = module, shapes

    def forward(self, x: Tensor) -> Tensor:
        """(batch, columns) to (batch, outputs)."""
        parts = x.split([shape.numel() for shape in self.shapes], dim=1)
        return self.module(*(part.reshape(len(x), *s) for part, s in zip(parts, self.shapes, strict=True)))
