"""Length scales, amplitude and noise of a Gaussian process, by its evidence (Rasmussen & Williams, 2006, ch. 5)."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

_ITERATIONS = 60
_FEW_INPUTS = 3
_RIDGE = 0.01
"""Weak pull of the logarithms of the length scales to 0, so that an input without effect does not run away."""
_LENGTHS, _NOISES = (-5.0, 6.0), (-16.0, 2.0)
_AMPLITUDES = (-30.0, 30.0)
"""Logarithms of the smallest and largest ones, in standard deviations of inputs and outputs."""
_ROUGHLY = {"least_slope": 0.1, "least_change": 1e-3}
"""How exactly the maximum of many rows is looked for: a tenth of what tells one model from another."""
_LITTLE, _MUCH = 0.05, 0.5
"""Standard deviations of noise to begin with, in those of the outputs."""
JITTER = 1e-10
"""Of the amplitude's square, added to the noise's: what float64 can tell apart."""


def squared_distances(a: Float64[Tensor, "rows inputs"], b: Float64[Tensor, "points inputs"]) -> Tensor:
    """Between all rows of one and all of the other, (rows, points)."""
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp_min(0)


def kernel(
    a: Float64[Tensor, "rows inputs"], b: Float64[Tensor, "points inputs"], lengths: Tensor, amplitude: float
) -> Float64[Tensor, "rows points"]:
    """Covariance of the values, squared exponential: amplitude² exp(-½ Σ (a - b)² / lengths²)."""
    return amplitude**2 * torch.exp(-0.5 * squared_distances(a / lengths, b / lengths))


def hyperparameters(
    x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, " rows"]
) -> tuple[Float64[Tensor, " inputs"], float, float]:
    """Length scale of each input, amplitude and standard deviation of the noise, of largest evidence.

    Args:
        x: standardised inputs.
        y: standardised values.
    """
    few = 80 if x.shape[1] <= _FEW_INPUTS else 150  # most of the way on few rows takes a part of the time
    exactly = {} if len(x) <= few else _ROUGHLY  # where the other rows have yet to be heard
    found = [_maximum(x[:few], y[:few], start, **exactly) for start in _starts(x, _LITTLE)]
    least, best = min(found, key=lambda pair: pair[0])
    much = least > (0.5 + math.log(_MUCH)) * len(x[:few])  # what such noise alone would have
    if much and x.shape[1] <= _FEW_INPUTS:  # few rows do not tell it from oscillations
        found = [_maximum(x, y, start, **_ROUGHLY) for start in [best, *_starts(x, _MUCH)]]
        best = min(found, key=lambda pair: pair[0])[1]
    elif len(x) > few:
        best = _maximum(x, y, best, **_ROUGHLY)[1]
    lengths, amplitude, noise = _bounded(best)
    return lengths, float(amplitude), math.hypot(float(noise), JITTER**0.5 * float(amplitude))


def _starts(x: Tensor, noise: float) -> list[Tensor]:
    """Where to begin: the evidence of few inputs has several maxima, for different lengths."""
    inputs = x.shape[1]
    lengths = (1.0, 0.3, 0.05) if inputs == 1 else (1.0, 0.3) if inputs <= _FEW_INPUTS else (0.75 * inputs**0.5,)
    return [x.new_tensor([math.log(length)] * inputs + [0.0, math.log(noise)]) for length in lengths]


def _bounded(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return theta[:-2].clamp(*_LENGTHS).exp(), theta[-2].clamp(*_AMPLITUDES).exp(), theta[-1].clamp(*_NOISES).exp()


def _maximum(
    x: Tensor, y: Tensor, start: Tensor, least_slope: float = 1e-3, least_change: float = 1e-6
) -> tuple[float, Tensor]:
    """Minus the logarithm of the evidence at its maximum, and where that is, as exactly as is asked for."""
    theta = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [theta], max_iter=_ITERATIONS, line_search_fn="strong_wolfe",
        tolerance_grad=least_slope, tolerance_change=least_change,
    )  # fmt: skip

    def closure() -> float:
        loss, theta.grad = _minus_log_evidence(theta.detach(), x, y)
        return loss

    optimizer.step(closure)
    return _minus_log_evidence(theta.detach(), x, y)[0], theta.detach()


def _minus_log_evidence(theta: Tensor, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """The value and its gradient; the kernel's derivatives by the lengths need no array beyond (rows, rows)."""
    lengths, amplitude, noise = _bounded(theta)
    K = kernel(x, x, lengths, float(amplitude))
    nugget = noise.square() + JITTER * amplitude.square()
    L, failed = torch.linalg.cholesky_ex(K + nugget * torch.eye(len(x), dtype=x.dtype))
    if failed:
        return 1e10, torch.zeros_like(theta)
    inverse = torch.cholesky_inverse(L)
    alpha = inverse @ y
    value = 0.5 * y @ alpha + L.diagonal().log().sum() + 0.5 * _RIDGE * theta[:-2].square().sum()
    outer = 0.5 * (inverse - alpha[:, None] * alpha)
    weighted = outer * K
    scaled = x / lengths
    by_lengths = 2 * ((scaled.square() * weighted.sum(1)[:, None]).sum(0) - (scaled * (weighted @ scaled)).sum(0))
    trace = outer.diagonal().sum()
    by_amplitude = 2 * (weighted.sum() + JITTER * amplitude.square() * trace)
    by_noise = 2 * noise.square() * trace
    gradient = torch.cat([by_lengths + _RIDGE * theta[:-2], by_amplitude[None], by_noise[None]])
    return float(value), gradient
