"""What rows at few levels of an input cannot tell: polynomials that vanish at every level.

On L levels of an input a polynomial of degree L or more is another one of lower degree (aliasing), whatever the rows,
held-out rows of the same grid included. How large such degrees are, the function's own coefficients say: squared
Chebyshev coefficients of an analytic function fall geometrically (Trefethen, Approximation Theory and Approximation
Practice, 2013, chapter 8), and by which factor is learnt from those that the levels tell, with the prior of the
surrogates' polynomials: one half for each degree, most probably.
"""

import math
from dataclasses import dataclass
from functools import reduce
from itertools import combinations_with_replacement
from operator import mul
from typing import Any, Self

import torch
from jaxtyping import Float64
from numpy.polynomial import chebyshev
from torch import Tensor, nn

from sobolev.estimates.upper_triangles import upper_triangles

_MOST_LEVELS = 12
"""Of an input: more tell degrees that a smooth function does not have, and equidistant ones lose all digits."""
_LEAST_ROWS = 2
"""At a level, on average: inputs whose values do not come again have no levels."""
_POINTS = 24
_BEYOND = 4
"""Degrees beyond those that the levels tell."""
_HALF, _SPREAD = math.log(-math.log(0.5)), 2.5
"""Logarithm of minus the logarithm of the factor, most probable, and how far from it others are tried."""


@dataclass(frozen=True)
class Aliasing:
    """Mean squares of what no row tells, of a network of standardised inputs, by value, slopes, second derivatives.

    Attributes:
        levels: of each input that has few, (levels,); of the others empty.
        tails: expected squares of the next coefficients along each of these inputs, for each order: of the value, the
            slopes and the second derivatives, (degrees, entries, outputs); of the others empty.
        own: mean squares of what the network itself has of such polynomials, for each order, (outputs, entries).
        typical: the mean of `squares` at the same points.
    """

    levels: list[Tensor]
    tails: list[list[Tensor]]
    own: list[Tensor]
    typical: list[Tensor]

    @classmethod
    def fit(cls, network: nn.Module, x: Float64[Tensor, "rows inputs"]) -> Self | None:
        """Of the rows a network was trained on; None where every input has many levels.

        Args:
            network: maps (batch, inputs) to (batch, outputs).
            x: rows.
        """
        levels = [torch.unique(column) for column in x.T.cpu()]
        few = [1 < len(own) <= min(_MOST_LEVELS, len(x) // _LEAST_ROWS) for own in levels]
        if not any(few):
            return None
        levels = [own if chosen else own[:0] for own, chosen in zip(levels, few, strict=True)]
        low, high = x.amin(0).cpu(), x.amax(0).cpu()
        share = torch.rand(_POINTS, x.shape[1], generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        points = (low + share * (high - low)).to(x)
        tails: list[list[Tensor]] = []
        tower = [part.transpose(1, 2) for part in upper_triangles(network, points, 2)]
        own = [torch.zeros_like(part) for part in tower]
        for i, axis in enumerate(levels):
            tails.append([])
            if len(axis):
                coefficients = _along(network, points, i, axis)
                tails[i] = [_tail(part.square().mean(0)) for part in coefficients]
                through = _through(points, i, axis, coefficients)
                own = [total + (part - same).square() for total, part, same in zip(own, tower, through, strict=True)]
        found = cls(levels, tails, [part.mean(0) for part in own], [])
        typical = [part.mean(0) for part in found.squares(points, 2)]
        return cls(levels, tails, found.own, typical)

    def squares(
        self, x: Float64[Tensor, "points inputs"], order: int
    ) -> list[Float64[Tensor, "points outputs entries"]]:
        """Expected squares at points of what vanishes at all rows, by orders."""
        x, outputs = x.cpu(), self.own[0].shape[0]
        found = [x.new_zeros(len(x), outputs, len(entries)) for entries in _entries(x.shape[1], order)]
        for i, (axis, tails) in enumerate(zip(self.levels, self.tails, strict=True)):
            if not len(axis):
                continue
            left = [_interpolation_errors(axis, x[:, i], times).square() for times in range(order + 1)]
            places = [{entry: k for k, entry in enumerate(entries)} for entries in _entries(x.shape[1], order)]
            for total, entries in zip(found, places, strict=True):
                for entry, k in entries.items():
                    others = tuple(j for j in entry if j != i)
                    tail = tails[len(others)][:, places[len(others)][others]]
                    total[:, :, k] += left[len(entry) - len(others)] @ tail
        return found

    def carried(self, x: Float64[Tensor, "points inputs"], order: int) -> list[Float64[Tensor, "points entries"]]:
        """What errors of mean square 1 at the points of a grid, independent of each other, become between them.

        Infinite where an input has many levels, so that there is no grid.
        """
        x = x.cpu()
        grown = []
        for i, axis in enumerate(self.levels):
            if not len(axis):
                grown.append([torch.full_like(x[:, i], torch.inf)] * (order + 1))
                continue
            inverse = torch.linalg.inv(_chebyshev(axis, axis, len(axis), 0))
            parts = (_chebyshev(axis, x[:, i], len(axis), times) @ inverse for times in range(order + 1))
            grown.append([part.square().sum(1) for part in parts])
        return [
            torch.stack([reduce(mul, (own[e.count(i)] for i, own in enumerate(grown))) for e in entries], 1)
            for entries in _entries(x.shape[1], order)
        ]

    def state(self) -> dict[str, Any]:
        """Plain tensors."""
        return dict(self.__dict__)


def _entries(inputs: int, order: int) -> list[list[tuple[int, ...]]]:
    """By which inputs, as `upper_triangles` has them."""
    return [list(combinations_with_replacement(range(inputs), k)) for k in range(order + 1)]


def _along(
    network: nn.Module, points: Tensor, i: int, axis: Tensor
) -> list[Float64[Tensor, "points degrees entries outputs"]]:
    """Chebyshev coefficients along an input, through its levels, all other inputs being those of the points."""
    many = points.repeat_interleave(len(axis), 0)
    many[:, i] = axis.to(points).repeat(len(points))
    inverse = torch.linalg.inv(_chebyshev(axis, axis, len(axis), 0))
    parts = (part.unflatten(0, (len(points), len(axis))) for part in upper_triangles(network, many, 2))
    return [torch.einsum("kl,pleo->pkeo", inverse, part) for part in parts]


def _through(
    points: Tensor, i: int, axis: Tensor, coefficients: list[Tensor]
) -> list[Float64[Tensor, "points outputs entries"]]:
    """The polynomials through the values at the levels of an input, for each order."""
    entries = _entries(points.shape[1], 2)
    at = [_chebyshev(axis, points[:, i].cpu(), len(axis), times) for times in range(3)]
    found = []
    for own in entries:
        columns = []
        for entry in own:
            others = tuple(j for j in entry if j != i)
            known = coefficients[len(others)][:, :, entries[len(others)].index(others)]
            columns.append(torch.einsum("pk,pko->po", at[len(entry) - len(others)], known))
        found.append(torch.stack(columns, 2))
    return found


def _interpolation_errors(axis: Tensor, x: Tensor, times: int) -> Float64[Tensor, "points degrees"]:
    """Derivatives of the Chebyshev polynomials beyond the levels, less those that are the same at every level."""
    count = len(axis)
    inverse = torch.linalg.inv(_chebyshev(axis, axis, count, 0))
    same = inverse @ _chebyshev(axis, axis, count + _BEYOND, 0)[:, count:]
    everywhere = _chebyshev(axis, x, count + _BEYOND, times)
    return everywhere[:, count:] - everywhere[:, :count] @ same


def _chebyshev(axis: Tensor, x: Tensor, count: int, times: int) -> Float64[Tensor, "points degrees"]:
    """The first polynomials on the range of the levels, differentiated."""
    middle, half = (axis[0] + axis[-1]) / 2, (axis[-1] - axis[0]) / 2
    place = ((x - middle) / half).numpy()
    columns = []
    for k in range(count):
        series = [0.0] * k + [1.0]
        columns.append(chebyshev.chebval(place, chebyshev.chebder(series, times) if times else series))
    return torch.stack([torch.from_numpy(column + 0 * place) for column in columns], 1) / half**times


def _tail(squares: Float64[Tensor, "degrees entries outputs"]) -> Float64[Tensor, "beyond entries outputs"]:
    """The next squares of coefficients that are normal, of variance a q^2k, a and q unknown: their geometric mean."""
    known = squares[1:].clamp_min(1e-300)
    degrees = torch.arange(1, len(squares) + _BEYOND, dtype=squares.dtype)
    double = torch.linspace(_HALF - _SPREAD, _HALF + _SPREAD, 41, dtype=squares.dtype)
    falls = -2 * double.exp()[:, None] * degrees  # logarithms of q^2k, (factors, degrees)
    sizes = known.amax(0).log() + torch.linspace(-6.0, 30.0, 145, dtype=squares.dtype)[:, None, None]
    weights = -0.5 * (double - _HALF).square()[:, None, None, None].expand(-1, *sizes.shape).clone()
    for k, square in enumerate(known):
        variance = sizes + falls[:, k, None, None, None]
        weights += -0.5 * (variance + square * (-variance).clamp(max=700.0).exp())
    weights = weights.flatten(0, 1).softmax(0).unflatten(0, (len(double), len(sizes)))
    size, fall = (weights * sizes).sum((0, 1)), torch.einsum("qaeo,qk->keo", weights, falls[:, len(known) :])
    return (size + fall).exp()
