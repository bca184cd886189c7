"""What every family of features answers."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.surrogates.labels import Entries, Labels


@dataclass(frozen=True)
class Fit:
    """A solved network: features, and the linear layer on the inputs and on them.

    Attributes:
        name: of the family.
        features: maps (batch, inputs) to (batch, features), with `derivatives(x, by)`.
        bias: (outputs,).
        slopes: of the inputs themselves, (inputs, outputs).
        weights: (features, outputs).
        noise: standard deviation of the noise of values, gradients and Hessians, in units of each, (orders, outputs).
        evidence: the logarithm of the evidence, but for a constant.
    """

    name: str
    features: Any
    bias: Float64[Tensor, " outputs"]
    slopes: Float64[Tensor, "inputs outputs"]
    weights: Float64[Tensor, "features outputs"]
    noise: Float64[Tensor, "orders outputs"]
    evidence: float

    @torch.no_grad()
    def __call__(self, x: Float64[Tensor, "batch inputs"]) -> Float64[Tensor, "batch outputs"]:
        """What it predicts."""
        return self.bias + x @ self.slopes + self.features(x) @ self.weights

    @torch.no_grad()
    def at(self, entries: Entries) -> Float64[Tensor, "entries outputs"]:
        """What it predicts for labels, derivatives among them, of their outputs."""
        outputs, first, second = list(entries.outputs), *entries.by.T
        values = self.features.derivatives(entries.x, entries.by) @ self.weights[:, outputs]
        constants = self.bias[outputs] + entries.x @ self.slopes[:, outputs]
        slopes = torch.where((second < 0)[:, None], self.slopes[first.clamp_min(0)][:, outputs], 0.0)
        return values + torch.where((first < 0)[:, None], constants, slopes)


class Family(Protocol):
    """Features with a few numbers that the evidence chooses.

    Attributes:
        kind: families of one kind are two searches for the same.
        name: tells them apart.
    """

    kind: str
    name: str

    def learn(self, labels: Labels) -> None:
        """Choose the numbers by the evidence, from rows in a random order; a second call goes on."""
        ...

    def evidence(self, labels: Labels) -> float:
        """Logarithm of the evidence of labels, with the numbers as they are, but for a constant common to families."""
        ...

    def cost(self, labels: Labels) -> float:
        """What the evidence of labels that numbers were chosen by overstates theirs by, see `cost_of_choice`."""
        ...

    def fit(self, labels: Labels) -> Fit:
        """Solve for the weights, with the numbers as they are."""
        ...
