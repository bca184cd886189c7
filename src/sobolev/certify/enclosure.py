"""Enclosures stand in for a tensor while a function runs, and hold all it takes on in each of many cells.

In a cell c + h t, t in [-1, 1]^d, a number is enclosed by its Taylor coefficients in t at the centre up to degree K,
the coefficient of degree K + 1 over the whole cell, and its values over the cell by plain interval arithmetic (Moore,
Kearfott & Cloud, "Introduction to Interval Analysis", 2009, chapter 9; Berz & Hoffstätter 1998 for several variables).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sobolev.certify.balls import Array, Ball, add, common, exact, outward, smaller
from sobolev.certify.double_double import Pair, exact_pair
from sobolev.certify.double_double import add as add_pairs
from sobolev.certify.registry import find
from sobolev.certify.space import Space, space_of


class Enclosure:
    """What a tensor of shape (cells, *shape) can be in each cell.

    Attributes:
        space: which coefficients there are.
        ball: (rows + 1, cells, *shape): the coefficients, then the plain values.
        fine: the first rows in twice the precision, where that was asked for and every operation so far knew how.
    """

    __slots__ = ("ball", "fine", "space")
    __array_ufunc__ = None  # numpy numbers leave arithmetic to the enclosure

    def __init__(self, space: Space, ball: Ball, fine: Pair | None = None) -> None:
        self.space, self.ball, self.fine = space, ball, fine

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the tensor has: (cells, *shape)."""
        return self.ball.mid.shape[1:]

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return len(self.shape)

    def dim(self) -> int:
        """The number of its axes."""
        return self.ndim

    @property
    def dtype(self) -> torch.dtype:
        """Of the numbers inside."""
        return torch.float64

    @property
    def device(self) -> torch.device:
        """Where they lie."""
        return torch.device("cpu")

    def refined(self) -> "Enclosure":
        """The same, the first rows from those of twice the precision where these are known better."""
        if self.fine is None:
            return self
        rows = len(self.fine.high)
        ball = smaller(self.fine.ball, self.ball[:rows])
        mid, rad = (np.concatenate([new, old[rows:]]) for new, old in zip(ball, self.ball, strict=True))
        return Enclosure(self.space, Ball(mid, rad))

    def mapped(self, change: Callable[[Array], Array]) -> "Enclosure":
        """With the same rearrangement, behind the axis of the rows, of all arrays."""
        fine = None if self.fine is None else Pair(*map(change, self.fine))
        return Enclosure(self.space, Ball(*map(change, self.ball)), fine)

    def over_cell(self) -> Ball:
        """Every coefficient over the whole cell, (rows, cells, *shape): Taylor's theorem from the centre."""
        rows, tables = len(self.space.indices), self.space.rebuild
        mid, rad = (part[:rows].reshape(rows, -1) for part in self.ball)
        radius = tables.from_mid @ np.abs(mid)
        radius += tables.from_rad @ rad
        radius *= 1 + 2.0**-40
        ball = Ball(tables.mid @ mid, outward(radius))
        ball = Ball(*(part.reshape(rows, *self.shape) for part in ball))
        value = common(ball[0], self.ball[-1])
        ball.mid[0], ball.rad[0] = value
        return ball

    def lower(self, order: int) -> "Enclosure":
        """The same with fewer coefficients at the centre."""
        return self if order == self.space.order else self.derivative((0,) * self.space.inputs, order)

    def derivative(self, by: Sequence[int], order: int) -> "Enclosure":
        """The derivative in t: so often by each variable, with coefficients up to degree `order`."""
        space, rows, factors = self.space.shift(tuple(by), order)
        over = self.over_cell()
        factors = factors.reshape(-1, *(1,) * len(self.shape))
        low = rows[: space.low]
        mid = np.concatenate([self.ball.mid[low], over.mid[rows[space.low :]]]) * factors
        rad = np.concatenate([self.ball.rad[low], over.rad[rows[space.low :]]]) * factors
        plain = over[rows[0]]
        mid = np.concatenate([mid, plain.mid[None] * factors[0]])
        rad = np.concatenate([rad, plain.rad[None] * factors[0]])
        return Enclosure(space, Ball(mid, outward(rad + 2.0**-52 * np.abs(mid))))

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return find(func)(*args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        member = getattr(Tensor, name, None)
        if member is None:
            raise AttributeError(f"a tensor has no attribute {name!r}")
        if callable(member):
            return partial(find(member), self)
        return find(member.__get__)(self)

    def __repr__(self) -> str:
        return f"Enclosure(shape={self.shape}, order={self.space.order})"


def variables(centre: Array, half: Array, order: int, fine: int | None = None) -> Enclosure:
    """The inputs themselves, (cells, inputs), in the cells centre ± half, both (cells, inputs) and exact.

    Args:
        centre: of the cells.
        half: their half widths.
        order: the degree of the polynomials.
        fine: up to which degree they are wanted in twice the precision.
    """
    inputs = centre.shape[1]
    space = space_of(inputs, order)
    ball = exact(np.zeros((len(space.indices) + 1, *centre.shape)))
    ball.mid[0] = ball.mid[-1] = centre
    for i, row in enumerate(space.first):
        ball.mid[row, :, i] = half[:, i]
    ball.rad[-1] = half
    return Enclosure(space, ball, None if fine is None else exact_pair(ball.mid[: rows_up_to(space, fine)]))


def rows_up_to(space: Space, degree: int) -> int:
    """How many rows have at most this degree."""
    return space.degree(degree)[-1] + 1


def constant(space: Space, ball: Ball, fine: Pair | None = None) -> Enclosure:
    """A number that is the same everywhere; its shape begins with an axis for the cells."""
    rows = len(space.indices) + 1
    mid, rad = (np.zeros((rows, *part.shape)) for part in ball)
    mid[0] = mid[-1] = ball.mid
    rad[0] = rad[-1] = ball.rad
    fine = fine or Pair(ball.mid, 0 * ball.mid, ball.rad)
    rest = np.zeros((rows - 2, *ball.mid.shape))
    return Enclosure(space, Ball(mid, rad), Pair(*(np.concatenate([part[None], rest]) for part in fine)))


def shifted(x: Enclosure, by: Ball) -> Enclosure:
    """An enclosure plus numbers that are the same everywhere; they broadcast against (cells, *shape)."""
    fine = None
    if x.fine is not None:
        rest = Pair(
            *(np.broadcast_to(part, (len(part), *np.broadcast_shapes(x.shape, by.mid.shape))) for part in x.fine)
        )
        first = add_pairs(rest[0], Pair(by.mid, 0 * by.mid, by.rad))
        fine = Pair(*(np.concatenate([a[None], b[1:]]) for a, b in zip(first, rest, strict=True)))
    shape = np.broadcast_shapes(x.shape, by.mid.shape)
    mid, rad = (np.broadcast_to(part, (len(part), *shape)).copy() for part in x.ball)
    for row in (0, -1):
        mid[row], rad[row] = add(Ball(mid[row], rad[row]), by)
    return Enclosure(x.space, Ball(mid, rad), fine)


def _operator(name: str) -> Callable:
    def method(self: Enclosure, *args: Any) -> Any:
        return find(getattr(Tensor, name))(self, *args)

    return method


for _name in (
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__"),
    *("__pow__", "__rpow__", "__neg__", "__pos__", "__matmul__", "__rmatmul__", "__getitem__", "__len__", "__iter__"),
    *("__abs__", "__bool__", "__float__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    *("__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__", "__imatmul__", "__setitem__"),
):
    if hasattr(Tensor, _name):
        setattr(Enclosure, _name, _operator(_name))
Enclosure.__hash__ = object.__hash__  # pyright: ignore[reportAttributeAccessIssue]
