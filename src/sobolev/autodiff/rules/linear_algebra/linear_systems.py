"""Rules of inverses and linear systems. The value is always PyTorch's own."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.rules.linear_algebra.nilpotent import identity, steps, without_value
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import constant, settled
from sobolev.autodiff.taylor.registry import rule


class InverseAndInfo(NamedTuple):
    """What `torch.linalg.inv_ex` returns."""

    inverse: Any
    info: Tensor


class SolutionAndInfo(NamedTuple):
    """What `torch.linalg.solve_ex` returns."""

    result: Any
    info: Tensor


@rule("inverse", torch.linalg.inv)
def inverse(a: Any) -> Any:
    """A⁻¹ by Newton's iteration X ← X + X (1 - A X), which doubles the number of right degrees."""
    value = torch.linalg.inv(a.value)
    x = constant(a, value)
    for _ in range(steps(a)):
        residual = without_value(-torch.matmul(a, x))
        x = x + torch.matmul(x, residual)
    return Jet(a.space, value, x.higher)


@rule(torch.linalg.solve)
def solve(a: Any, b: Any, *, left: bool = True) -> Any:
    """The solution of A X = B, or of X A = B."""
    if b.dim() == 1 or (a.dim() - 1 == b.dim() and tuple(b.shape) == tuple(a.shape[:-1])):
        return solve(a, b.unsqueeze(-1)).squeeze(-1)
    if not left:
        return solve(a.mT, b.mT).mT
    if not isinstance(a, Jet):
        return Jet(b.space, torch.linalg.solve(a, b.value), torch.linalg.solve(a, b.full))
    product: Any = torch.matmul(inverse(a), b)
    values = a.value, b.value if isinstance(b, Jet) else b
    return settled(product.space, torch.linalg.solve(*values), product.higher)


@rule(torch.linalg.inv_ex)
def inv_ex(a: Any, *, check_errors: bool = False) -> InverseAndInfo:
    """The inverse, and whether there is one."""
    return InverseAndInfo(inverse(a), torch.linalg.inv_ex(a.value, check_errors=check_errors).info)


@rule(torch.linalg.solve_ex)
def solve_ex(a: Any, b: Any, *, left: bool = True, check_errors: bool = False) -> SolutionAndInfo:
    """The solution, and whether there is one."""
    matrix = a.value if isinstance(a, Jet) else a
    return SolutionAndInfo(solve(a, b, left=left), torch.linalg.inv_ex(matrix, check_errors=check_errors).info)


@rule(torch.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of a tensor that is a matrix from its last axes to its first `ind`."""
    shape = tuple(a.shape)
    return inverse(a.reshape(math.prod(shape[:ind]), -1)).reshape(shape[ind:] + shape[:ind])


@rule(torch.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, dims: tuple[int, ...] | None = None) -> Any:
    """The solution of a linear system whose unknowns are a tensor."""
    a = a if dims is None else a.movedim(dims, tuple(range(-len(dims), 0)))
    n, shape = math.prod(b.shape), tuple(a.shape[b.dim() :])
    return solve(a.reshape(n, n), b.reshape(n)).reshape(shape)


@rule(torch.linalg.solve_triangular)
def solve_triangular(a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """The solution of A X = B, or of X A = B, where A is triangular."""
    if not isinstance(a, Jet):
        options = {"upper": upper, "left": left, "unitriangular": unitriangular}
        function = torch.linalg.solve_triangular
        return Jet(b.space, function(a, b.value, **options), function(a, b.full, **options))
    matrix: Any = a
    triangle = matrix.triu(int(unitriangular)) if upper else matrix.tril(-int(unitriangular))
    if unitriangular:
        triangle = triangle + identity(a)
    return solve(triangle, b, left=left)
