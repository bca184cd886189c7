"""Gaussian bumps at the training points, in coordinates that the evidence learns."""

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sobolev.networks.kernel_features import KernelFeatures, covariance, linear_features, places
from sobolev.surrogates.family import Fit
from sobolev.surrogates.labels import Entries, Labels, levels
from sobolev.surrogates.marginal import bounded, cost_of_choice, kernel_evidence, kernel_solve
from sobolev.surrogates.minimise import minimise

_LEAST_NOISE = -16.0
"""Logarithm of the noise, relative to the prior, below which a kernel matrix is singular in float64."""
MOST_CENTRES = 3000
"""The time of the solution grows with the cube, that of the network with the number of its centres."""
_START = 0.3
"""Strength of the units at the start."""
_SCALES = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Inverse lengths of the inputs to begin with: from a slope to many periods, which no search finds from far away."""
MUCH_NOISE, LITTLE_NOISE = -2.0, -7.0
"""Logarithms of noises to begin with: from little, units may learn noise that there is, and do not find back; from
much, they may take what is steep for noise."""

_LABELS_FOR_COST = 300
"""By which second derivatives of the evidence are measured; of more, the cost grows with their logarithm alone."""
_FAST = -math.log(0.01)
"""That a length is below the distance between rows is as improbable as this."""
_OFF = 0.03
"""Strength of a unit that the evidence does without."""
_DIFFERENCE = 1e-4
"""In units of the prior's deviations."""


class Kernels:
    """A Gaussian process whose squared exponential kernel sees the inputs and a few tanh units of them.

    All weights of the units have Gaussian priors of the size of their start, which count in the evidence: without
    them the kernel learns the noise (Ober et al., The promises and pitfalls of deep kernel learning, 2021).

    Args:
        inputs: how many.
        units: tanh units.
        log_noise: logarithm of the noise at the start.
        labels: the evidence sees at most so many.
        iterations: line searches of `learn`.
        seed: of the first weights.
        centres: at most.
    """

    def __init__(
        self,
        inputs: int,
        units: int = 8,
        log_noise: float = MUCH_NOISE,
        labels: int = 600,
        iterations: int = 200,
        seed: int = 0,
        centres: int = MOST_CENTRES,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.kind = "deep kernel" if units else "kernel"
        self.name = self.kind + (" from little noise" if log_noise < MUCH_NOISE else "")
        self.labels, self.iterations, self.fresh, self.centres = labels, iterations, True, centres
        scales = torch.full((inputs,), math.log(_SCALES[0]), dtype=torch.float64)
        self.log_scales, self.spacings = scales, torch.zeros_like(scales)
        self.features = KernelFeatures(torch.zeros(0, inputs), scales.exp(), units).double()
        with torch.no_grad():
            for parameter, size in ((self.features.units.weight, inputs**-0.5), (self.features.units.bias, 1.0)):
                draw = torch.rand(parameter.shape, dtype=torch.float64, generator=generator)
                parameter.copy_((2 * draw - 1) * size * 3**0.5)
            self.features.strengths.fill_(_START)
        self.constant = torch.tensor(2.0, dtype=torch.float64)
        self.slope = torch.tensor(0.0, dtype=torch.float64)
        self.log_noise = torch.full((1,), log_noise, dtype=torch.float64)  # of values, then gradients, then Hessians

    def learn(self, labels: Labels) -> None:
        """See `Family`."""
        labels = labels.first(self.labels)
        groups, self.spacings = labels.entries(), _spacings(labels.x)
        if len(self.log_noise) != len(labels.tensors):
            self.log_noise = self.log_noise[:1].repeat(len(labels.tensors))
        if self.fresh and not len(self.features.strengths):  # units take what the longest lengths leave
            self._start(groups)
        self.fresh = False
        self._make_positive(groups)
        parameters = [self.log_noise, *(parameter for parameter, _ in self._with_precisions())]
        self.loss = minimise(parameters, lambda: self._loss(groups), self.iterations)

    @torch.no_grad()
    def _start(self, groups: Sequence[Entries]) -> None:
        """Begin where the evidence is largest."""
        losses = {}
        for log_scale, log_noise in product(map(math.log, _SCALES), (float(self.log_noise[0]), 0.0)):
            self.log_scales.fill_(log_scale)
            self.log_noise.fill_(log_noise)
            losses[log_scale, log_noise] = float(self._loss(groups))
        log_scale, log_noise = min(losses, key=lambda start: losses[start])
        self.log_scales.fill_(log_scale)
        self.log_noise.fill_(log_noise)

    def _loss(self, groups: Sequence[Entries]) -> Tensor:
        noise = self._noise()
        parts = [
            kernel_evidence(self._bumps(part), self._linear(part), part.targets, noise[part.order]) for part in groups
        ]
        return torch.stack(parts).sum() + self._prior()

    @torch.no_grad()
    def evidence(self, labels: Labels) -> float:
        """See `Family`."""
        return -float(self._loss(labels.entries()))

    def cost(self, labels: Labels) -> float:
        """See `Family`; second derivatives are differences. Of units that are off the strengths alone count."""
        groups = labels.first(_LABELS_FOR_COST).entries()
        parameters, sizes = zip(*self._with_precisions(), strict=True)
        start = parameters_to_vector(parameters)
        precision = torch.cat(
            [torch.full_like(part, size).flatten() for part, size in zip(parameters, sizes, strict=True)]
        )
        off = self.features.strengths.abs() < _OFF
        ignored = torch.cat([off.repeat_interleave(self.features.units.in_features), off, torch.zeros_like(off)])
        precision[len(start) - len(ignored) :][ignored] = 0.0
        here = self._gradient(groups, parameters)
        hessian = start.new_zeros(len(start), len(start))
        for place in precision.nonzero()[:, 0].tolist():
            step = torch.zeros_like(start)
            step[place] = _DIFFERENCE * precision[place].rsqrt()
            vector_to_parameters(start + step, parameters)
            hessian[place] = (self._gradient(groups, parameters) - here) / step[place]
        vector_to_parameters(start, parameters)
        units = int((~off).sum())
        alike = math.lgamma(units + 1) + units * math.log(2)  # in another order, of other signs
        return max(0.0, float(cost_of_choice(hessian, precision)) - alike)

    @torch.enable_grad()
    def _gradient(self, groups: Sequence[Entries], parameters: Sequence[Tensor]) -> Tensor:
        for parameter in parameters:
            parameter.requires_grad_(True)
        found = torch.autograd.grad(self._loss(groups), parameters)
        for parameter in parameters:
            parameter.requires_grad_(False)
        return parameters_to_vector(found)

    @torch.no_grad()
    def fit(self, labels: Labels) -> Fit:
        """See `Family`."""
        labels = labels.first(self.centres)
        groups = labels.entries()
        self._make_positive(groups)
        inputs, outputs = labels.x.shape[1], labels.tensors[0].shape[1]
        x, by = (torch.cat([getattr(part, name) for part in groups]) for name in ("x", "by"))
        weights, linear, noise = (
            x.new_zeros(len(x), outputs),
            x.new_zeros(1 + inputs, outputs),
            x.new_zeros(len(self.log_noise), outputs),
        )
        places = torch.arange(len(x), device=x.device).split([len(part.x) for part in groups])
        for part, own in zip(groups, places, strict=True):
            columns = list(part.outputs)
            weights[own[:, None], columns], linear[:, columns], noise[:, columns] = self._solution(part)
        order = (by >= 0).sum(1).sort(stable=True).indices
        x, by, weights = x[order], by[order], weights[order]
        features = KernelFeatures(x, self.log_scales.exp(), len(self.features.strengths), by).double()
        features.units.load_state_dict(self.features.units.state_dict())
        features.strengths.copy_(self.features.strengths)
        return Fit(self.name, features, linear[0], linear[1:], weights, noise, -self.loss)

    def _solution(self, part: Entries) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of its labels, (entries, outputs), of 1 and the inputs, and the noise, (orders, outputs)."""
        noise, sizes = self._noise().exp(), self._linear_sizes()
        weights, linear = kernel_solve(self._bumps(part), self._linear(part), part.targets, noise[part.order])
        scale = ((part.targets * weights).sum(0) / len(weights)).clamp_min(0).sqrt()
        return weights, sizes[:, None] * linear, noise[:, None] * scale

    @torch.no_grad()
    def _make_positive(self, groups: Sequence[Entries]) -> None:
        """As much noise as these rows need for a Cholesky decomposition."""
        for part in groups:
            bumps = self._bumps(part)
            while torch.linalg.cholesky_ex(bumps + (2 * self._noise()).exp()[part.order].diag())[1]:
                self.log_noise = self._noise() + 1.0

    def _noise(self) -> Tensor:
        return bounded(self.log_noise, _LEAST_NOISE)

    def _bumps(self, part: Entries) -> Tensor:
        features = self.features
        return covariance(places(part.x, part.by, self.log_scales.exp(), features.units, features.strengths))

    def _linear(self, part: Entries) -> Tensor:
        """What each label makes of 1 and of the inputs, of the deviation of their prior, (entries, 1 + inputs)."""
        return linear_features(part.x, part.by) * self._linear_sizes()

    def _linear_sizes(self) -> Tensor:
        """Prior deviations, (1 + inputs,)."""
        inputs = self.log_scales.numel()
        return torch.cat([self.constant.exp().view(1), (self.slope.exp() / inputs**0.5).expand(inputs)])

    def _with_precisions(self) -> list[tuple[Tensor, float]]:
        """What is chosen, and the precision of the normal prior of each."""
        units, inputs = self.features.units, self.log_scales.numel()
        scales = [(self.log_scales, 1 / 9), (self.constant, 1 / 9), (self.slope, 1 / 9)]
        return [*scales, (units.weight, float(inputs)), (units.bias, 1.0), (self.features.strengths, 1.0)]

    def _prior(self) -> Tensor:
        """Normal, and of lengths what penalises complexity (Fuglstad et al., 2019, in one dimension).

        Where rows do not tell of each other, a function that jumps from one to the next explains them as noise does.
        """
        (scales, precision), *others = self._with_precisions()
        squares = precision * (scales - math.log(0.5)).square().sum()
        squares = squares + torch.stack([k * parameter.square().sum() for parameter, k in others]).sum()
        return 0.5 * squares + _FAST * (self.spacings * scales.exp()).sqrt().sum()


def _spacings(x: Tensor) -> Tensor:
    """Mean distances between the different values of each input, (inputs,)."""
    return (x.amax(0) - x.amin(0)) / (x.new_tensor(levels(x)) - 1).clamp_min(1)
