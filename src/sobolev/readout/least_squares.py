"""Linear least squares in float64, over any number of rows, along a path of ridge strengths.

Rows are reduced to a triangular factor R by blocks (tall-skinny QR: Demmel, Grigori, Hoemmen & Langou, 2012), so
memory does not grow with their number, and factors of several processes are stacked and reduced once more. One
singular value decomposition of R then gives the solution of every ridge strength, and the evidence (MacKay, 1992) that
chooses among them. The normal equations are never formed: they square the condition number.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

_BLOCK = 4096
"""Rows reduced at a time; enough that the QR of each block runs at full speed."""
_ROUNDING = 8 * torch.finfo(torch.float64).eps
"""A singular value below this part of the largest one is noise of the QR decomposition."""
_POWER = 0.25
"""Of a column's norm, in its penalty. With 1, a feature that is small everywhere gets a large weight, and what float32
loses in the other layers is multiplied by it; with 0, the same features count for less than float64 can hold. In
between, square.yaml loses 5e-7 in float32 and 2e-11 of the second derivative in float64."""


def triangular_factor(
    rows: Float[Tensor, "rows columns"], factor: Float64[Tensor, "columns columns"] | None = None
) -> Float64[Tensor, "columns columns"]:
    """R of the QR decomposition of all rows, those that went into `factor` included: RᵀR is their Gram matrix.

    Args:
        rows: any number of them, zero too; computed in float64.
        factor: of the rows before these.
    """
    columns = rows.shape[1]
    factor = rows.new_zeros(columns, columns, dtype=torch.float64) if factor is None else factor
    for block in rows.double().split(_BLOCK):
        factor = merged([factor, block])
    return factor


def merged(factors: list[Float64[Tensor, "_ columns"]]) -> Float64[Tensor, "columns columns"]:
    """The triangular factor of all rows that went into these."""
    stacked = torch.cat(factors)
    missing = stacked.shape[1] - len(stacked)
    if missing > 0:
        stacked = torch.cat([stacked, stacked.new_zeros(missing, stacked.shape[1])])
    return torch.linalg.qr(stacked, mode="r").R


@dataclass(frozen=True)
class RidgePath:
    """The solutions of min ‖A w - b‖² + s² σ² ‖D w‖² for every strength s, several right-hand sides b at once.

    D are the fourth roots of the norms of A's columns, and σ is the largest singular value of A D⁻¹. Strength 0 is
    plain least squares of least ‖D w‖, with directions below rounding left out.

    Args:
        factor: triangular factor of the rows [A | b].
        rows: how many rows went into it.
        unknowns: columns of A.
        free: so many leading columns of A are not penalised (the bias).
    """

    factor: Float64[Tensor, "columns columns"]
    rows: int
    unknowns: int
    free: int = 0

    @cached_property
    def _scale(self) -> Tensor:
        """D; 1 for a column of zeros."""
        norms = self.factor[:, : self.unknowns].norm(dim=0)
        return norms.where(norms > 0, torch.ones_like(norms)) ** _POWER

    @cached_property
    def _svd(self) -> tuple[Tensor, Tensor, Tensor]:
        """U, σ, Vᵀ of the penalised columns, with the free ones projected out: R is triangular, so below them."""
        part = self.factor[self.free : self.unknowns, self.free : self.unknowns] / self._scale[self.free :]
        return torch.linalg.svd(part)

    @cached_property
    def _coordinates(self) -> Tensor:
        """The right-hand sides in the basis of U, (penalised, sides)."""
        return self._svd[0].T @ self.factor[self.free : self.unknowns, self.unknowns :]

    @cached_property
    def singular_values(self) -> Float64[Tensor, " penalised"]:
        """Of A D⁻¹ without its free columns, in falling order."""
        return self._svd[1]

    @cached_property
    def rank(self) -> int:
        """How many singular values rise above rounding."""
        values = self.singular_values
        return int((values > values[:1] * _ROUNDING).sum())

    @property
    def condition(self) -> float:
        """The largest singular value by the smallest above rounding."""
        return float(self.singular_values[0] / self.singular_values[self.rank - 1]) if self.rank else 1.0

    @cached_property
    def _outside(self) -> Tensor:
        """‖b‖² that no w reaches, (sides,)."""
        return self.factor[self.unknowns :, self.unknowns :].square().sum(0)

    def shares(self, strengths: Float64[Tensor, " strengths"]) -> Float64[Tensor, "strengths penalised"]:
        """Of each singular direction, what a strength leaves of its plain solution."""
        squares = self.singular_values.square()
        shares = squares / (squares + (strengths[:, None] * self.singular_values[:1]).square())
        shares[:, self.rank :] = 0.0
        return shares

    def directions(self) -> Float64[Tensor, "unknowns penalised"]:
        """From features to their part along each singular direction, of norm 1 over the rows; 0 below rounding."""
        _, values, Vt = self._svd
        inverse = torch.zeros_like(values)
        inverse[: self.rank] = 1 / values[: self.rank]
        along = Vt.T * inverse / self._scale[self.free :, None]
        R = self.factor[: self.free]
        return torch.cat([-torch.linalg.pinv(R[:, : self.free]) @ R[:, self.free : self.unknowns] @ along, along])

    def weights(self, strengths: Float64[Tensor, " strengths"]) -> Float64[Tensor, "strengths unknowns sides"]:
        """The solution of each strength."""
        _, values, Vt = self._svd
        along = self._coordinates / values.where(values > 0, torch.ones_like(values))[:, None]
        penalised = Vt.T @ (self.shares(strengths)[:, :, None] * along)
        penalised = penalised / self._scale[self.free :, None]
        R, b = self.factor[: self.free], self.factor[: self.free, self.unknowns :]
        rest = b - R[:, self.free : self.unknowns] @ penalised
        return torch.cat([self._free_weights(rest), penalised], dim=1)

    def _free_weights(self, rest: Tensor) -> Tensor:
        """The unpenalised unknowns; one that no row determines is 0."""
        R = self.factor[: self.free, : self.free]
        return torch.linalg.pinv(R) @ rest

    def degrees_of_freedom(self, strengths: Float64[Tensor, " strengths"]) -> Float64[Tensor, " strengths"]:
        """The trace of the matrix that maps b to A w: so many parameters the data determine."""
        return self.shares(strengths).sum(1) + self.free

    def evidence(self, strengths: Float64[Tensor, " strengths"]) -> Float64[Tensor, "strengths sides"]:
        """Minus twice the logarithm of the restricted marginal likelihood, but for a constant; strengths above 0.

        Noise of unknown size on b and a normal prior on D w, whose ratio of variances is the strength.
        """
        penalties = (strengths[:, None] * self.singular_values[:1]).square()
        shares = self.shares(strengths)
        explained = ((1 - shares)[:, :, None] * self._coordinates.square()).sum(1) + self._outside
        volume = torch.log1p(self.singular_values[: self.rank].square() / penalties).sum(1)
        tiny = torch.finfo(explained.dtype).tiny
        return (self.rows - self.free) * explained.clamp_min(tiny).log() + volume[:, None]
