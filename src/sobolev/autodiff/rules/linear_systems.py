"""Rules of inverses, pseudo-inverses and linear systems. The value is always PyTorch's own."""

# A jet stands where torch's annotations say Tensor:
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from typing import Any

import torch

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.matching import settled
from sobolev.autodiff.rules.nilpotent import constant, identity, steps, without_value
from sobolev.autodiff.rules.registry import rule


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
    values = a.value, b.value if isinstance(b, Jet) else b
    product = torch.matmul(inverse(a), b)
    return settled(product.space, torch.linalg.solve(*values), product.higher)


@rule(torch.linalg.solve_triangular)
def solve_triangular(a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """The solution of A X = B, or of X A = B, where A is triangular."""
    if not isinstance(a, Jet):
        options = {"upper": upper, "left": left, "unitriangular": unitriangular}
        function = torch.linalg.solve_triangular
        return Jet(b.space, function(a, b.value, **options), function(a, b.full, **options))
    triangle = torch.triu(a, int(unitriangular)) if upper else torch.tril(a, -int(unitriangular))
    if unitriangular:
        triangle = triangle + identity(a)
    return solve(triangle, b, left=left)


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
    return Jet(a.space, value, torch.matmul(torch.matmul(along, x), onto).higher)
