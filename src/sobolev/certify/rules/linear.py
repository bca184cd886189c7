"""Products with matrices, sums and means: linear maps with weights that are known exactly."""

from typing import Any

import numpy as np

from sobolev.certify.balls import Ball, growth, outward
from sobolev.certify.double_double import times_matrix
from sobolev.certify.enclosure import Enclosure, shifted
from sobolev.certify.registry import NoEnclosureError, rule
from sobolev.certify.rules.arithmetic import times
from sobolev.certify.rules.kinds import array, fixed, fixed_beside


@rule("linear")
def linear(input: Enclosure, weight: Any, bias: Any = None) -> Enclosure:  # noqa: A002
    """Inputs times weights, plus the bias."""
    y = _applied(input, array(weight).T)
    return y if bias is None else shifted(y, fixed(bias))


@rule("matmul", "mm")
def matmul(a: Any, b: Any) -> Enclosure:
    """Inputs times a matrix of weights."""
    if not isinstance(a, Enclosure) or isinstance(b, Enclosure) or b.dim() != 2 or a.dim() < 2:
        raise NoEnclosureError("no proof goes through a product of matrices but x @ W with W a matrix of weights")
    return _applied(a, array(b))


def _applied(x: Enclosure, matrix: np.ndarray) -> Enclosure:
    fine = None if x.fine is None else times_matrix(x.fine, matrix)
    return Enclosure(x.space, _times_matrix(x.ball, matrix), fine)


@rule("addmm")
def addmm(bias: Any, a: Any, b: Any) -> Enclosure:
    """Inputs times a matrix of weights, plus a bias."""
    product = matmul(a, b)
    return shifted(product, fixed_beside(product, bias))


@rule("sum")
def total(x: Enclosure, dim: Any = None, keepdim: bool = False) -> Enclosure:
    """Over axes that are not the cells."""
    axes = _axes(x, dim)
    terms = int(np.prod([x.shape[axis - 1] for axis in axes]))
    mid, rad = (part.sum(axes, keepdims=keepdim) for part in x.ball)
    size = np.abs(x.ball.mid).sum(axes, keepdims=keepdim)
    return Enclosure(x.space, Ball(mid, outward((rad + growth(terms) * size) * (1 + 2 * growth(terms)))))


@rule("mean")
def mean(x: Enclosure, dim: Any = None, keepdim: bool = False) -> Enclosure:
    """Over axes that are not the cells."""
    terms = int(np.prod([x.shape[axis - 1] for axis in _axes(x, dim)]))
    return times(total(x, dim, keepdim), 1 / terms) if terms & (terms - 1) == 0 else total(x, dim, keepdim) / terms


def _axes(x: Enclosure, dim: Any) -> tuple[int, ...]:
    """The axes of the arrays, which have one for the rows in front."""
    given = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    axes = tuple(sorted({axis % x.ndim for axis in given}))
    if 0 in axes:
        raise NoEnclosureError("no proof goes through a sum over the batch")
    return tuple(axis + 1 for axis in axes)


def _times_matrix(ball: Ball, matrix: np.ndarray) -> Ball:
    """`ball @ matrix` over the last axis: r' = |W| (r + g |m|) (1 + 2 g) with g above γ_n."""
    inner = matrix.shape[0]
    g = growth(inner)
    mid, rad = (part.reshape(-1, inner) for part in ball)
    radius = (rad + g * np.abs(mid)) @ np.abs(matrix)
    radius *= 1 + 2 * g
    shape = (*ball.mid.shape[:-1], matrix.shape[1])
    return Ball((mid @ matrix).reshape(shape), outward(radius).reshape(shape))
