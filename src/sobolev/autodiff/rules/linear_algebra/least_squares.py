"""Rules of pseudo-inverses, least squares and condition numbers."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise.piecewise import value_of
from sobolev.autodiff.rules.linear_algebra.linear_systems import inverse
from sobolev.autodiff.rules.linear_algebra.nilpotent import identity, steps
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import constant, settled
from sobolev.autodiff.taylor.registry import rule


class LeastSquares(NamedTuple):
    """What `torch.linalg.lstsq` returns."""

    solution: Any
    residuals: Any
    rank: Tensor
    singular_values: Tensor


@rule("pinverse", torch.linalg.pinv)
def pinv(a: Any, *args: Any, **options: Any) -> Any:
    """A⁺, the rank staying what it is.

    Newton's iteration finds an inverse that ends in the same subspaces as that of A_0; orthogonal projectors E
    (E + Eᴴ - 1)⁻¹ onto those of A, from the oblique ones E, make it the pseudo-inverse.
    """
    value = torch.linalg.pinv(a.value, *args, **options)
    x = constant(a, value)
    for _ in range(steps(a)):
        x = x + x - torch.matmul(x, torch.matmul(a, x))
    onto, along = torch.matmul(a, x), torch.matmul(x, a)
    onto = torch.matmul(onto, inverse(onto + onto.mH - identity(onto)))
    along = torch.matmul(inverse(along + along.mH - identity(along)), along)
    result: Any = torch.matmul(torch.matmul(along, x), onto)
    return Jet(a.space, value, result.higher)


@rule(torch.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None, *, driver: str | None = None) -> LeastSquares:
    """The shortest X for which A X is nearest to B. Singular values come as numbers, without derivatives."""
    if b.dim() == a.dim() - 1:
        found = lstsq(a, b.unsqueeze(-1), rcond, driver=driver)
        residuals = found.residuals.squeeze(-1) if found.residuals.dim() else found.residuals
        return found._replace(solution=found.solution.squeeze(-1), residuals=residuals)
    value = torch.linalg.lstsq(value_of(a), value_of(b), rcond, driver=driver)
    x: Any = torch.matmul(torch.linalg.pinv(a), b)
    x = settled(x.space, value.solution, x.higher)
    residuals = value.residuals
    if residuals.numel():
        squares = (torch.matmul(a, x) - b).abs().square().sum(-2)
        residuals = settled(x.space, residuals, squares.higher)
    return LeastSquares(x, residuals, value.rank, value.singular_values)


@rule(torch.linalg.cond)
def cond(a: Any, p: Any = None) -> Any:
    """The norm of a matrix times that of its inverse."""
    if p in (None, 2, -2):
        values = torch.linalg.svdvals(a)
        return values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
    return torch.linalg.matrix_norm(a, p) * torch.linalg.matrix_norm(inverse(a), p)


@rule(torch.linalg.matrix_rank)
def matrix_rank(a: Any, *args: Any, **options: Any) -> Tensor:
    """A number without derivatives."""
    return torch.linalg.matrix_rank(a.value, *args, **options)
