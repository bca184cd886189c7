"""Rules of functions of square matrices: powers and the exponential."""

from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.rules.linear_algebra.linear_systems import inverse
from sobolev.autodiff.rules.linear_algebra.nilpotent import identity
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import constant, padded
from sobolev.autodiff.taylor.registry import rule


@rule("matrix_power", torch.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """Aⁿ by repeated squaring."""
    if n < 0:
        return matrix_power(inverse(a), -n)
    if n == 0:
        return constant(a, identity(a).expand(a.value.shape))
    half = matrix_power(a, n // 2) if n > 1 else None
    if half is None:
        return a
    return torch.matmul(torch.matmul(half, half), a) if n % 2 else torch.matmul(half, half)


@rule("matrix_exp", torch.linalg.matrix_exp)
def matrix_exp(a: Any) -> Any:
    """The exponential: its coefficients stand in those of matrices of blocks (Mathias 1996)."""
    blocks, space = a.value, a.space
    if space.order > 2:
        row = [blocks, *padded(a, space.order).unbind(0)]
        top = _first_row([[torch.zeros_like(blocks)] * i + row[: len(row) - i] for i in range(len(row))])
        return Jet(space, top[0], torch.stack(top[1:]))
    nothing = torch.zeros_like(blocks)
    linear = padded(a, sum(space.sizes))
    higher = _first_row([[blocks, linear], [nothing, blocks]])[1]
    if space.order == 2:

        def twice(v: Tensor, w: Tensor) -> Tensor:
            return _first_row([[blocks, v, nothing], [nothing, blocks, w], [nothing, nothing, blocks]])[2]

        first = linear[: space.directions]
        second = space.second_degree(twice, first, first)
        higher = torch.cat([higher[: space.directions], higher[space.directions :] + second])
    return Jet(space, torch.linalg.matrix_exp(blocks), higher)


def _first_row(blocks: list[list[Tensor]]) -> tuple[Tensor, ...]:
    """The first row of blocks of the exponential."""
    shape = torch.broadcast_shapes(*(block.shape for row in blocks for block in row))
    whole = torch.cat([torch.cat([block.expand(shape) for block in row], -1) for row in blocks], -2)
    n = shape[-1]
    return torch.linalg.matrix_exp(whole)[..., :n, :].split(n, -1)
