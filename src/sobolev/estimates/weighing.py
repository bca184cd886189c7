"""Which of several accounts of an error is to be believed, by residuals of rows that took no part in any of them."""

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

_LEVELS = torch.linspace(-14.0, 14.0, 141, dtype=torch.float64)
_COMMON = torch.linspace(-8.0, 2.0, 41, dtype=torch.float64)
"""Logarithms of the factors that are tried: of an account's variances, and of these and the noise."""
_SPREAD = 1.0
"""Standard deviation, from case to case, of the logarithm of the factor that an account's variances are wrong by."""
_CERTAIN = 0.3
"""Standard deviation of the logarithm of the noise's variance, which the rows of the training tell."""
_FREEDOM = 5.0
"""Of Student's distribution, of residuals in units of what is expected: some lie far out."""


class Account(NamedTuple):
    """What is said of the error at rows that were held out.

    Attributes:
        variances: expected squares of the error, (rows,).
        noise: variance of the labels' noise.
    """

    variances: Float64[Tensor, " rows"]
    noise: float


def weighed(
    squares: Float64[Tensor, " rows"], accounts: list[Account]
) -> tuple[Float64[Tensor, " accounts"], Float64[Tensor, " accounts"]]:
    """By what the variances of each are to be multiplied, and how probable each is; before, all are as likely.

    Args:
        squares: of the residuals.
        accounts: with as many rows each.
    """
    found = [_integrated(squares, account) for account in accounts]
    levels, evidences = torch.stack([level for level, _ in found]), torch.stack([value for _, value in found])
    return levels.exp(), evidences.softmax(0)


def log_density(squares: Tensor, expected: Tensor) -> Tensor:
    """Of residuals whose squares are expected to be so large, but for a constant; Student's, as some lie far out."""
    return _student((squares / expected * _FREEDOM / (_FREEDOM - 2)).sqrt(), _FREEDOM) - 0.5 * expected.log()


def _integrated(squares: Tensor, account: Account) -> tuple[Tensor, Tensor]:
    """Mean of the logarithm of the factor, and logarithm of the evidence of an account."""
    level, common = _LEVELS[:, None], _COMMON if account.noise > 0 else _COMMON.new_zeros(1)
    prior = _student(level / _SPREAD, 3.0) + _student(common / _CERTAIN, 3.0)
    expected = level.exp()[..., None] * account.variances + account.noise  # (levels, 1, rows)
    total = (expected * common.exp()[:, None]).clamp_min(torch.finfo(squares.dtype).tiny)
    logarithm = prior + log_density(squares, total).sum(2)
    weights = logarithm.flatten().softmax(0).reshape(logarithm.shape)
    evidence = logarithm.flatten().logsumexp(0) - prior.flatten().logsumexp(0)
    lower = (weights * common).sum().clamp_max(0.0)  # where there is more noise, that says nothing of the error
    return (weights * level).sum() + lower, evidence


def _student(deviations: Tensor, freedom: float) -> Tensor:
    """Logarithm of the density, but for a constant."""
    return -0.5 * (freedom + 1) * (deviations.square() / freedom).log1p()
