"""Which entries of derivatives are compared with labels, and how those of a network are computed."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.operators import derivative_tensors, derivatives, hessian_diagonal, jacobian

FirstOrder = Literal["auto", "full", "random"]
SecondOrder = Literal["auto", "full", "diagonal", "random"]

_MOST_IN_FULL = 10
"""With more inputs, a Hessian-vector product takes less time than the full Hessian; likewise outputs for Jacobians."""
_INPUTS_PER_OUTPUT = 4
"""With more of them, a gradient by reverse mode for every output takes less time than Taylor mode."""


class Draw(NamedTuple):
    """The output and the input that each row is differentiated for; None: all."""

    outputs: Int64[Tensor, " batch"] | None = None
    inputs: Int64[Tensor, " batch"] | None = None


class Comparison:
    """The entries of the tensors of orders 0, 1, 2 that a loss compares.

    Args:
        scales: (outputs), (outputs, inputs), (outputs, inputs, inputs), infinite where nothing has a label.
        first_order: `"full"` Jacobians, or one `"random"` output for each sample; `"auto"`: full, up to 10 inputs or
            10 outputs.
        second_order: `"full"` Hessians, their `"diagonal"`, or for each sample one `"random"` column (a
            Hessian-vector product along a random unit vector); `"auto"`: random beyond 10 inputs, else the diagonal
            if nothing else has a label, else full.

    Attributes:
        order: the highest that has labels.
        weight: (components), how many labelled entries each compared one stands for.
        sizes: how many components each order has.
    """

    def __init__(self, scales: Sequence[Tensor], first_order: FirstOrder, second_order: SecondOrder) -> None:
        self.order = max((k for k, scale in enumerate(scales) if scale.isfinite().any()), default=0)
        self.scales = scales[: self.order + 1]
        labelled = [scale.isfinite() for scale in self.scales]
        self.diagonal, by_input = _second(labelled[2:], second_order)
        self.columns = labelled[2].any((0, 1)).nonzero()[:, 0] if by_input else None
        by_output = self.order == 1 or by_input
        self.rows = _rows(labelled[1:], first_order) if by_output else None
        counts = [self._counts(k, entries) for k, entries in enumerate(labelled)]
        self.sizes = tuple(count.numel() for count in counts)
        self.weight = torch.cat([count.flatten() for count in counts]).to(scales[0])
        self.scale = None if self.random else flat(self.chosen([s[None] for s in self.scales], Draw()))[0]

    @property
    def random(self) -> bool:
        """Whether each sample is compared for outputs or inputs of its own."""
        return self.rows is not None or self.columns is not None

    def draw(self, batch: int, seed: int | None) -> Draw:
        """The outputs and inputs of each row of a batch: random, or in turn without a seed."""
        if not self.random:
            return Draw()
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        turn = 1 if self.rows is None else len(self.rows)
        return Draw(_drawn(self.rows, batch, generator), _drawn(self.columns, batch, generator, turn))

    def scales_of(self, draw: Draw, batch: int) -> Tensor:
        """The scale of each compared entry, (components) or (batch, components)."""
        if self.scale is not None:
            return self.scale
        return flat(self.chosen([scale.expand(batch, *scale.shape) for scale in self.scales], draw))

    def chosen(self, tensors: Sequence[Tensor], draw: Draw) -> list[Tensor]:
        """The compared entries of tensors (batch, outputs), (batch, outputs, inputs), ..., each (batch, ...)."""
        value, *higher = tensors
        if draw.outputs is not None:
            higher = [_of_output(tensor, draw.outputs) for tensor in higher]
        if len(higher) > 1 and draw.inputs is not None:
            higher[1] = higher[1][torch.arange(len(value), device=value.device), :, :, draw.inputs]
        elif len(higher) > 1 and self.diagonal:
            higher[1] = higher[1].diagonal(dim1=-2, dim2=-1)
        return [value, *higher]

    def predicted(self, f: BatchedFunction, x: Float[Tensor, "batch inputs"], order: int, draw: Draw) -> list[Tensor]:
        """The same entries of f and its derivatives at x, each order up to `order`."""
        if order == 2 and draw.inputs is not None:
            return _column(f, x, draw.inputs, draw.outputs)
        if order == 2 and self.diagonal:
            return list(hessian_diagonal(f, x))
        if order == 1 and draw.outputs is not None:
            return _row(f, x, draw.outputs)
        if order == 1 and x.shape[1] > _INPUTS_PER_OUTPUT * len(self.scales[0]) and not torch.compiler.is_compiling():
            return list(jacobian(f, x, method="reverse"))
        return list(derivative_tensors(f, x, order))

    def _counts(self, order: int, labelled: Tensor) -> Tensor:
        """How many labelled entries of one order each compared one stands for."""
        if order and self.rows is not None:
            labelled = labelled.sum(0, keepdim=True)
        if order == 2 and self.columns is not None:
            return labelled.sum(-1)
        return labelled.diagonal(dim1=-2, dim2=-1) if order == 2 and self.diagonal else labelled


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """(batch, components)."""
    return torch.cat([tensor.flatten(1) for tensor in tensors], 1)


def _second(labelled: Sequence[Tensor], choice: SecondOrder) -> tuple[bool, bool]:
    """Whether only the diagonal of Hessians is compared; whether random columns are."""
    if not labelled or choice != "auto":
        return choice == "diagonal", bool(labelled) and choice == "random"
    inputs = labelled[0].shape[-1]
    off_diagonal = ~torch.eye(inputs, dtype=torch.bool, device=labelled[0].device)
    return not (labelled[0] & off_diagonal).any(), inputs > _MOST_IN_FULL


def _rows(labelled: Sequence[Tensor], choice: FirstOrder) -> Tensor | None:
    """The outputs to draw from; None where all are compared."""
    if not labelled or choice == "full" or (choice == "auto" and min(labelled[0].shape) <= _MOST_IN_FULL):
        return None
    return torch.stack([entries.flatten(1).any(1) for entries in labelled]).any(0).nonzero()[:, 0]


def _drawn(candidates: Tensor | None, batch: int, generator: torch.Generator | None, turn: int = 1) -> Tensor | None:
    """One of the candidates for each row; without a generator each comes for `turn` rows, then the next."""
    if candidates is None:
        return None
    rows = torch.arange(batch) // turn % len(candidates)
    places = rows if generator is None else torch.randint(len(candidates), (batch,), generator=generator)
    return candidates[places.to(candidates.device)]


def _of_output(tensor: Tensor, outputs: Tensor) -> Tensor:
    """(batch, outputs, ...) -> (batch, 1, ...), another output for each row."""
    return tensor[torch.arange(len(tensor), device=tensor.device), outputs][:, None]


def _row(f: BatchedFunction, x: Tensor, outputs: Tensor) -> list[Tensor]:
    """Value, and the gradient of one output of each row."""
    return [f(x), jacobian(lambda x: _of_output(f(x), outputs), x, method="reverse", chunk_size=None)[1]]


def _column(f: BatchedFunction, x: Tensor, inputs: Tensor, outputs: Tensor | None) -> list[Tensor]:
    """Value, Jacobian and one column of the Hessian of each row: reverse mode over one direction of Taylor mode."""
    direction = torch.nn.functional.one_hot(inputs, x.shape[1]).to(x)

    def value_and_slope(x: Tensor) -> Tensor:
        pair = torch.stack(derivatives(f, x, 1, direction), 1)
        return pair if outputs is None else _of_output(pair.mT, outputs).mT

    pair, gradients = jacobian(value_and_slope, x, method="reverse", chunk_size=None)
    return [pair[:, 0] if outputs is None else f(x), *gradients.unbind(1)]
