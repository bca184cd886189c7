"""Rules of orthogonal factors: QR."""

# A jet stands where torch's annotations say Tensor:
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from typing import Any, NamedTuple

import torch

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.eigenvalues import refuse_complex
from sobolev.autodiff.rules.nilpotent import identity, without_value
from sobolev.autodiff.rules.registry import NoRuleError, rule


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
    m = Jet(a.space, start, m.higher)
    squares = torch.matmul(m.mT, m)
    c = torch.linalg.cholesky(without_value(squares) + identity(squares), upper=True)
    q = torch.linalg.solve_triangular(c, m, upper=True, left=False)
    r = Jet(a.space, triangle, torch.matmul(c, triangle).higher)
    return Factors(a.value.new_empty(0) if mode == "r" else Jet(a.space, start, q.higher), r)
