"""Smaller errors that are paid for with derivatives: changes of a slope or curvature that the values do not support.

What a candidate is still wrong by, its residuals, it has learnt nothing of; where neighbours share it, it is no noise
but something that the features cannot say. It disturbs the weights, most those along the features' roughest directions,
and thus says how uncertain each derivative of the candidate is: the posterior of the last layer (Bishop, 2006, section
3.3), whose noise is that misfit. A derivative has changed by d from the network that came in. If both have errors of
their own, c the candidate's, then d² is about b² + c², and the error b before is not the smaller one where c² <= d²/2.
Noise of the labels is no misfit of a candidate.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from sobolev.autodiff.engine import Method
from sobolev.autodiff.operators import derivatives
from sobolev.errors import UntrustworthyDerivativeError
from sobolev.readout.choice import STRENGTHS
from sobolev.readout.layer import LinearLayer
from sobolev.readout.least_squares import RidgePath

_SAMPLES = 1024
"""At most so many of a batch are looked at, and twice as many for the misfit."""
_ROUGHEST = 0.1
"""The part of the directions in use along which all of the misfit is."""
_SURE = 0.5
"""c² / d² in which a change is still for the better."""
_BEYOND_CHANCE = 2.0
"""Standard errors by which neighbours must have their residuals in common."""


@dataclass
class Certainty:
    """How far candidates change slopes and curvatures on held-out samples, and how uncertain these are.

    Args:
        weights: the candidates, (candidates, unknowns, outputs): those of each of the `STRENGTHS`, then the network as
            it came in.
        paths: where they come from, for each output.
        deviations: of the inputs, (*in).
    """

    weights: Float64[Tensor, "candidates unknowns outputs"]
    paths: Sequence[RidgePath]
    deviations: Float64[Tensor, "*in"]

    def __post_init__(self) -> None:
        candidates, unknowns, outputs = self.weights.shape
        self.changed = torch.zeros(2, outputs, candidates, dtype=torch.float64)
        self.uncertain = torch.zeros_like(self.changed)
        self.samples = 0
        self.points = torch.zeros(0, self.deviations.numel(), dtype=torch.float64)
        self.features = torch.zeros(0, unknowns, dtype=torch.float64)
        self.values = torch.zeros(0, outputs, dtype=torch.float64)

    def add(self, model: nn.Module, found: LinearLayer, x: Tensor, values: Tensor, method: Method) -> None:
        """Count samples of a batch, evenly taken.

        Args:
            model: in eval mode, of the precision of the points.
            found: the layer of it to solve for.
            x: points, (batch, *in).
            values: labels in units of the layer, (batch, outputs).
            method: as in `sobolev.derivatives`.
        """
        every = -(-len(x) // _SAMPLES)
        x, values = x[::every], values[::every]
        tower = self._derivatives(model, found, x, method)
        apart = self.weights - self.weights[-1]
        for order, features in enumerate(tower[1:]):
            self.changed[order] += torch.einsum("ru,cuo->ocr", features, apart).square().sum(2)
            self.uncertain[order] += self._variances(features)
        self.samples += len(x)
        deviations = self.deviations.where(self.deviations > 0, torch.ones_like(self.deviations))
        self._keep((x.detach().double().cpu() / deviations).flatten(1), tower[0], values)

    def join(self, others: Iterable["Certainty"]) -> "Certainty":
        """That of all processes."""
        joined = replace(self)
        for other in others:
            joined.changed += other.changed
            joined.uncertain += other.uncertain
            joined.samples += other.samples
            joined._keep(other.points, other.features, other.values)
        return joined

    def admissible(self) -> Bool[Tensor, "outputs candidates"]:
        """Whether slopes and curvatures of a candidate are no worse than those of the network that came in."""
        uncertain = self._misfit() * self.uncertain
        return (uncertain <= _SURE * self.changed).all(0)

    def _misfit(self) -> Float64[Tensor, "outputs candidates"]:
        """Mean squares, in units of the layer, of what neighbours have in common of their residuals.

        The noise of labels is not common to neighbours (delta test; Pi & Peterson, Neural Computation 6, 1994).
        """
        if len(self.points) < 2:
            return torch.zeros(self.changed.shape[1:], dtype=torch.float64)
        nearest = torch.cdist(self.points, self.points).fill_diagonal_(torch.inf).argmin(1)
        return torch.stack([self._common(output, nearest) for output in range(self.values.shape[1])])

    def _common(self, output: int, nearest: Tensor) -> Float64[Tensor, " candidates"]:
        """The mean product of neighbours' residuals, as far as it is more than chance."""
        residuals = self.weights[:, :, output] @ self.features.T - self.values[:, output]
        products = residuals * residuals[:, nearest]
        mean, known = products.nanmean(1, keepdim=True), products.isfinite().sum(1).clamp_min(1)
        error = ((products - mean).square().nanmean(1) / known).sqrt()
        return (mean[:, 0] - _BEYOND_CHANCE * error).clamp_min(0).nan_to_num(0.0)

    def _variances(self, features: Float64[Tensor, "batch unknowns"]) -> Float64[Tensor, "outputs candidates"]:
        """Of what these features give, summed over the batch, where the misfit is 1; 0 for the network that came in."""
        found: dict[int, Tensor] = {}
        for path in self.paths:
            if id(path) not in found:
                along = (features @ path.directions()).square().sum(0)
                found[id(path)] = _spread(path) @ along
        variances = torch.stack([found[id(path)] for path in self.paths])
        return torch.nn.functional.pad(variances, (0, 1))

    def _derivatives(self, model: nn.Module, found: LinearLayer, x: Tensor, method: Method) -> list[Tensor]:
        """Features, less what precedes the layer, over a deviation along each input; 0 where none can be trusted."""
        signs = torch.randint(2, self.deviations.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        direction = (self.deviations * signs).to(x)
        unknowns = slice(int(found.layer.bias is None), found.layer.in_features + 1)
        try:
            tower = derivatives(lambda x: found.features(model, x), x, 2, direction, method=method)
        except UntrustworthyDerivativeError:
            value = found.features(model, x)
            tower = [value, torch.zeros_like(value), torch.zeros_like(value)]
        return [t.double().cpu()[:, unknowns] for t in tower]

    def _keep(self, points: Tensor, features: Tensor, values: Tensor) -> None:
        self.points = torch.cat([self.points, points])[: 2 * _SAMPLES]
        self.features = torch.cat([self.features, features])[: 2 * _SAMPLES]
        self.values = torch.cat([self.values, values])[: 2 * _SAMPLES]


def _spread(path: RidgePath) -> Float64[Tensor, "strengths directions"]:
    """Variances of the weight of each direction where the misfit is 1.

    Once as white noise, and once along the roughest directions in use, which take all of it.
    """
    spread, degrees = path.shares(STRENGTHS), path.degrees_of_freedom(STRENGTHS) - path.free
    for each, used in zip(spread, degrees.round().int().clamp_min(1).tolist(), strict=True):
        roughest = max(1, int(_ROUGHEST * used))
        each[used - roughest : used] += path.rows / roughest
    return spread
