"""What rows leave open of weights on features that know their sizes."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.estimates.label_rows import LabelRows
from sobolev.estimates.local_levels import LeftOut
from sobolev.estimates.most_probable import most_probable
from sobolev.estimates.upper_triangles import of_features

_ROUNDING = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class WeightsPosterior:
    """Weights of one prior variance on features that know their sizes (Rasmussen & Williams, 2006, chapter 2).

    Attributes:
        noise: variances of the labels' noise, (outputs,).
        prior: variances of the weights, (outputs,).
        weights: the most probable ones, (features, outputs).
        directions: that the rows tell something of, (features, directions).
        left: variances along them after the rows, (directions, outputs).
    """

    noise: Float64[Tensor, " outputs"]
    prior: Float64[Tensor, " outputs"]
    weights: Float64[Tensor, "features outputs"]
    directions: Float64[Tensor, "features directions"]
    left: Float64[Tensor, "directions outputs"]

    @classmethod
    def fit(cls, features: Any, labels: LabelRows) -> Self:
        """By the evidence, the features given."""
        design, y = (labels.weights[:, None] * t for t in (features.derivatives(labels.x, labels.by).cpu(), labels.y))
        rows = len(y)
        if rows > design.shape[1] + y.shape[1]:
            factor = torch.linalg.qr(torch.cat([design, y], 1), mode="r")[1]
            design, y = factor.split([design.shape[1], y.shape[1]], 1)
        U, S, Vt = torch.linalg.svd(design, full_matrices=False)
        along = U.T @ y
        rest = (y - U @ along).square().sum(0)
        noise, prior, _ = most_probable(S.square(), along, rest, rows, _ROUNDING**2)
        if rows > 2 * len(S):  # then these tell it, however small beside large weights on small features
            noise = torch.minimum(noise, rest / (rows - len(S)) / prior)
        total = S.square()[:, None] + noise
        weights, left = Vt.T @ (S[:, None] / total * along), prior * noise / total
        return cls(prior * noise, prior, weights, Vt.T, left)

    def left_out(self, features: Any, labels: LabelRows) -> LeftOut:
        """What rows, all of them values, are missed by if they are left out (Rasmussen & Williams, 2006, eq. 5.12)."""
        design, y = features.derivatives(labels.x, labels.by).cpu(), labels.y
        Q, R = torch.linalg.qr(design)
        U, S, _ = torch.linalg.svd(R, full_matrices=False)
        U, found = Q @ U, []
        for o, noise in enumerate((self.noise / self.prior).tolist()):
            inside = 1 / (S.square() + noise)
            precision, alpha = U.square() @ inside, U @ (inside * (U.T @ y[:, o]))
            if len(y) > len(S):
                precision = precision + (1 - U.square().sum(1)).clamp_min(0) / noise
                alpha = alpha + (y[:, o] - U @ (U.T @ y[:, o])) / noise
            found.append(((alpha / precision).square(), self.prior[o] * (1 / precision - noise).clamp_min(0)))
        squares, variances = (torch.stack(column, 1) for column in zip(*found, strict=True))
        return LeftOut(squares, variances)

    def squares(
        self, features: Any, x: Float64[Tensor, "points inputs"], order: int, given: list[Tensor] | None
    ) -> list[Float64[Tensor, "points outputs entries"]]:
        """Of the errors in the value, the gradient and the upper triangle of the Hessian.

        Args:
            features: those it was fitted to.
            x: points.
            order: up to which.
            given: what is judged, (points, outputs, entries) for each order; None: the mean of this posterior.
        """
        found = []
        for k, entries in enumerate(of_features(features, x, order)):
            along = entries @ self.directions
            left = torch.einsum("ped,do->poe", along.square(), self.left)
            if self.directions.shape[1] < len(self.directions):
                beyond = (entries - along @ self.directions.T).square().sum(2)
                left = left + beyond[:, None] * self.prior[:, None]
            away = 0.0 if given is None else (entries @ self.weights).transpose(1, 2) - given[k]
            found.append(left + away**2)
        return found
