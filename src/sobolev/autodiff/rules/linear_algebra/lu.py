"""Rules of LU factors, A = P L U, and of systems solved by them. What rows are exchanged is locally constant."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.rules.linear_algebra.nilpotent import identity, without_value
from sobolev.autodiff.rules.shape.stacking import cat
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import constant
from sobolev.autodiff.taylor.registry import rule


class Unpacked(NamedTuple):
    """What `torch.linalg.lu` returns."""

    P: Tensor
    L: Any
    U: Any


class Packed(NamedTuple):
    """What `torch.linalg.lu_factor` returns."""

    LU: Any
    pivots: Tensor


class PackedAndInfo(NamedTuple):
    """What `torch.linalg.lu_factor_ex` returns."""

    LU: Any
    pivots: Tensor
    info: Tensor


@rule(torch.linalg.lu)
def lu(a: Any, *, pivot: bool = True) -> Unpacked:
    """The factors of the leading square block, then the rest of L or U by solving with them."""
    p, l_start, u_start = torch.linalg.lu(a.value, pivot=pivot)
    b: Any = torch.matmul(p.mT, a) if pivot else a
    k = min(a.value.shape[-2:])
    lower, upper = _of_a_square(b[..., :k, :k], l_start[..., :k, :], u_start[..., :k])
    if b.shape[-2] > k:
        below = torch.linalg.solve_triangular(upper, b[..., k:, :], upper=True, left=False)
        lower = cat([lower, below], -2)
    if b.shape[-1] > k:
        beside = torch.linalg.solve_triangular(lower, b[..., k:], upper=False, unitriangular=True)
        upper = cat([upper, beside], -1)
    return Unpacked(p, Jet(a.space, l_start, lower.full), Jet(a.space, u_start, upper.full))


@rule(torch.linalg.lu_factor_ex)
def lu_factor_ex(a: Any, *, pivot: bool = True, check_errors: bool = False) -> PackedAndInfo:
    """L below the diagonal and U from it on, in one matrix."""
    packed, pivots, info = torch.linalg.lu_factor_ex(a.value, pivot=pivot, check_errors=check_errors)
    _, lower, upper = lu(a, pivot=pivot)
    rows, columns = packed.shape[-2:]
    below = functional.pad(torch.tril(lower, -1), (0, max(0, columns - rows)))
    joined: Any = below + functional.pad(upper, (0, 0, 0, max(0, rows - columns)))
    return PackedAndInfo(Jet(a.space, packed, joined.full), pivots, info)


@rule(torch.linalg.lu_factor)
def lu_factor(a: Any, *, pivot: bool = True) -> Packed:
    """The same, without the information whether there are factors."""
    return Packed(*lu_factor_ex(a, pivot=pivot, check_errors=True)[:2])


@rule("lu")
def old_lu(a: Any, pivot: bool = True, get_infos: bool = False) -> tuple[Any, ...]:
    """The same, under its old name."""
    return lu_factor_ex(a, pivot=pivot)[: 3 if get_infos else 2]


@rule("lu_unpack")
def lu_unpack(packed: Any, pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> Unpacked:
    """The factors of a packed matrix."""
    p, _, _ = torch.lu_unpack(packed.value, pivots, False, unpack_pivots)
    if not unpack_data:
        return Unpacked(p, packed.value.new_empty(0), packed.value.new_empty(0))
    k = min(packed.shape[-2:])
    return Unpacked(p, _lower(packed[..., :k]), torch.triu(packed[..., :k, :]))


@rule(torch.linalg.lu_solve)
def lu_solve(packed: Any, pivots: Tensor, b: Any, *, left: bool = True, adjoint: bool = False) -> Any:
    """The solution of A X = B, or of X A = B, or with the adjoint of A."""
    if not left:
        return lu_solve(packed, pivots, b.mH, adjoint=not adjoint).mH
    value = packed.value if isinstance(packed, Jet) else packed
    p, _, _ = torch.lu_unpack(value, pivots, unpack_data=False)
    solve: Any = torch.linalg.solve_triangular
    if adjoint:
        halfway = solve(packed.mH.tril(), b, upper=False)
        return torch.matmul(p, solve(packed.mH, halfway, upper=True, unitriangular=True))
    halfway = solve(packed, torch.matmul(p.mT, b), upper=False, unitriangular=True)
    return solve(packed.triu(), halfway, upper=True)


@rule("lu_solve")
def old_lu_solve(b: Any, packed: Any, pivots: Tensor) -> Any:
    """The same, under its old name."""
    return lu_solve(packed, pivots, b)


def _of_a_square(a: Any, lower: Tensor, upper: Tensor) -> tuple[Any, Any]:
    """L and U, given those of the value: the factors 1 + l and 1 + u of L_0⁻¹ A U_0⁻¹, degree by degree."""
    middle = torch.linalg.solve_triangular(lower, a, upper=False, unitriangular=True)
    middle = without_value(torch.linalg.solve_triangular(upper, middle, upper=True, left=False))
    small_l = small_u = constant(a, torch.zeros_like(a.value))
    for _ in range(a.space.order):
        rest = middle - torch.matmul(small_l, small_u)
        small_l, small_u = torch.tril(rest, -1), torch.triu(rest)
    one = identity(a)
    return torch.matmul(lower, one + small_l), torch.matmul(one + small_u, upper)


def _lower(packed: Any) -> Any:
    rows, columns = packed.shape[-2:]
    return torch.tril(packed, -1) + torch.eye(rows, columns, dtype=packed.dtype, device=packed.device)
