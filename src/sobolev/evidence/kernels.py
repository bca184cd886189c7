"""Gaussian bumps at the training points, in coordinates that the evidence learns."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.evidence.family import Fit
from sobolev.evidence.marginal import kernel_evidence, kernel_solve
from sobolev.evidence.minimise import minimise
from sobolev.networks.surrogate import KernelFeatures

_LEAST_NOISE = -16.0
"""Logarithm of the noise, relative to the prior, below which a kernel matrix is singular in float64."""
_MOST_CENTRES = 3000
"""The time of the solution grows with the cube, that of the network with the number of its centres."""
_START = 0.3
"""Inverse length of inputs and units at the start."""


class Kernels:
    """A Gaussian process whose squared exponential kernel sees the inputs and a few tanh units of them.

    All weights of the units have Gaussian priors of the size of their start, which count in the evidence: without
    them the kernel learns the noise (Ober et al., The promises and pitfalls of deep kernel learning, 2021).

    Args:
        inputs: how many.
        units: tanh units.
        rows: the evidence sees at most so many.
        iterations: line searches of `learn`.
        seed: of the first weights.
    """

    name = "kernel"

    def __init__(self, inputs: int, units: int = 8, rows: int = 600, iterations: int = 200, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.rows, self.iterations = rows, iterations
        scales = torch.full((inputs,), math.log(_START), dtype=torch.float64)
        self.log_scales = scales
        self.features = KernelFeatures(torch.zeros(0, inputs), scales.exp(), units).double()
        with torch.no_grad():
            for parameter, size in ((self.features.units.weight, inputs**-0.5), (self.features.units.bias, 1.0)):
                draw = torch.rand(parameter.shape, dtype=torch.float64, generator=generator)
                parameter.copy_((2 * draw - 1) * size * 3**0.5)
            self.features.strengths.fill_(_START)
        self.constant = torch.tensor(2.0, dtype=torch.float64)
        self.slope = torch.tensor(0.0, dtype=torch.float64)
        self.log_noise = torch.tensor(-7.0, dtype=torch.float64)

    def learn(self, x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, "rows outputs"]) -> None:
        """See `Family`."""
        x, y = x[: self.rows], y[: self.rows]  # rows come in a random order
        units = self.features.units
        self._make_positive(x)
        parameters = [self.log_scales, self.constant, self.slope, self.log_noise]
        parameters += [units.weight, units.bias, self.features.strengths]

        def loss() -> Tensor:
            return kernel_evidence(self._covariance(x), y, self._noise()) + self._prior()

        self.loss = minimise(parameters, loss, self.iterations)

    def fit(self, x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, "rows outputs"]) -> Fit:
        """See `Family`."""
        x, y = x[:_MOST_CENTRES], y[:_MOST_CENTRES]
        with torch.no_grad():
            self._make_positive(x)
            noise = float(self._noise().exp())
            solution = kernel_solve(self._covariance(x), y, noise)
            alpha = solution.weights
            scale = ((y * alpha).sum(0) / len(x)).clamp_min(0).sqrt()
            bias = (2 * self.constant).exp() * alpha.sum(0)
            slopes = (2 * self.slope).exp() / x.shape[1] * (x.T @ alpha)
            features = KernelFeatures(x.clone(), self.log_scales.exp(), len(self.features.strengths)).double()
            features.units.load_state_dict(self.features.units.state_dict())
            features.strengths.copy_(self.features.strengths)
            return Fit(self.name, features, bias, slopes, alpha, noise * scale, -self.loss)

    @torch.no_grad()
    def _make_positive(self, x: Tensor) -> None:
        """As much noise as these rows need for a Cholesky decomposition."""
        covariance = self._covariance(x)
        eye = torch.eye(len(x), dtype=x.dtype, device=x.device)
        while torch.linalg.cholesky_ex(covariance + (2 * self._noise()).exp() * eye)[1]:
            self.log_noise = self._noise() + 1.0

    def _noise(self) -> Tensor:
        return self.log_noise.clamp_min(_LEAST_NOISE)

    def _covariance(self, x: Tensor) -> Tensor:
        units = torch.tanh(self.features.units(x)) * self.features.strengths
        here = torch.cat([x * self.log_scales.exp(), units], 1)
        norms = (here * here).sum(1)
        bumps = torch.exp(-0.5 * (norms[:, None] + norms - 2 * here @ here.T).clamp_min(0.0))
        return bumps + (2 * self.constant).exp() + (2 * self.slope).exp() / x.shape[1] * (x @ x.T)

    def _prior(self) -> Tensor:
        units, inputs = self.features.units, self.log_scales.numel()
        squares = (
            inputs * units.weight.square().sum() + units.bias.square().sum() + self.features.strengths.square().sum()
        )
        lengths = (self.log_scales - math.log(0.5)).square().sum() / 9
        return 0.5 * (squares + lengths + (self.constant.square() + self.slope.square()) / 9)
