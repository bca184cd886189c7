"""The linear equations that labels of a function, its gradient and its Hessian are for the weights of a layer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from sobolev.autodiff.engine import Method
from sobolev.autodiff.operators import derivative_tensors
from sobolev.readout.layer import LinearLayer
from sobolev.readout.least_squares import merged, triangular_factor

Samples = Sequence[Tensor]
"""Points (batch, *in), values (batch, *out), then derivative labels (batch, *out, *in[, *in]); NaN is no label."""


class Equations(NamedTuple):
    """One row for each label of one output, derivative labels divided by their scales."""

    features: Float64[Tensor, "rows unknowns"]
    targets: Float64[Tensor, "rows outputs"]
    """In units of the layer's output; NaN where there is no label."""
    samples: int
    """The rows are those of all samples for the value, then for each derivative entry."""
    orders: tuple[int, ...]
    """The order of each of these groups of rows."""


def entries(labels: Samples) -> Float64[Tensor, "entries batch outputs"]:
    """Values, gradient entries, Hessian entries of the upper triangle, in float64 on the CPU."""
    batch, d = len(labels[0]), labels[0].shape[1:].numel()
    outputs = labels[1].shape[1:].numel()
    tower = [t.detach().double().cpu().reshape(batch, outputs, *(d,) * k) for k, t in enumerate(labels[1:])]
    return torch.cat([_flat(t, k, d) for k, t in enumerate(tower)])


def _flat(tensor: Tensor, order: int, d: int) -> Tensor:
    """(batch, columns, *in) to (entries, batch, columns)."""
    if order == 2:
        i, j = torch.triu_indices(d, d, device=tensor.device)
        tensor = tensor[:, :, i, j]
    return tensor[None] if order == 0 else tensor.movedim(-1, 0)


def orders_of(d: int, order: int) -> tuple[int, ...]:
    """The order of every entry."""
    return (0,) + (1,) * (d if order > 0 else 0) + (2,) * (d * (d + 1) // 2 if order > 1 else 0)


@dataclass
class Moments:
    """How many numbers there were, their sum and the sum of their squares, of each of several quantities."""

    count: Tensor | None = None
    total: Tensor | None = None
    squares: Tensor | None = None

    def add(self, numbers: Float64[Tensor, "*quantities samples"]) -> None:
        """Count all that are finite."""
        known = numbers.isfinite()
        numbers = numbers.nan_to_num(0.0, 0.0, 0.0)
        self.join(Moments(known.sum(-1).double(), numbers.sum(-1), numbers.square().sum(-1)))

    def join(self, other: "Moments") -> None:
        """Count those of another process, too."""
        if self.count is None or self.total is None or self.squares is None:
            self.count, self.total, self.squares = other.count, other.total, other.squares
        elif other.count is not None and other.total is not None and other.squares is not None:
            self.count = self.count + other.count
            self.total, self.squares = self.total + other.total, self.squares + other.squares

    def mean_squares(self) -> Float64[Tensor, "*quantities"]:
        """0 for a quantity without numbers."""
        assert self.count is not None and self.squares is not None
        return self.squares / self.count.clamp_min(1)

    def deviations(self) -> Float64[Tensor, "*quantities"]:
        """Standard deviations; 0 where they are rounding."""
        assert self.count is not None and self.total is not None
        mean = self.total / self.count.clamp_min(1)
        deviation = (self.mean_squares() - mean.square()).clamp_min(0).sqrt()
        return deviation.where(deviation > 1e-12 * mean.abs(), torch.zeros_like(deviation))


@dataclass
class Scales:
    """Sizes of the inputs and of the labels."""

    inputs: Moments = field(default_factory=Moments)
    labels: Moments = field(default_factory=Moments)

    def add(self, samples: Samples) -> None:
        """Count a batch."""
        self.inputs.add(samples[0].detach().double().cpu().movedim(0, -1))
        self.labels.add(entries(samples).movedim(1, -1))

    def join(self, others: Iterable["Scales"]) -> "Scales":
        """Those of all processes."""
        joined = Scales()
        for other in others:
            joined.inputs.join(other.inputs)
            joined.labels.join(other.labels)
        return joined

    def outputs(self) -> Float64[Tensor, " outputs"]:
        """Standard deviation of the values; where there are none or they are constant, 1."""
        deviations = self.labels.deviations()[0]
        return deviations.where(deviations > 0, torch.ones_like(deviations))

    def entries(self) -> Float64[Tensor, " entries"]:
        """Size of each entry in units of its output, over all outputs; 1 for the value and for what is 0."""
        assert self.labels.count is not None
        relative = self.labels.mean_squares() / self.outputs().square()
        known = (self.labels.count > 0).double()
        size = ((relative * known).sum(1) / known.sum(1).clamp_min(1)).sqrt()
        size = size.where(size > 0, torch.ones_like(size))
        return torch.cat([torch.ones_like(size[:1]), size[1:]])


def equations(
    model: nn.Module, found: LinearLayer, labels: Samples, sizes: Float64[Tensor, " entries"], method: Method
) -> Equations:
    """The rows of a batch, with features that are computed in the precision of the points.

    Args:
        model: in eval mode, of the precision of the points.
        found: the layer of it to solve for.
        labels: points, values, derivative labels.
        sizes: of each entry, see `Scales.entries`.
        method: as in `sobolev.derivatives`.
    """
    x, order = labels[0], len(labels) - 2
    tower = derivative_tensors(lambda x: found.features(model, x), x, order, method=method)
    d, unknowns = x.shape[1:].numel(), found.layer.in_features + 1
    parts = [_flat(t.reshape(len(x), -1, *(d,) * k), k, d) for k, t in enumerate(tower)]
    computed = torch.cat(parts).double().cpu()
    if not computed.isfinite().all():
        raise ValueError(f"the features that go into {found.name}, or their derivatives, are not finite everywhere")
    sizes = sizes[:, None, None]
    targets = (entries(labels) - computed[:, :, unknowns:]) / found.scale / sizes
    features = computed[:, :, :unknowns] / sizes
    if found.layer.bias is None:
        features = features[:, :, 1:]
    return Equations(features.flatten(0, 1), targets.flatten(0, 1), len(x), orders_of(d, order))


@dataclass
class Factors:
    """Triangular factors of all equations, one for each pattern of outputs that have labels in a row."""

    outputs: int
    factors: dict[tuple[bool, ...], Tensor] = field(default_factory=dict)
    rows: dict[tuple[bool, ...], int] = field(default_factory=dict)

    def add(self, new: Equations) -> None:
        """Reduce the rows of a batch."""
        known = new.targets.isfinite()
        system = torch.cat([new.features, new.targets.nan_to_num(0.0)], dim=1)
        if known.all():
            self._add((True,) * self.outputs, system)
            return
        for pattern in known.unique(dim=0):
            self._add(tuple(pattern.tolist()), system[(known == pattern).all(1)])

    def _add(self, pattern: tuple[bool, ...], system: Float64[Tensor, "rows columns"]) -> None:
        if any(pattern):
            self.factors[pattern] = triangular_factor(system, self.factors.get(pattern))
            self.rows[pattern] = self.rows.get(pattern, 0) + len(system)

    def join(self, others: Iterable["Factors"]) -> "Factors":
        """Those of all processes, reduced together."""
        joined = Factors(self.outputs)
        for other in others:
            for pattern, factor in other.factors.items():
                mine = joined.factors.get(pattern)
                joined.factors[pattern] = factor if mine is None else merged([mine, factor])
                joined.rows[pattern] = joined.rows.get(pattern, 0) + other.rows[pattern]
        return joined

    def of(self, output: int) -> tuple[tuple[tuple[bool, ...], ...], Tensor, int]:
        """The patterns that hold labels of an output, their common factor and number of rows.

        Raises:
            ValueError: no row has a label of this output.
        """
        patterns = tuple(sorted(pattern for pattern in self.factors if pattern[output]))
        if not patterns:
            raise ValueError(f"output {output} has no label in the training data")
        factors = [self.factors[pattern] for pattern in patterns]
        return patterns, factors[0] if len(factors) == 1 else merged(factors), sum(self.rows[p] for p in patterns)
