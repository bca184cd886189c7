"""Rules of eigenvalues and eigenvectors.

PyTorch decomposes A_0, and an iteration that doubles the number of right degrees does the rest: for symmetric matrices
that of Ogita & Aishima (2018). Where two eigenvalues are equal, but for rounding, what depends on them has no
derivative and comes out as NaN.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.rules.linear_algebra.nilpotent import identity, steps, without_value
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import constant
from sobolev.autodiff.taylor.registry import NoRuleError, rule

_EQUAL = 16
"""Times the rounding of the largest eigenvalue: two that are nearer to each other are equal."""


class Eigen(NamedTuple):
    """What `torch.linalg.eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


@rule(torch.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Eigen:
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix."""
    refuse_complex(a, "eigh")
    values, vectors = torch.linalg.eigh(a.value, UPLO)
    a = (a + a.mT) / 2
    q = constant(a, vectors)
    rotated: Any = torch.matmul(q.mT, torch.matmul(a, q))
    first = rotated.diagonal(0, -2, -1).full
    for _ in range(steps(a)):
        q = turned(q, torch.matmul(q.mT, torch.matmul(a, q)), values, apart(values))
    higher = (q * torch.matmul(a, q)).sum(-2).full
    d = a.space.directions  # the first degree needs no eigenvector's derivative, so equal eigenvalues do no harm
    return Eigen(Jet(a.space, values, torch.cat([first[:d], higher[d:]])), q)


@rule(torch.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues of a symmetric matrix, ascending."""
    return eigh(a, UPLO).eigenvalues


@rule(torch.linalg.eig)
def eig(a: Any) -> Eigen:
    """Eigenvalues and eigenvectors, of length 1, of any matrix that has a basis of them."""
    values, vectors = torch.linalg.eig(a.value)
    a = Jet(a.space, a.value.to(vectors.dtype), a.full.to(vectors.dtype))
    x, d = constant(a, vectors), a.space.directions
    one = identity(x)
    first = None
    for _ in range(steps(a)):
        s = _in_basis(a, x, values)
        first = s.diagonal(0, -2, -1).full[:d] if first is None else first
        estimate = s.diagonal(0, -2, -1)
        gaps = estimate.unsqueeze(-2) - estimate.unsqueeze(-1) + apart(values)
        x = x + torch.matmul(x, without_value(torch.where(one.real > 0, 0.0, s / gaps)))
    higher = _in_basis(a, x, values).diagonal(0, -2, -1).full
    lengths = torch.sqrt((x * x.conj()).real.sum(-2, keepdim=True))
    units = Jet(a.space, vectors, (x / lengths).higher)
    return Eigen(Jet(a.space, values, torch.cat([higher[:0] if first is None else first, higher[d:]])), units)


@rule(torch.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """Eigenvalues of any matrix that has a basis of eigenvectors."""
    return eig(a).eigenvalues


def _in_basis(a: Any, x: Any, values: Tensor) -> Any:
    """X⁻¹ A X, whose value is diagonal."""
    s: Any = torch.matmul(torch.linalg.inv(x), torch.matmul(a, x))
    return Jet(a.space, torch.diag_embed(values), s.higher)


def apart(values: Tensor) -> Tensor:
    """What to add to the gaps between eigenvalues, to divide by them: 1 on the diagonal, NaN where two are equal."""
    gaps, one = (values.unsqueeze(-2) - values.unsqueeze(-1)).abs(), torch.ones_like(values).diag_embed()
    smallest = _EQUAL * torch.finfo(gaps.dtype).eps * values.abs().amax(-1)[..., None, None]
    return torch.where((gaps <= smallest) & (one.real == 0), torch.nan, one)


def turned(q: Any, s: Any, values: Tensor, distinct: Tensor) -> Any:
    """Nearer to the eigenvectors of a matrix, given s = qᵀ A q, its eigenvalues, and which of these are `apart`."""
    s = Jet(s.space, torch.diag_embed(values), s.higher)
    off = -without_value(torch.matmul(q.mT, q))  # from orthonormal
    estimate = s.diagonal(0, -2, -1) / (1 - off.diagonal(0, -2, -1))
    one = identity(s)
    gaps = estimate.unsqueeze(-2) - estimate.unsqueeze(-1) + distinct
    turn = torch.where(one > 0, off / 2, (s + estimate.unsqueeze(-2) * off) / gaps)
    return Jet(q.space, q.value, (q + torch.matmul(q, without_value(turn))).higher)


def refuse_complex(a: Any, name: str) -> None:
    """Raise where a matrix is complex."""
    if a.value.is_complex():
        raise NoRuleError(f"Taylor mode has no rule for {name} of a complex matrix")
