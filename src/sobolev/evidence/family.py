"""What every family of features answers."""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float64
from torch import Tensor, nn


@dataclass(frozen=True)
class Fit:
    """A solved network: features, and the linear layer on the inputs and on them.

    Attributes:
        name: of the family.
        features: maps (batch, inputs) to (batch, features).
        bias: (outputs,).
        slopes: of the inputs themselves, (inputs, outputs).
        weights: (features, outputs).
        noise: standard deviation of the noise, in units of the targets, (outputs,).
        evidence: the logarithm of the evidence, but for a constant.
    """

    name: str
    features: nn.Module
    bias: Float64[Tensor, " outputs"]
    slopes: Float64[Tensor, "inputs outputs"]
    weights: Float64[Tensor, "features outputs"]
    noise: Float64[Tensor, " outputs"]
    evidence: float

    @torch.no_grad()
    def __call__(self, x: Float64[Tensor, "batch inputs"]) -> Float64[Tensor, "batch outputs"]:
        """What it predicts."""
        return self.bias + x @ self.slopes + self.features(x) @ self.weights


class Family(Protocol):
    """Features with a few numbers that the evidence chooses."""

    name: str

    def learn(self, x: Tensor, y: Tensor) -> None:
        """Choose the numbers by the evidence of (rows, inputs), (rows, outputs); a second call goes on."""
        ...

    def fit(self, x: Tensor, y: Tensor) -> Fit:
        """Solve for the weights, with the numbers as they are."""
        ...
