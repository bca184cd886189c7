"""Gaussian bumps, and their derivatives, in coordinates that were learnt."""

import warnings
from itertools import combinations
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


class Places(NamedTuple):
    """Points, and derivatives at them, of one order.

    Attributes:
        points: coordinates, (places, coordinates).
        slopes: derivative of the coordinates by each input in turn, `order` tensors (places, coordinates).
        bends: their mixed second derivative, where the order is 2.
    """

    points: Tensor
    slopes: tuple[Tensor, ...]
    bends: Tensor

    def derivative(self, which: tuple[int, ...]) -> Tensor:
        """Of the coordinates, by the one input or by both."""
        return self.slopes[which[0]] if len(which) == 1 else self.bends


class KernelFeatures(nn.Module):
    """Gaussian bumps around centres, in coordinates that were learnt: (batch, inputs) to (batch, centres).

    The coordinates are the inputs, each with a scale of its own, and some tanh units: a deep kernel (Wilson et al.,
    2016). Without units it is the squared exponential kernel of a Gaussian process with a length scale for each input.
    A feature may be the derivative of a bump by its centre: what a label of a derivative adds to a Gaussian process
    (Solak et al., Derivative observations in Gaussian process models of dynamic systems, 2003).

    Args:
        centres: in the inputs' units, (centres, inputs), values first, then derivatives in the order of their order.
        scales: the inverse length of each input, (inputs,).
        units: how many tanh units.
        by: the inputs that each bump is differentiated by, (centres, 2); -1: none. None: values alone.
    """

    centres: Tensor
    by: Tensor

    def __init__(self, centres: Tensor, scales: Tensor, units: int = 8, by: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("centres", centres)
        # as numbers: where a forward is recorded for a file, no tensor can be looked at
        self.orders: list[int] = []
        if by is not None and bool((by >= 0).any()):
            self.register_buffer("by", by)
            self.orders = (by >= 0).sum(1).bincount().tolist()
        self.scales = nn.Parameter(scales)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no units are none to initialise
            self.units = nn.Linear(centres.shape[1], units)
        self.strengths = nn.Parameter(torch.ones(units))

    @property
    def width(self) -> int:
        """How many bumps."""
        return len(self.centres)

    @torch.no_grad()
    def first(self, most: int) -> "KernelFeatures":
        """So many bumps at most, values before derivatives, with coordinates of their own."""
        by = self._buffers.get("by")
        scales, units = self.scales.detach().clone(), len(self.strengths)
        made = KernelFeatures(self.centres[:most], scales, units, None if by is None else by[:most]).to(scales)
        made.units.load_state_dict(self.units.state_dict())
        made.strengths.copy_(self.strengths)
        return made

    def coordinates(self, x: Tensor) -> Tensor:
        """Where the kernel measures distances, (batch, inputs + units)."""
        scaled = x * self.scales
        if not len(self.strengths):
            return scaled  # onnxruntime refuses the shapes that derivatives of tensors without columns have
        return torch.cat([scaled, torch.tanh(self.units(x)) * self.strengths], 1)

    def forward(self, x: Tensor) -> Tensor:
        """exp(-r² / 2), r² as one product, which is smooth at the centres; and derivatives of it by the centres."""
        here = Places(self.coordinates(x), (), x)
        bumps = [_covariance(here, there) for there in self._centre_places()]
        return bumps[0] if len(bumps) == 1 else torch.cat(bumps, 1)

    def derivatives(
        self, x: Float[Tensor, "rows inputs"], by: Int64[Tensor, "rows 2"]
    ) -> Float[Tensor, "rows centres"]:
        """At each row by inputs of its own, at most two; -1: none. Rows come in the order of their order."""
        there = self._centre_places()
        return torch.cat([torch.cat([_covariance(a, b) for b in there], 1) for a in self._places(x, by)])

    def summary(self) -> dict[str, Any]:
        """How many centres and units, and the length of each input in the input's unit."""
        lengths = self.scales.detach().reciprocal().tolist()
        return {"centres": self.width, "units": len(self.strengths), "lengths": lengths}

    def _centre_places(self) -> list[Places]:
        if not self.orders:
            return [Places(self.coordinates(self.centres), (), self.centres)]
        parts = zip(self.centres.split(self.orders), self.by.split(self.orders), strict=True)
        own = self.scales, self.units, self.strengths
        return [_places_of_order(x, by[:, :k], *own) for k, (x, by) in enumerate(parts) if self.orders[k]]

    def _places(self, x: Tensor, by: Tensor) -> list[Places]:
        return places(x, by, self.scales, self.units, self.strengths)


def places(x: Tensor, by: Tensor, scales: Tensor, units: nn.Linear, strengths: Tensor) -> list[Places]:
    """The coordinates of rows in the order of their order, with the derivatives that each asks for."""
    order = (by >= 0).sum(1)
    found = []
    for k in order.unique().tolist():
        rows = order == k
        found.append(_places_of_order(x[rows], by[rows, :k], scales, units, strengths))
    return found


def linear_features(x: Float[Tensor, "rows inputs"], by: Int64[Tensor, "rows 2"]) -> Float[Tensor, "rows columns"]:
    """1 and the inputs at rows, differentiated by the inputs each asks for; -1: none. 1 + inputs columns."""
    first, second = by[:, :1], by[:, 1:]
    units = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[first[:, 0].clamp_min(0)]
    lines = torch.where(first < 0, x, torch.where(second < 0, units, 0.0))
    return torch.cat([(first < 0).to(lines), lines], 1)


def _places_of_order(x: Tensor, by: Tensor, scales: Tensor, units: nn.Linear, strengths: Tensor) -> Places:
    values = torch.tanh(units(x))
    points = torch.cat([x * scales, values * strengths], 1)
    rates = [units.weight.T[j] for j in by.T]
    bends = slope = strengths * (1 - values * values)
    slopes = tuple(
        torch.cat([torch.eye(len(scales), dtype=x.dtype, device=x.device)[j] * scales, slope * rate], 1)
        for j, rate in zip(by.T, rates, strict=True)
    )
    if len(rates) == 2:
        bends = torch.cat([torch.zeros_like(x), -2 * values * slope * rates[0] * rates[1]], 1)
    return Places(points, slopes, bends)


def covariance(places: list[Places]) -> Float[Tensor, "places places"]:
    """Of all places with all, by the derivatives of the bump."""
    blocks = [[_covariance(a, b) if i <= j else None for j, b in enumerate(places)] for i, a in enumerate(places)]
    rows = [[blocks[i][j] if i <= j else blocks[j][i].T for j in range(len(places))] for i in range(len(places))]  # pyright: ignore[reportOptionalMemberAccess]
    return torch.cat([torch.cat(row, 1) for row in rows])  # pyright: ignore[reportArgumentType, reportCallIssue]


def _covariance(here: Places, there: Places) -> Tensor:
    """exp(e), e = -r² / 2, differentiated by the inputs of both sides: e's derivatives over all partitions of them."""
    middle = there.points.detach().mean(0)  # distances are measured from here: from afar they lose digits
    here, there = (side._replace(points=side.points - middle) for side in (here, there))
    bumps = torch.exp(_with_squares(here.points, 0) @ _with_squares(there.points, 1).T)
    sides = [(0, i) for i in range(len(here.slopes))] + [(1, i) for i in range(len(there.slopes))]
    return bumps if not sides else bumps * _sum_over_partitions(here, there, sides)


def _with_squares(points: Tensor, column: int) -> Tensor:
    """Columns whose products with those of others, which have the square in the other place, are -|z - z'|² / 2."""
    half = -0.5 * (points * points).sum(1, keepdim=True)
    pair = [torch.ones_like(half), torch.ones_like(half)]
    pair[column] = half
    return torch.cat([points, *pair], 1)


def _sum_over_partitions(here: Places, there: Places, sides: list[tuple[int, int]]) -> Tensor | float:
    """Σ over the partitions of a set of the products of e's derivatives by each part (Faà di Bruno)."""
    if not sides:
        return 1.0
    first, rest = sides[0], sides[1:]
    total: Tensor | float = 0.0
    for size in range(len(rest) + 1):
        for others in combinations(rest, size):
            left = [side for side in rest if side not in others]
            total = total + _exponent(here, there, [first, *others]) * _sum_over_partitions(here, there, left)
    return total


def _exponent(here: Places, there: Places, part: list[tuple[int, int]]) -> Tensor:
    """The derivative of e = -|z - z'|² / 2 by these inputs, (places, places)."""
    left, right = (tuple(i for side, i in part if side == s) for s in (0, 1))
    if left and right:
        return here.derivative(left) @ there.derivative(right).T
    if left:
        return _one_sided(here, there, left)
    return _one_sided(there, here, right).T


def _one_sided(own: Places, other: Places, which: tuple[int, ...]) -> Tensor:
    """-(z - z')·∂z - ∂z·∂z, the latter for two inputs only."""
    change = own.derivative(which)
    constant = (own.points * change).sum(1, keepdim=True)
    if len(which) == 2:
        constant = constant + (own.slopes[0] * own.slopes[1]).sum(1, keepdim=True)
    return change @ other.points.T - constant
