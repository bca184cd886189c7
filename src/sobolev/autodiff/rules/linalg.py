"""Rules of linear algebra: inverses, linear systems, determinants, Cholesky factors.

Let A = A_0 + H, H without constant term. What is sought is known for A_0; H is nilpotent at the order of the space,
so that Newton's iteration and the series below end, and hold exactly for any number of directions. The value is
always PyTorch's own.
"""

# A jet stands where torch's annotations say Tensor:
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.kinds import settled
from sobolev.autodiff.rules.registry import NoRuleError, rule


class SignAndLog(NamedTuple):
    """What `torch.linalg.slogdet` returns."""

    sign: Tensor
    logabsdet: Jet


class FactorAndInfo(NamedTuple):
    """What `torch.linalg.cholesky_ex` returns."""

    L: Jet
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


@rule("cholesky_solve")
def cholesky_solve(b: Any, factor: Any, upper: bool = False) -> Any:
    """The solution of L Lᴴ X = B."""
    lower = factor.mH if upper else factor
    return torch.linalg.solve_triangular(lower.mH, torch.linalg.solve_triangular(lower, b, upper=False), upper=True)


@rule("cholesky", torch.linalg.cholesky)
def cholesky(a: Any, upper: bool = False) -> Any:
    """L with A = L Lᴴ, degree by degree: L ← L + L_0 Φ(L_0⁻¹ (A - L Lᴴ) L_0⁻ᴴ), Φ the lower half."""
    start = torch.linalg.cholesky(a.value)
    inverse_start = torch.linalg.inv(start)
    half = torch.ones_like(start).tril() - identity(a) / 2
    symmetric = (a + a.mH) / 2  # PyTorch reads the lower half; its derivative is that of the symmetric part
    factor = constant(a, start)
    for _ in range(a.space.order):
        residual = without_value(symmetric - torch.matmul(factor, factor.mH))
        middle = torch.matmul(torch.matmul(inverse_start, residual), inverse_start.mH)
        factor = factor + torch.matmul(start, half * middle)
    result = Jet(a.space, start, factor.higher)
    return result.mH if upper else result


@rule("cholesky_inverse")
def cholesky_inverse(factor: Any, upper: bool = False) -> Any:
    """The inverse of L Lᴴ."""
    return cholesky_solve(identity(factor), factor, upper)


@rule(torch.linalg.cholesky_ex)
def cholesky_ex(a: Any, *, upper: bool = False, check_errors: bool = False) -> FactorAndInfo:
    """The factor, and whether there is one."""
    info = torch.linalg.cholesky_ex(a.value, upper=upper, check_errors=check_errors).info
    return FactorAndInfo(cholesky(a, upper), info)


@rule("det", torch.linalg.det)
def det(a: Any) -> Any:
    """The determinant, for up to three rows written out, so that it is right where it is 0 as well."""
    n = a.value.shape[-1]
    if n == 1:
        return a[..., 0, 0]
    if n == 2:
        result = a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0]
    elif n == 3:
        result = (a[..., 0, :] * torch.linalg.cross(a[..., 1, :], a[..., 2, :])).sum(-1)
    else:
        change = torch.exp(_log_of_change(a))
        value = torch.linalg.det(a.value)
        return Jet(a.space, value, value * change.higher)
    return settled(a.space, torch.linalg.det(a.value), result.higher)


@rule("slogdet", torch.linalg.slogdet)
def slogdet(a: Any) -> SignAndLog:
    """Sign and logarithm of the absolute value of the determinant."""
    if a.value.is_complex():
        raise NoRuleError("Taylor mode has no rule for slogdet of a complex matrix")
    sign, value = torch.linalg.slogdet(a.value)
    return SignAndLog(sign, Jet(a.space, value, _log_of_change(a).higher))


@rule("logdet")
def logdet(a: Any) -> Any:
    """The logarithm of the determinant."""
    return Jet(a.space, torch.logdet(a.value), _log_of_change(a).higher)


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


def _log_of_change(a: Any) -> Any:
    """Log det(A_0⁻¹ A) = tr N - tr N²/2 + ..., N = A_0⁻¹ H; its value is 0."""
    nilpotent = Jet(a.space, torch.zeros_like(a.value), torch.linalg.solve(a.value, a.full))
    power, total = nilpotent, nilpotent.diagonal(0, -2, -1).sum(-1)
    for k in range(2, a.space.order + 1):
        power = torch.matmul(power, nilpotent)
        total = total - (-1) ** k / k * power.diagonal(0, -2, -1).sum(-1)
    return total


def steps(a: Any) -> int:
    """So often an iteration doubles the number of right degrees until all are right."""
    return math.ceil(math.log2(a.space.order + 1))


def constant(a: Any, value: Tensor) -> Any:
    """A jet without derivatives, in the space of another."""
    return Jet(a.space, value, value.new_zeros(0, *value.shape))


def without_value(a: Any) -> Any:
    """The nilpotent part."""
    return Jet(a.space, torch.zeros_like(a.value), a.higher)


def identity(a: Any) -> Tensor:
    """The identity matrix with as many columns."""
    return torch.eye(a.value.shape[-1], dtype=a.value.dtype, device=a.value.device)
