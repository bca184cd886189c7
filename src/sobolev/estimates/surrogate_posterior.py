"""What the evidence that made a `Surrogate` leaves open of its derivatives.

Each family of features is a Gaussian process: weights with a common prior variance on features that know their sizes,
or bumps at the rows, whose weights are those of a kernel. Of the value, the gradient and the Hessian its posterior
variance is exact for given features (Rasmussen & Williams, 2006, chapters 2 and 9.4).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.linalg import solve_triangular

from sobolev.autodiff.operators import derivative_tensors
from sobolev.estimates.gaussian_process import symmetric
from sobolev.networks.kernel_features import KernelFeatures
from sobolev.networks.standardized import Standardized
from sobolev.networks.surrogate import Surrogate

_CENTRES, _EVIDENCE_ROWS = 1000, 600
"""So many rows carry a kernel, and so many tell how large its noise is."""
_NOISES = 300
"""Tried, between what rounding hides and all of the variance."""
_NUMBERS = 1 << 23
"""About so many are in memory at a time."""
_ROUNDING = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class SurrogatePosterior:
    """The posterior of a `Surrogate` behind a standardisation.

    Attributes:
        parts: of each family of features, in standardised inputs and outputs.
        noise: standard deviations of the labels' noise, (outputs,).
    """

    parts: list["Terms | Bumps"]
    noise: Float64[Tensor, " outputs"]

    @classmethod
    def fit(cls, model: nn.Module, x: Tensor, y: Float64[Tensor, "rows outputs"]) -> Self | None:
        """That of the surrogate which a model is; None where it is something else.

        Args:
            model: in eval mode and float64.
            x: training rows, (rows, inputs).
            y: their values, finite.
        """
        network = _standardized(model, x)
        features = _features(network)
        if network is None or not features:
            return None
        inputs = (x - network.input_mean) / network.input_scale
        targets = ((y.to(x) - network.output_mean) / network.output_scale).cpu()
        parts = [_part(module, inputs, targets) for module in features]
        noise = torch.stack([part.noise for part in parts]).mean(0).sqrt()
        return cls(parts, noise * network.output_scale.cpu())

    def mean_squares(self, model: nn.Module, x: Tensor, order: int) -> list[Float64[Tensor, "points outputs *inputs"]]:
        """Of the errors of value, gradient and Hessian; those of a mean of two families are taken to go together.

        Args:
            model: the one it was fitted to, in eval mode and float64.
            x: points, (points, inputs).
            order: up to which, at most 2.
        """
        network = _standardized(model, x)
        assert network is not None
        inputs = (x - network.input_mean) / network.input_scale
        pairs = zip(_features(network), self.parts, strict=True)
        found = [_in_pieces(part, features, inputs, order) for features, part in pairs]
        unit, steps = network.output_scale.cpu().square(), network.input_scale.cpu().square()
        i, j = torch.triu_indices(len(steps), len(steps))
        scales = [torch.ones_like(steps[:1]), steps, steps[i] * steps[j]]
        deviations = [torch.stack([v[k].clamp_min(0).sqrt() for v in found]).mean(0) for k in range(order + 1)]
        squares = [d.square() * unit[:, None] / scale for d, scale in zip(deviations, scales, strict=False)]
        return [s[..., 0] if k == 0 else s if k == 1 else _square(s) for k, s in enumerate(squares)]

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return {"parts": [dict(part.__dict__) for part in self.parts], "noise": self.noise}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The posterior whose `state` this is."""
        return cls([(Terms if "directions" in p else Bumps)(**p) for p in state["parts"]], state["noise"])


@dataclass(frozen=True)
class Terms:
    """Weights of one prior variance on features that know their sizes.

    Attributes:
        noise: variances of the labels' noise, (outputs,).
        prior: variances of the weights, (outputs,).
        directions: that the rows tell something of, (features, directions).
        left: variances along them after the rows, (directions, outputs).
    """

    noise: Float64[Tensor, " outputs"]
    prior: Float64[Tensor, " outputs"]
    directions: Float64[Tensor, "features directions"]
    left: Float64[Tensor, "directions outputs"]

    @classmethod
    def fit(cls, features: nn.Module, x: Tensor, y: Float64[Tensor, "rows outputs"]) -> Self:
        """By the evidence, the features given."""
        design, rows = features(x).cpu(), len(y)
        if rows > design.shape[1] + y.shape[1]:
            factor = torch.linalg.qr(torch.cat([design, y], 1), mode="r")[1]
            design, y = factor.split([design.shape[1], y.shape[1]], 1)
        U, S, Vt = torch.linalg.svd(design, full_matrices=False)
        along = U.T @ y
        noise, prior = _most_probable(S.square(), along, (y - U @ along).square().sum(0), rows, _ROUNDING**2)
        return cls(prior * noise, prior, Vt.T, prior * noise / (S.square()[:, None] + noise))

    def variances(self, features: nn.Module, x: Tensor, order: int) -> list[Tensor]:
        """Of the value, the gradient and the upper triangle of the Hessian, (points, outputs, entries)."""
        found = []
        for entries in _towers(features, x, order):
            along = entries @ self.directions
            beyond = (entries - along @ self.directions.T).square().sum(2)
            found.append(torch.einsum("ped,do->poe", along.square(), self.left) + beyond[:, None] * self.prior[:, None])
        return found


@dataclass(frozen=True)
class Bumps:
    """A kernel in learnt coordinates, on top of a linear function of the inputs of which nothing is known before.

    Attributes:
        noise: variances of the labels' noise, (outputs,).
        prior: variances of the kernel's part of the values, (outputs,).
        at: the coordinates of the rows, (rows, coordinates).
        factors: triangular, of the rows' covariance, (outputs, rows, rows).
        trends: the linear functions at the rows, divided by them, (outputs, rows, 1 + inputs).
    """

    noise: Float64[Tensor, " outputs"]
    prior: Float64[Tensor, " outputs"]
    at: Float64[Tensor, "rows coordinates"]
    factors: Float64[Tensor, "outputs rows rows"]
    trends: Float64[Tensor, "outputs rows trends"]

    @classmethod
    def fit(cls, features: KernelFeatures, x: Tensor, y: Float64[Tensor, "rows outputs"]) -> Self:
        """By the evidence, the coordinates given; of many rows each that is kept stands for several."""
        at, trend = features.coordinates(x), _linear(x).cpu()
        noise, prior = _noise(at[:_EVIDENCE_ROWS].cpu(), trend[:_EVIDENCE_ROWS], y[:_EVIDENCE_ROWS])
        share = min(1.0, _CENTRES / len(x))
        covariance = _kernel(at[:_CENTRES], at[:_CENTRES]).cpu()
        factors = torch.stack([_cholesky(covariance, each * share) for each in noise.tolist()])
        trends = solve_triangular(factors, trend[None, :_CENTRES], upper=False)
        return cls(prior * noise, prior, at[:_CENTRES].clone(), factors, trends)

    def variances(self, features: KernelFeatures, x: Tensor, order: int) -> list[Tensor]:
        """Of the value, the gradient and the upper triangle of the Hessian, (points, outputs, entries)."""
        functions = features.coordinates, lambda x: _kernel(features.coordinates(x), self.at), _linear
        coordinates, covariances, linear = (_towers(function, x, order) for function in functions)
        rest = torch.linalg.qr(self.trends, mode="r")[1].mT
        found = []
        for prior, covariance, trend in zip(_priors(coordinates), covariances, linear, strict=True):
            shape = len(self.prior), *prior.shape
            seen = solve_triangular(self.factors, covariance.flatten(0, 1).T[None], upper=False)
            unseen = solve_triangular(rest, trend.flatten(0, 1).T - self.trends.mT @ seen, upper=False)
            known, open_ = (t.square().sum(1).reshape(shape) for t in (seen, unseen))
            left = torch.maximum(prior - known, 8 * _ROUNDING * prior) + open_
            found.append((left * self.prior[:, None, None]).transpose(0, 1))
        return found


def _standardized(model: nn.Module, x: Tensor) -> Standardized | None:
    """The standardised surrogate whose outputs are those of the model."""
    for module in model.modules():
        if isinstance(module, Standardized) and isinstance(module.network, Surrogate) and x.dim() == 2:
            return module if torch.equal(model(x[:8]), module(x[:8])) else None
    return None


def _features(network: Standardized | None) -> list[nn.Module]:
    return [] if network is None else list(network.network.features)  # pyright: ignore[reportArgumentType]


def _part(module: nn.Module, x: Tensor, y: Tensor) -> Terms | Bumps:
    return Bumps.fit(module, x, y) if isinstance(module, KernelFeatures) else Terms.fit(module, x, y)


def _noise(at: Tensor, trend: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Relative noise and prior variance, by the evidence of what no linear function of the inputs explains."""
    Q = torch.linalg.qr(trend)[0]
    covariance = _kernel(at, at)
    covariance = covariance - Q @ (Q.T @ covariance)
    covariance = covariance - (covariance @ Q) @ Q.T
    squares, U = torch.linalg.eigh((covariance + covariance.T) / 2)
    squares, U = squares[Q.shape[1] :].clamp_min(0), U[:, Q.shape[1] :]
    return _most_probable(squares, U.T @ (y - Q @ (Q.T @ y)), torch.zeros_like(y[0]), len(squares), 4 * _ROUNDING)


def _most_probable(
    squares: Float64[Tensor, " directions"],
    along: Float64[Tensor, "directions outputs"],
    rest: Float64[Tensor, " outputs"],
    rows: int,
    least: float,
) -> tuple[Float64[Tensor, " outputs"], Float64[Tensor, " outputs"]]:
    """Relative noise and prior variance of largest evidence, the latter in closed form, for each output."""
    largest = squares.max().clamp_min(1e-300)
    low, high = (float((largest * factor).log10()) for factor in (least / rows, 100.0))
    noises = torch.logspace(low, high, _NOISES, dtype=squares.dtype)
    total = squares + noises[:, None]
    priors = ((along.T.square()[:, None] / total).sum(2) + rest[:, None] / noises) / rows
    volume = total.log().sum(1) + (rows - len(squares)) * noises.log()
    best = (rows * priors.clamp_min(1e-300).log() + volume).argmin(1)
    return noises[best], priors.gather(1, best[:, None])[:, 0]


def _priors(
    coordinates: list[Float64[Tensor, "points entries coordinates"]],
) -> list[Float64[Tensor, "points entries"]]:
    """Variances of exp(-½ |u - u'|²) and its derivatives, u being functions of x."""
    priors = [torch.ones_like(coordinates[0][:, :, 0])]
    if len(coordinates) > 1:
        squares = coordinates[1].square().sum(2)
        priors.append(squares)
    if len(coordinates) > 2:
        i, j = torch.triu_indices(squares.shape[1], squares.shape[1])
        products = (coordinates[1][:, i] * coordinates[1][:, j]).sum(2)
        priors.append(squares[:, i] * squares[:, j] + 2 * products.square() + coordinates[2].square().sum(2))
    return [prior.cpu() for prior in priors]


def _towers(
    function: Callable[[Tensor], Tensor], x: Tensor, order: int
) -> list[Float64[Tensor, "points entries features"]]:
    """Values, slopes and the upper triangles of the Hessians of many functions."""
    found = derivative_tensors(function, x, order)
    i, j = torch.triu_indices(x.shape[1], x.shape[1])
    flat = [found[0][:, :, None], *found[1:2], *(t[:, :, i, j] for t in found[2:])]
    return [t.transpose(1, 2).cpu() for t in flat]


def _in_pieces(part: Terms | Bumps, features: Any, x: Tensor, order: int) -> list[Tensor]:
    size = len(part.directions if isinstance(part, Terms) else part.at) * (1, x.shape[1], x.shape[1] ** 2)[order]
    found = [part.variances(features, piece, order) for piece in x.split(max(1, _NUMBERS // size))]
    return [torch.cat([piece[k] for piece in found]) for k in range(order + 1)]


def _kernel(here: Tensor, there: Tensor) -> Tensor:
    squares = (here * here).sum(1, keepdim=True) + (there * there).sum(1) - 2 * (here @ there.T)
    return torch.exp(-0.5 * squares)


def _linear(x: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(x[:, :1]), x], 1)


def _cholesky(covariance: Tensor, noise: float) -> Tensor:
    """With more noise where rounding asks for it."""
    eye = torch.eye(len(covariance), dtype=covariance.dtype)
    factor, failed = torch.linalg.cholesky_ex(covariance + noise * eye)
    while failed:
        noise = max(4 * noise, _ROUNDING)
        factor, failed = torch.linalg.cholesky_ex(covariance + noise * eye)
    return factor


def _square(entries: Float64[Tensor, "points outputs entries"]) -> Float64[Tensor, "points outputs inputs inputs"]:
    return symmetric(entries.flatten(0, 1)).unflatten(0, entries.shape[:2])
