"""Rules of singular values and vectors, from the eigenvectors of AᵀA. Where two are equal, the vectors are NaN."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.rules.linear_algebra.eigenvalues import apart, refuse_complex, turned
from sobolev.autodiff.rules.linear_algebra.nilpotent import steps
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import constant
from sobolev.autodiff.taylor.registry import NoRuleError, rule


class Singular(NamedTuple):
    """What `torch.linalg.svd` returns."""

    U: Any
    S: Any
    Vh: Any


@rule(torch.linalg.svd)
def svd(a: Any, full_matrices: bool = True, *, driver: str | None = None) -> Singular:
    """A = U diag(S) Vh."""
    refuse_complex(a, "svd")
    rows, columns = a.value.shape[-2:]
    if full_matrices and rows != columns:
        raise NoRuleError("Taylor mode has no rule for svd of an oblong matrix with full_matrices=True")
    u, s, vh = torch.linalg.svd(a.value, full_matrices=False, driver=driver)
    if rows < columns:
        v, s, u = _factors(a.mT, vh.mT, s, u)
        return Singular(u, s, v.mT)
    u, s, v = _factors(a, u, s, vh.mT)
    return Singular(u, s, v.mT)


@rule("svd")
def thin_svd(a: Any, some: bool = True, compute_uv: bool = True) -> Singular:  # noqa: ARG001
    """A = U diag(S) Vᵀ; the last is V."""
    u, s, vh = svd(a, not some)
    return Singular(u, s, vh.mT)


@rule(torch.linalg.svdvals)
def svdvals(a: Any, *, driver: str | None = None) -> Any:
    """Singular values, descending."""
    return svd(a, False, driver=driver).S


def _factors(a: Any, left: Tensor, values: Tensor, right: Tensor) -> tuple[Any, Any, Any]:
    """U, S and V of a matrix that has no more columns than rows, from those of its value."""
    v, stretched = constant(a, right), left * values.unsqueeze(-2)
    for _ in range(steps(a)):
        w: Any = Jet(a.space, stretched, _higher_product(a, v))
        v = turned(v, torch.matmul(w.mT, w), values.square(), apart(values))
    w = Jet(a.space, stretched, _higher_product(a, v))
    s = Jet(a.space, values, torch.linalg.vector_norm(w, dim=-2).full)
    u = Jet(a.space, left, (w / s.unsqueeze(-2)).higher)
    d = a.space.directions  # the first degree needs no vector's derivative, so equal values do no harm
    first = (constant(a, left) * torch.matmul(a, constant(a, right))).sum(-2).full[:d]
    return u, Jet(a.space, values, torch.cat([first, s.higher[d:]])), v


def _higher_product(a: Any, b: Any) -> Tensor:
    product: Any = torch.matmul(a, b)
    return product.higher
