"""Rules of matrix decompositions: eigenvalues, singular values, QR, pseudo-inverse, and the matrix exponential.

As in `linalg`, the matrix is A_0 + H with a nilpotent H, PyTorch decomposes A_0, and an iteration that doubles the
number of right degrees does the rest: for eigenvectors that of Ogita & Aishima (2018). Where two eigenvalues or
singular values are equal, what depends on them has no derivative and comes out as NaN.
"""

# A jet stands where torch's annotations say Tensor:
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.kinds import padded
from sobolev.autodiff.rules.linalg import constant, identity, inverse, steps, without_value
from sobolev.autodiff.rules.registry import NoRuleError, rule


class Eigen(NamedTuple):
    """What `torch.linalg.eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


class Singular(NamedTuple):
    """What `torch.linalg.svd` returns."""

    U: Any
    S: Any
    Vh: Any


class Factors(NamedTuple):
    """What `torch.linalg.qr` returns."""

    Q: Any
    R: Any


@rule(torch.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Eigen:
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix."""
    _refuse_complex(a, "eigh")
    values, vectors = torch.linalg.eigh(a.value, UPLO)
    a = (a + a.mT) / 2
    q = constant(a, vectors)
    first = torch.matmul(q.mT, torch.matmul(a, q)).diagonal(0, -2, -1).full
    for _ in range(steps(a)):
        q = _turned(q, torch.matmul(q.mT, torch.matmul(a, q)), values)
    higher = (q * torch.matmul(a, q)).sum(-2).full
    d = a.space.directions  # the first degree needs no eigenvector's derivative, so equal eigenvalues do no harm
    return Eigen(Jet(a.space, values, torch.cat([first[:d], higher[d:]])), q)


@rule(torch.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues of a symmetric matrix, ascending."""
    return eigh(a, UPLO).eigenvalues


@rule(torch.linalg.svd)
def svd(a: Any, full_matrices: bool = True, *, driver: str | None = None) -> Singular:
    """A = U diag(S) Vh."""
    _refuse_complex(a, "svd")
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


@rule(torch.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Factors:
    """A = Q R: with M = A R_0⁻¹, whose value is orthogonal, Mᵀ M = Cᵀ C gives R = C R_0 and Q = M C⁻¹."""
    _refuse_complex(a, "qr")
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


@rule("matrix_exp", torch.linalg.matrix_exp)
def matrix_exp(a: Any) -> Any:
    """The exponential: its coefficients stand in those of matrices of blocks (Mathias 1996)."""
    blocks, space = a.value, a.space
    if space.order > 2:
        row = [blocks, *padded(a, space.order).unbind(0)]
        top = _first_row([[torch.zeros_like(blocks)] * i + row[: len(row) - i] for i in range(len(row))])
        return Jet(space, top[0], torch.stack(top[1:]))
    nothing = torch.zeros_like(blocks)
    linear = padded(a, sum(space.sizes))
    higher = _first_row([[blocks, linear], [nothing, blocks]])[1]
    if space.order == 2:

        def twice(v: Tensor, w: Tensor) -> Tensor:
            return _first_row([[blocks, v, nothing], [nothing, blocks, w], [nothing, nothing, blocks]])[2]

        first = linear[: space.directions]
        second = space.second_degree(twice, first, first)
        higher = torch.cat([higher[: space.directions], higher[space.directions :] + second])
    return Jet(space, torch.linalg.matrix_exp(blocks), higher)


def _factors(a: Any, left: Tensor, values: Tensor, right: Tensor) -> tuple[Any, Any, Any]:
    """U, S and V of a matrix that has no more columns than rows, from those of its value."""
    v, stretched = constant(a, right), left * values.unsqueeze(-2)
    for _ in range(steps(a)):
        w = Jet(a.space, stretched, torch.matmul(a, v).higher)
        v = _turned(v, torch.matmul(w.mT, w), values.square())
    w = Jet(a.space, stretched, torch.matmul(a, v).higher)
    s = Jet(a.space, values, torch.linalg.vector_norm(w, dim=-2).full)
    return Jet(a.space, left, (w / s.unsqueeze(-2)).higher), s, v


def _turned(q: Any, s: Any, values: Tensor) -> Any:
    """Nearer to the eigenvectors of a matrix, given s = qᵀ A q."""
    s = Jet(s.space, torch.diag_embed(values), s.higher)
    off = -without_value(torch.matmul(q.mT, q))  # from orthonormal
    estimate = s.diagonal(0, -2, -1) / (1 - off.diagonal(0, -2, -1))
    one = identity(s)
    gaps = estimate.unsqueeze(-2) - estimate.unsqueeze(-1) + one
    turn = torch.where(one > 0, off / 2, (s + estimate.unsqueeze(-2) * off) / gaps)
    return Jet(q.space, q.value, (q + torch.matmul(q, without_value(turn))).higher)


def _first_row(blocks: list[list[Tensor]]) -> tuple[Tensor, ...]:
    """The first row of blocks of the exponential."""
    shape = torch.broadcast_shapes(*(block.shape for row in blocks for block in row))
    whole = torch.cat([torch.cat([block.expand(shape) for block in row], -1) for row in blocks], -2)
    n = shape[-1]
    return torch.linalg.matrix_exp(whole)[..., :n, :].split(n, -1)


def _refuse_complex(a: Any, name: str) -> None:
    if a.value.is_complex():
        raise NoRuleError(f"Taylor mode has no rule for {name} of a complex matrix")
