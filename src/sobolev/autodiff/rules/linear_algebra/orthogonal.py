"""Rules of orthogonal matrices: QR, and products of reflections."""

from typing import Any, NamedTuple

import torch

from sobolev.autodiff.rules.linear_algebra.eigenvalues import refuse_complex
from sobolev.autodiff.rules.linear_algebra.nilpotent import identity, without_value
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.registry import NoRuleError, rule


class Factors(NamedTuple):
    """What `torch.linalg.qr` returns."""

    Q: Any
    R: Any


@rule(torch.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Factors:
    """A = Q R: with M = A R_0⁻¹, whose value is orthogonal, Mᵀ M = Cᵀ C gives R = C R_0 and Q = M C⁻¹."""
    refuse_complex(a, "qr")
    rows, columns = a.value.shape[-2:]
    if rows < columns:
        q, _ = qr(a[..., :rows])
        return Factors(q, torch.matmul(q.mT, a))
    if mode == "complete" and rows > columns:
        raise NoRuleError("Taylor mode has no rule for qr with mode 'complete'")
    start, triangle = torch.linalg.qr(a.value)
    m = torch.linalg.solve_triangular(triangle, a, upper=True, left=False)
    m: Any = Jet(a.space, start, m.higher)
    squares = torch.matmul(m.mT, m)
    c = torch.linalg.cholesky(without_value(squares) + identity(squares), upper=True)
    q = torch.linalg.solve_triangular(c, m, upper=True, left=False)
    product: Any = torch.matmul(c, triangle)
    r = Jet(a.space, triangle, product.higher)
    return Factors(a.value.new_empty(0) if mode == "r" else Jet(a.space, start, q.higher), r)


@rule("qr")
def old_qr(a: Any, some: bool = True) -> Factors:
    """The same, under its old name."""
    return qr(a, "reduced" if some else "complete")


@rule(torch.linalg.householder_product, "orgqr")
def householder_product(a: Any, tau: Any) -> Any:
    """The first columns of the product of the reflections 1 - τ w wᴴ, w being the columns below the diagonal of a."""
    rows, columns, n = a.shape[-2], a.shape[-1], tau.shape[-1]
    eye = torch.eye(rows, columns, dtype=a.dtype, device=a.device)
    vectors, product = torch.tril(a[..., :n], -1) + eye[:, :n], eye
    for i in reversed(range(n)):
        w = vectors[..., i : i + 1]
        product = product - tau[..., i : i + 1].unsqueeze(-1) * torch.matmul(w, torch.matmul(w.mH, product))
    return product
