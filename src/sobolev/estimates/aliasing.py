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

_MOST_LEVELS = 24
"""Of an input: more tell degrees that a smooth function does not have, and equidistant ones lose all digits."""
_ROUNDING = 8 * torch.finfo(torch.float64).eps
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
        answered: by how much a network goes through what each of these degrees adds to the rows, from 0 to 1,
            (degrees, outputs); of the others empty.
    """

    levels: list[Tensor]
    tails: list[list[Tensor]]
    answered: list[Tensor]

    @classmethod
    def fit(
        cls, network: nn.Module, x: Float64[Tensor, "rows inputs"], noise: Float64[Tensor, " outputs"]
    ) -> Self | None:
        """Of the rows a network was trained on; None where every input has many levels.

        Args:
            network: maps (batch, inputs) to (batch, outputs).
            x: rows.
            noise: variances of the noise of their labels.
        """
        levels = [torch.unique(column) for column in x.T.cpu()]
        few = [1 < len(own) <= min(_MOST_LEVELS, len(x) // _LEAST_ROWS) for own in levels]
        if not any(few):
            return None
        levels = [own if chosen else own[:0] for own, chosen in zip(levels, few, strict=True)]
        low, high = x.amin(0).cpu(), x.amax(0).cpu()
        share = torch.rand(_POINTS, x.shape[1], generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        points = (low + share * (high - low)).to(x)
        tails: list[list[Tensor]] = [[] for _ in levels]
        answered = [noise.new_zeros(0, len(noise)) for _ in levels]
        for i, axis in enumerate(levels):
            if len(axis):
                tails[i] = [_tail(*squares) for squares in _along(network, points, i, axis)]
                answered[i] = _answered(axis, tails[i][0][:, 0], noise)
        return cls(levels, tails, answered)

    def squares(
        self, x: Float64[Tensor, "points inputs"], order: int
    ) -> list[Float64[Tensor, "points outputs entries"]]:
        """Expected squares at points of what vanishes at all rows, by orders."""
        x, outputs = x.cpu(), self.answered[0].shape[1]
        found = [x.new_zeros(len(x), outputs, len(entries)) for entries in _entries(x.shape[1], order)]
        for i, (axis, tails, answered) in enumerate(zip(self.levels, self.tails, self.answered, strict=True)):
            if not len(axis):
                continue
            left = [_interpolation_errors(axis, x[:, i], times, answered).square() for times in range(order + 1)]
            places = [{entry: k for k, entry in enumerate(entries)} for entries in _entries(x.shape[1], order)]
            for total, entries in zip(found, places, strict=True):
                for entry, k in entries.items():
                    others = tuple(j for j in entry if j != i)
                    tail = tails[len(others)][:, places[len(others)][others]]
                    total[:, :, k] += torch.einsum("pdo,do->po", left[len(entry) - len(others)], tail)
        return found

    def carried(self, x: Float64[Tensor, "points inputs"], order: int) -> list[Float64[Tensor, "points entries"]]:
        """What errors of mean square 1 at the points of a grid, independent of each other, become between them.

        Infinite where an input has many levels, so that there is no grid.
        """
        x, tiny = x.cpu(), torch.finfo(x.dtype).tiny  # as infinity times 0 is no number
        grown = []
        for i, axis in enumerate(self.levels):
            if not len(axis):
                grown.append([torch.full_like(x[:, i], torch.inf)] * (order + 1))
                continue
            inverse = torch.linalg.inv(_chebyshev(axis, axis, len(axis), 0))
            parts = (_chebyshev(axis, x[:, i], len(axis), times) @ inverse for times in range(order + 1))
            grown.append([part.square().sum(1).clamp_min(tiny) for part in parts])
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
) -> list[tuple[Float64[Tensor, "degrees entries outputs"], Float64[Tensor, "degrees entries outputs"]]]:
    """Mean squares of Chebyshev coefficients along an input, for each order, and of what rounding makes of them.

    Through its levels, all other inputs being those of the points; many equidistant levels hardly tell high degrees.
    """
    many = points.repeat_interleave(len(axis), 0)
    many[:, i] = axis.to(points).repeat(len(points))
    inverse = torch.linalg.inv(_chebyshev(axis, axis, len(axis), 0))
    found = []
    for part in upper_triangles(network, many, 2):
        part = part.unflatten(0, (len(points), len(axis)))
        squares = torch.einsum("kl,pleo->pkeo", inverse, part).square().mean(0)
        found.append((squares, torch.einsum("kl,leo->keo", (_ROUNDING * inverse).square(), part.square().mean(0))))
    return found


def _answered(
    axis: Tensor, squares: Float64[Tensor, "degrees outputs"], noise: Float64[Tensor, " outputs"]
) -> Float64[Tensor, "degrees outputs"]:
    """Where what lower degrees would have to be, to go through the next ones, is less than noise, a network does not.

    Args:
        axis: levels.
        squares: expected, of the coefficients of the next degrees.
        noise: variance.
    """
    grown = _lower_degrees(axis).square().sum(0)[:, None]
    return squares / (squares + grown * noise).clamp_min(torch.finfo(squares.dtype).tiny)


def _lower_degrees(axis: Tensor) -> Float64[Tensor, "levels degrees"]:
    """Chebyshev coefficients of the polynomials that are the same as the next degrees at every level."""
    everywhere = _chebyshev(axis, axis, len(axis) + _BEYOND, 0)
    return torch.linalg.inv(everywhere[:, : len(axis)]) @ everywhere[:, len(axis) :]


def _interpolation_errors(
    axis: Tensor, x: Tensor, times: int, answered: Float64[Tensor, "degrees outputs"]
) -> Float64[Tensor, "points degrees outputs"]:
    """Derivatives of the Chebyshev polynomials beyond the levels, less what a network has of them."""
    everywhere, count = _chebyshev(axis, x, len(axis) + _BEYOND, times), len(axis)
    same = everywhere[:, :count] @ _lower_degrees(axis)
    return everywhere[:, count:, None] - answered * same[:, :, None]


def _chebyshev(axis: Tensor, x: Tensor, count: int, times: int) -> Float64[Tensor, "points degrees"]:
    """The first polynomials on the range of the levels, differentiated."""
    middle, half = (axis[0] + axis[-1]) / 2, (axis[-1] - axis[0]) / 2
    place = ((x - middle) / half).numpy()
    columns = []
    for k in range(count):
        series = [0.0] * k + [1.0]
        columns.append(chebyshev.chebval(place, chebyshev.chebder(series, times) if times else series))
    return torch.stack([torch.from_numpy(column + 0 * place) for column in columns], 1) / half**times


def _tail(
    squares: Float64[Tensor, "degrees entries outputs"], rounding: Float64[Tensor, "degrees entries outputs"]
) -> Float64[Tensor, "beyond entries outputs"]:
    """The next squares of coefficients that are normal, of variance a q^2k, a and q unknown: their geometric mean."""
    known, least = (part[1:].clamp_min(1e-300) for part in (squares, rounding))
    degrees = torch.arange(1, len(squares) + _BEYOND, dtype=squares.dtype)
    double = torch.linspace(_HALF - _SPREAD, _HALF + _SPREAD, 41, dtype=squares.dtype)
    falls = -2 * double.exp()[:, None] * degrees  # logarithms of q^2k, (factors, degrees)
    sizes = known.amax(0).log() + torch.linspace(-6.0, 30.0, 145, dtype=squares.dtype)[:, None, None]
    weights = -0.5 * (double - _HALF).square()[:, None, None, None].expand(-1, *sizes.shape).clone()
    for k, square in enumerate(known):
        variance = torch.logaddexp(sizes + falls[:, k, None, None, None], least[k].log())
        weights += -0.5 * (variance + square * (-variance).clamp(max=700.0).exp())
    weights = weights.flatten(0, 1).softmax(0).unflatten(0, (len(double), len(sizes)))
    size, fall = (weights * sizes).sum((0, 1)), torch.einsum("qaeo,qk->keo", weights, falls[:, len(known) :])
    return (size + fall).exp()
