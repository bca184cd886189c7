"""Smaller errors that are paid for with the derivatives: candidates that bend more than their errors allow.

A network that has not learnt can get smaller errors in the values by weights that cancel, and its derivatives are then
worse than before. An error of size e whose third derivative is bounded has a slope of at most e^(2/3) times the third
root of that bound, but for a constant (inequality of Landau and Kolmogorov). So the bound on the slope's error does not
grow where e √(1 + c) does not: c is the curvature, in units of what the labels vary over a standard deviation of the
inputs, and 1 stands for the function itself. Noise of the labels is no error of a candidate.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from sobolev.autodiff.engine import Method
from sobolev.autodiff.operators import derivatives
from sobolev.errors import UntrustworthyDerivativeError
from sobolev.readout.layer import LinearLayer

_SAMPLES = 1024
"""At most so many of a batch are looked at, and twice as many for the noise."""
_LENIENT = 1.1
"""More than 1, as errors and curvatures are estimates."""


@dataclass
class Roughness:
    """Curvatures of all candidates on held-out samples, and the noise of the labels.

    Args:
        weights: the candidates, (candidates, unknowns, outputs); the last is the network as it came in.
        units: what an error in units of the layer is in sizes of the labels, (outputs,).
        deviations: of the inputs, (*in).
    """

    weights: Float64[Tensor, "candidates unknowns outputs"]
    units: Float64[Tensor, " outputs"]
    deviations: Float64[Tensor, "*in"]

    def __post_init__(self) -> None:
        candidates, _, outputs = self.weights.shape
        self.squares = torch.zeros(outputs, candidates, dtype=torch.float64)
        self.samples = 0
        self.points = torch.zeros(0, self.deviations.numel(), dtype=torch.float64)
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
        features, rest = self._second_derivatives(model, found, x, method)
        second = torch.einsum("ru,cuo->ocr", features, self.weights) + rest.T[:, None] / found.scale[:, None, None]
        self.squares += (second * self.units[:, None, None]).nan_to_num(0.0, 0.0, 0.0).square().sum(2)
        self.samples += len(x)
        deviations = self.deviations.where(self.deviations > 0, torch.ones_like(self.deviations))
        self._keep((x.detach().double().cpu() / deviations).flatten(1), values)

    def join(self, others: Iterable["Roughness"]) -> "Roughness":
        """That of all processes."""
        joined = replace(self)
        for other in others:
            joined.squares += other.squares
            joined.samples += other.samples
            joined._keep(other.points, other.values)
        return joined

    def admissible(self, errors: Float64[Tensor, "outputs candidates"]) -> Bool[Tensor, "outputs candidates"]:
        """Whether a candidate's error is small enough for its curvature, compared with the network that came in.

        Args:
            errors: mean squares on the held-out values, in units of the labels' size.
        """
        bent = 1 + (self.squares / max(self.samples, 1)).sqrt()
        costs = (errors - self._noise()[:, None]).clamp_min(0) * bent
        return costs <= _LENIENT**2 * costs[:, -1:]

    def _noise(self) -> Float64[Tensor, " outputs"]:
        """The largest variance of the noise that the labels allow; too large where neighbours are far apart.

        Half of the mean square of what neighbours differ by (delta test; Pi & Peterson, Neural Computation 6, 1994),
        and two standard errors of it and of a candidate's error.
        """
        if len(self.points) < 2:
            return torch.full_like(self.units, torch.inf)
        nearest = torch.cdist(self.points, self.points).fill_diagonal_(torch.inf).argmin(1)
        apart = (self.values - self.values[nearest]) * self.units
        return apart.square().nanmean(0) / 2 * (1 + 2 * (5 / len(self.points)) ** 0.5)

    def _second_derivatives(
        self, model: nn.Module, found: LinearLayer, x: Tensor, method: Method
    ) -> tuple[Float64[Tensor, "batch unknowns"], Float64[Tensor, "batch outputs"]]:
        """Of features and of what is added to them, over a deviation along each input; 0 where none can be trusted."""
        signs = torch.randint(2, self.deviations.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        direction, unknowns = (self.deviations * signs).to(x), found.layer.in_features + 1
        try:
            second = derivatives(lambda x: found.features(model, x), x, 2, direction, method=method)[2].double().cpu()
        except UntrustworthyDerivativeError:
            second = torch.zeros(len(x), unknowns + found.outputs, dtype=torch.float64)
        return second[:, int(found.layer.bias is None) : unknowns], second[:, unknowns:]

    def _keep(self, points: Tensor, values: Tensor) -> None:
        self.points = torch.cat([self.points, points])[: 2 * _SAMPLES]
        self.values = torch.cat([self.values, values])[: 2 * _SAMPLES]
