"""Values and derivatives at rows, as the entries of one linear problem."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

By = tuple[int, int]
"""The inputs that are differentiated by; -1: none."""

_FEWEST_HELD_OUT = 10
"""Labels of a kind that many rows lack, from which on some may be held out."""


@dataclass(frozen=True)
class Entries:
    """Labels of some outputs, one an entry, sorted by order of the derivative and by input.

    Attributes:
        x: where each is, (entries, inputs).
        by: the inputs each is differentiated by, (entries, 2); -1: none.
        targets: (entries, outputs), finite.
        outputs: the numbers of these outputs.
    """

    x: Float64[Tensor, "entries inputs"]
    by: Int64[Tensor, "entries 2"]
    targets: Float64[Tensor, "entries outputs"]
    outputs: tuple[int, ...]

    @property
    def order(self) -> Int64[Tensor, " entries"]:
        """Of each derivative, 0 for values."""
        return (self.by >= 0).sum(1)


@dataclass(frozen=True)
class Labels:
    """What is known at some rows.

    Attributes:
        x: (rows, inputs).
        tensors: values (rows, outputs), gradients (rows, outputs, inputs), Hessians (rows, outputs, inputs, inputs), as
            many of these as there are; NaN: not known.
    """

    x: Float64[Tensor, "rows inputs"]
    tensors: tuple[Float64[Tensor, "rows outputs *inputs"], ...]

    def __len__(self) -> int:
        """How many rows."""
        return len(self.x)

    def __getitem__(self, rows: slice | Tensor) -> "Labels":
        """Some of the rows."""
        return Labels(self.x[rows], tuple(tensor[rows] for tensor in self.tensors))

    def __add__(self, other: "Labels") -> "Labels":
        """The rows of both."""
        pairs = zip(self.tensors, other.tensors, strict=True)
        return Labels(torch.cat([self.x, other.x]), tuple(torch.cat(pair) for pair in pairs))

    def columns(self) -> Iterator[tuple[By, Float64[Tensor, "rows outputs"]]]:
        """Every kind of label, by order and by input; of a Hessian the upper triangle."""
        inputs = self.x.shape[1]
        for order, tensor in enumerate(self.tensors):
            if order == 0:
                yield (-1, -1), tensor
            elif order == 1:
                yield from (((a, -1), tensor[:, :, a]) for a in range(inputs))
            else:
                yield from (((a, b), _mean(tensor, a, b)) for a in range(inputs) for b in range(a, inputs))

    def entries(self) -> list[Entries]:
        """All that is known: one item for outputs that are known at the same places."""
        columns = [(by, values) for by, values in self.columns() if values.isfinite().any()]
        by = torch.tensor([by for by, values in columns for _ in range(len(values))]).view(-1, 2)
        x, values = self.x.repeat(len(columns), 1), torch.cat([values for _, values in columns])
        patterns: dict[bytes, list[int]] = {}
        for output, known in enumerate(values.isfinite().T):
            patterns.setdefault(known.cpu().numpy().tobytes(), []).append(output)
        found = []
        for outputs in patterns.values():
            known = values[:, outputs[0]].isfinite()
            found.append(Entries(x[known], by.to(x.device)[known], values[known][:, outputs], tuple(outputs)))
        return found

    def counts(self) -> Int64[Tensor, " rows"]:
        """How many labels each row has of the output that has most."""
        known = [values.isfinite() for _, values in self.columns()]
        return torch.stack(known).sum(0).amax(1)

    def first(self, most: int) -> "Labels":
        """So many rows from the start that there are at most this many labels, but at least two."""
        rows = int((self.counts().cumsum(0) <= most).sum())
        return self[: max(2, rows)]

    def sizes(self) -> list[float]:
        """Root mean square of the labels of each order, 1 where there are none."""
        found = []
        for tensor in self.tensors:
            size = float(tensor.square().nanmean().sqrt()) if tensor.isfinite().any() else 1.0
            found.append(size if size > 0 else 1.0)
        return found


def levels(x: Float64[Tensor, "rows inputs"]) -> list[int]:
    """How many different values each input takes."""
    return [len(column.unique()) for column in x.T]


def scarce(tensors: Sequence[Float64[Tensor, "rows outputs *inputs"]]) -> Bool[Tensor, " rows"]:
    """The rows with a label of a kind that others lack, and too few have for one to be held out."""
    known = torch.cat([tensor.flatten(1).isfinite() for tensor in tensors], 1)
    counts = known.sum(0)
    return known[:, (counts < _FEWEST_HELD_OUT) & (counts < len(known))].any(1)


def standardized(
    x: Float64[Tensor, "rows inputs"],
    tensors: Sequence[Float64[Tensor, "rows outputs *inputs"]],
    input_mean: Float64[Tensor, " inputs"],
    input_scale: Float64[Tensor, " inputs"],
    mean: Float64[Tensor, " outputs"],
    scale: Float64[Tensor, " outputs"],
) -> Labels:
    """Labels (see there) in units in which inputs and outputs are of order one."""
    value, *derivatives = tensors
    found = [(value - mean) / scale]
    for order, tensor in enumerate(derivatives, start=1):
        for axis in range(2, 2 + order):
            tensor = tensor * input_scale.view(-1, *[1] * (1 + order - axis))
        found.append(tensor / scale.view(-1, *[1] * order))
    return Labels((x - input_mean) / input_scale, tuple(found))


def _mean(hessian: Tensor, a: int, b: int) -> Tensor:
    """Of an entry and its mirror image, or the one that is known."""
    return torch.stack([hessian[:, :, a, b], hessian[:, :, b, a]]).nanmean(0)
