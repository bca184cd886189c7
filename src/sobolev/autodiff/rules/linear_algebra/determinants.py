"""Rules of determinants and their logarithms."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import settled
from sobolev.autodiff.taylor.registry import NoRuleError, rule


class SignAndLog(NamedTuple):
    """What `torch.linalg.slogdet` returns."""

    sign: Tensor
    logabsdet: Jet


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
        change: Any = torch.exp(_log_of_change(a))
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


def _log_of_change(a: Any) -> Any:
    """Log det(A_0⁻¹ A) = tr N - tr N²/2 + ..., N = A_0⁻¹ H; its value is 0."""
    nilpotent: Any = Jet(a.space, torch.zeros_like(a.value), torch.linalg.solve(a.value, a.full))
    power, total = nilpotent, nilpotent.diagonal(0, -2, -1).sum(-1)
    for k in range(2, a.space.order + 1):
        power = torch.matmul(power, nilpotent)
        total = total - (-1) ** k / k * power.diagonal(0, -2, -1).sum(-1)
    return total
