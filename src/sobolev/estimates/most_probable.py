"""Noise and size of a Bayesian linear layer by its evidence, where its directions are independent."""

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

_NOISES = 300
"""Tried, between what rounding hides and all of the variance."""


class MostProbable(NamedTuple):
    """For each output, (outputs,).

    Attributes:
        noise: variance of the noise, in units of the prior one.
        prior: variance.
        evidence: the logarithm of it, but for a constant.
    """

    noise: Float64[Tensor, " outputs"]
    prior: Float64[Tensor, " outputs"]
    evidence: Float64[Tensor, " outputs"]


def most_probable(
    squares: Float64[Tensor, " directions"],
    along: Float64[Tensor, "directions outputs"],
    rest: Float64[Tensor, " outputs"],
    rows: int,
    least: float,
) -> MostProbable:
    """The noise of largest evidence, and the prior variance in closed form (Rasmussen & Williams, 2006, chapter 5).

    Args:
        squares: prior variances along each direction, those of the weights being 1.
        along: the targets' components.
        rest: squares of the targets that no direction reaches.
        rows: of the targets.
        least: noise, in units of the largest square times the rows, that rounding hides.
    """
    largest = squares.max().clamp_min(1e-300)
    low, high = (float((largest * factor).log10()) for factor in (least / rows, 100.0))
    noises = torch.logspace(low, high, _NOISES, dtype=squares.dtype)
    total = squares + noises[:, None]
    priors = ((along.T.square()[:, None] / total).sum(2) + rest[:, None] / noises) / rows
    volume = total.log().sum(1) + (rows - len(squares)) * noises.log()
    cost = 0.5 * (rows * priors.clamp_min(1e-300).log() + volume)
    least_cost, best = cost.min(1)
    return MostProbable(noises[best], priors.gather(1, best[:, None])[:, 0], -least_cost)
