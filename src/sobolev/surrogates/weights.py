"""The linear layer on features that know the sizes of their weights."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.surrogates.family import Fit
from sobolev.surrogates.labels import Entries, Labels
from sobolev.surrogates.marginal import solve


def least_squares(
    features: Float64[Tensor, "*batch rows features"], targets: Float64[Tensor, "*batch rows outputs"]
) -> Float64[Tensor, "*batch features outputs"]:
    """The weights that leave least, of all such the smallest.

    Not by LAPACK's `gelsy`, which PyTorch takes where nothing is said: up to 2.13 it begins from memory that nobody has
    cleared, and what it answers differs from call to call (pytorch issues 71222 and 187411).
    """
    driver = "gelsd" if features.device.type == "cpu" else "gels"  # all there is elsewhere
    return torch.linalg.lstsq(features, targets, driver=driver).solution


@torch.no_grad()
def solve_weights(
    name: str,
    features: Callable[[Tensor], Any],
    sizes: Float64[Tensor, " features"],
    log_noise: Float64[Tensor, " orders"],
    labels: Labels,
    evidence: float,
) -> Fit:
    """The most probable weights of all outputs.

    Args:
        name: of the family.
        features: makes those of these sizes.
        sizes: prior deviations of the weights, up to a factor.
        log_noise: logarithms of the noise of values, gradients and Hessians, relative to the prior.
        labels: all that is known.
        evidence: its logarithm.
    """
    x, outputs = labels.x, labels.tensors[0].shape[1]
    weights, noise = x.new_zeros(len(sizes), outputs), x.new_zeros(len(log_noise), outputs)
    for part in labels.entries():
        weights[:, list(part.outputs)], noise[:, list(part.outputs)] = _solution(features(sizes), part, log_noise.exp())
    largest = sizes.max()  # of order one where they enter the layer
    bias, slopes = x.new_zeros(outputs), x.new_zeros(x.shape[1], outputs)
    return Fit(name, features(sizes / largest), bias, slopes, largest * weights, noise, evidence)


def _solution(features: Any, part: Entries, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Weights, (features, outputs), and the noise, (orders, outputs)."""
    scale = (noise[0] / noise)[part.order][:, None]
    design, targets = scale * features.derivatives(part.x, part.by), scale * part.targets
    weights = solve(design, targets, float(noise[0])).weights
    squares = (targets - design @ weights).square().sum(0) / noise[0] ** 2 + weights.square().sum(0)
    return weights, noise[:, None] * (squares / len(targets)).sqrt()
