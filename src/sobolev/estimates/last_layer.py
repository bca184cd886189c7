"""How uncertain the weights of a linear last layer leave the derivatives, its features given.

Value, gradient and Hessian are linear in these weights, so their posterior covariance is exact for given features
(Bishop, 2006, section 3.3). What the features cannot say at all adds to it: that part is about as large as the
residuals of the rows, and as rough as those features that the rows determine last.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from sobolev.autodiff.operators import derivative_tensors
from sobolev.readout.layer import LinearLayer, find_layer

_ROWS, _ROWS_A_FEATURE = 2000, 4
"""So many rows are looked at, more where there are more features: fewer leave most of them open."""
_STRENGTHS = torch.logspace(1, -32, 133, dtype=torch.float64)
"""Of the penalty, relative to the square of the largest singular value."""
_ROUGHEST = 0.1
"""The part of the directions in use that stands for what lies beyond them."""
_ROUNDING = 8 * torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class LastLayer:
    """The posterior of the weights, in the directions of the singular vectors of the features at the rows.

    Attributes:
        name: of the layer.
        scale: see `sobolev.readout.layer.LinearLayer`.
        varying: the same.
        mean: of the features at the rows, (features,).
        directions: from features to coordinates of norm 1 over the rows, (features, directions).
        variances: of each coordinate's weight, for each output, in units of the output, (directions, outputs).
        change: from the layer's weights to the posterior's, bias first, (1 + features, outputs).
    """

    name: str
    scale: Float64[Tensor, " outputs"]
    varying: bool
    mean: Float64[Tensor, " features"]
    directions: Float64[Tensor, "features directions"]
    variances: Float64[Tensor, "directions outputs"]
    change: Float64[Tensor, "unknowns outputs"]

    @classmethod
    def fit(cls, model: nn.Module, x: Tensor, y: Float64[Tensor, "rows outputs"]) -> Self:
        """The posterior whose penalty predicts rows best that are left out (PRESS; Allen, 1974).

        Args:
            model: in eval mode and float64.
            x: rows, (rows, *in).
            y: their values, finite.

        Raises:
            ValueError: the output is not linear in any layer; says why.
        """
        found = find_layer(model, x)
        rows = max(_ROWS, _ROWS_A_FEATURE * found.layer.in_features)
        x, y = x[:rows], y[:rows]
        computed = found.features(model, x).double()
        targets = (y - computed[:, -found.outputs :]) / found.scale
        features = computed[:, 1 : -found.outputs]
        mean, centre = features.mean(0), targets.mean(0)
        size = (features - mean).norm(dim=0)
        size = size.where(size > 0, torch.ones_like(size)) ** 0.25  # as in the readout's ridge
        U, S, Vt = torch.linalg.svd((features - mean) / size, full_matrices=False)
        kept = S / S[0] > _ROUNDING
        U, S, V = U[:, kept], S[kept], Vt[kept].T / size[:, None]
        parts = [_left_out(U, S, column) for column in (targets - centre).T]
        coordinates = torch.stack([part[0] for part in parts], 1)
        variances = torch.stack([part[1] for part in parts], 1) * found.scale.square()
        weights = (V / S) @ coordinates
        weights = torch.cat([(centre - mean @ weights)[None], weights])
        own = found.weights()
        if found.layer.bias is None:
            own = torch.cat([torch.zeros_like(own[:1]), own])
        return cls(found.name, found.scale, found.varying, mean, V / S, variances, weights - own)

    def mean_squares(self, model: nn.Module, x: Tensor, order: int) -> list[Float64[Tensor, "points outputs *inputs"]]:
        """Of the model's errors in the value, the gradient and the Hessian.

        Args:
            model: the one it was fitted to, in eval mode and float64.
            x: points, (points, *in).
            order: up to which.
        """
        layer = model.get_submodule(self.name)
        assert isinstance(layer, nn.Linear)
        found, outputs = LinearLayer(self.name, layer, self.scale, self.varying), len(self.scale)
        tower = derivative_tensors(lambda x: found.features(model, x)[:, :-outputs], x, order)
        return [self._mean_squares(t.double().cpu().reshape(*t.shape[:2], -1)) for t in tower]

    def _mean_squares(self, features: Float64[Tensor, "points unknowns entries"]) -> Tensor:
        bias = torch.einsum("pfe,fo->poe", features, self.change) * self.scale[:, None]
        centred = features[:, 1:] - features[:, :1] * self.mean[:, None]
        along = torch.einsum("pfe,fd->pde", centred, self.directions).square()
        return torch.einsum("pde,do->poe", along, self.variances) + bias.square()

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return dict(self.__dict__)


def _left_out(
    U: Float64[Tensor, "rows directions"], S: Float64[Tensor, " directions"], b: Float64[Tensor, " rows"]
) -> tuple[Float64[Tensor, " directions"], Float64[Tensor, " directions"]]:
    """Coordinates of the penalty that predicts left-out rows best, and the variances of their errors."""
    along = U.T @ b
    best, chosen = torch.inf, None
    for penalty in _STRENGTHS * S[0].square():
        shares = S.square() / (S.square() + penalty)
        residuals = b - U @ (shares * along)
        leverages = (U.square() @ shares + 1 / len(b)).clamp(max=1 - 1e-12)
        score = float((residuals / (1 - leverages)).square().mean())
        if score < best or chosen is None:
            best, chosen = score, (shares, residuals)
    assert chosen is not None
    shares, residuals = chosen
    freedom = shares.sum() + 1
    noise = residuals.square().sum() / (len(b) - freedom).clamp_min(1)
    used = max(1, round(float(freedom)) - 1)
    roughest = max(1, int(_ROUGHEST * used))
    beyond = torch.zeros_like(S)
    beyond[used - roughest : used] = len(b) / roughest
    return shares * along, noise * (shares + beyond)
