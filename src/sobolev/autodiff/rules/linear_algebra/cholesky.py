"""Rules of Cholesky factors, and of what is solved by them."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.rules.linear_algebra.nilpotent import identity, without_value
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import constant
from sobolev.autodiff.taylor.registry import rule


class FactorAndInfo(NamedTuple):
    """What `torch.linalg.cholesky_ex` returns."""

    L: Jet
    info: Tensor


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


@rule(torch.linalg.cholesky_ex)
def cholesky_ex(a: Any, *, upper: bool = False, check_errors: bool = False) -> FactorAndInfo:
    """The factor, and whether there is one."""
    info = torch.linalg.cholesky_ex(a.value, upper=upper, check_errors=check_errors).info
    return FactorAndInfo(cholesky(a, upper), info)


@rule("cholesky_solve")
def cholesky_solve(b: Any, factor: Any, upper: bool = False) -> Any:
    """The solution of L Lᴴ X = B."""
    lower = factor.mH if upper else factor
    return torch.linalg.solve_triangular(lower.mH, torch.linalg.solve_triangular(lower, b, upper=False), upper=True)


@rule("cholesky_inverse")
def cholesky_inverse(factor: Any, upper: bool = False) -> Any:
    """The inverse of L Lᴴ."""
    return cholesky_solve(identity(factor), factor, upper)
