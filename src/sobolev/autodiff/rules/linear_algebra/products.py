"""Rules of products of vectors and matrices that are made of matrix and elementwise products."""

from functools import reduce
from string import ascii_letters
from typing import Any

import torch

from sobolev.autodiff.rules.linear_algebra.matmul import weighted_sum
from sobolev.autodiff.taylor.matching import dims as axes_number
from sobolev.autodiff.taylor.registry import rule


@rule(torch.linalg.multi_dot, torch.chain_matmul)
def multi_dot(*matrices: Any) -> Any:
    """The product of several matrices, from left to right."""
    return reduce(torch.matmul, matrices[0] if len(matrices) == 1 else matrices)


@rule(torch.linalg.vecdot)
def vecdot(a: Any, b: Any, *, dim: int = -1) -> Any:
    """The scalar products along an axis; of complex vectors, the first is conjugated."""
    return (torch.conj(a) * b).sum(dim)


@rule("vdot")
def vdot(a: Any, b: Any) -> Any:
    """The scalar product of two vectors, the first one conjugated."""
    return (torch.conj(a) * b).sum()


@rule("inner")
def inner(a: Any, b: Any) -> Any:
    """Sums of products along the last axes."""
    return torch.tensordot(a, b, ([-1], [-1]))  # pyright: ignore[reportArgumentType]


@rule("addbmm")
def addbmm(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Beta x + alpha Σ a_i b_i."""
    return weighted_sum(x, torch.matmul(a, b).sum(0), beta, alpha)


@rule("cross")
def cross(a: Any, b: Any, dim: int | None = None) -> Any:
    """The vector product along an axis, the first one of length 3 unless another is named."""
    return linalg_cross(a, b, dim=a.shape.index(3) if dim is None else dim)


@rule(torch.linalg.cross)
def linalg_cross(a: Any, b: Any, *, dim: int = -1) -> Any:
    """The vector product along an axis of length 3."""
    left = torch.roll(a, -1, dim) * torch.roll(b, -2, dim)
    return left - torch.roll(a, -2, dim) * torch.roll(b, -1, dim)


@rule("kron")
def kron(a: Any, b: Any) -> Any:
    """The Kronecker product."""
    most = max(axes_number(a), axes_number(b))
    a, b = (x.reshape(*[1] * (most - axes_number(x)), *x.shape) for x in (a, b))
    shape = [m * n for m, n in zip(a.shape, b.shape, strict=True)]
    for axis in range(most):
        a, b = a.unsqueeze(2 * axis + 1), b.unsqueeze(2 * axis)
    return (a * b).reshape(shape)


@rule("tensordot")
def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Sums over several axes of both."""
    first, second = a.shape, b.shape
    if isinstance(dims, int):
        dims = range(-dims, 0), range(dims)
    names = list(ascii_letters[: len(first) + len(second)])
    left, right = names[: len(first)], names[len(first) :]
    for i, j in zip(*dims, strict=True):
        right[j] = left[i]
    kept = [name for name in left + right if (name in left) != (name in right)]
    return torch.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", a, b)


@rule("addcmul")
def addcmul(x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    """X + value a b."""
    return x + value * a * b


@rule("addcdiv")
def addcdiv(x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    """X + value a / b."""
    return x + value * a / b


@rule("lerp")
def lerp(start: Any, end: Any, weight: Any) -> Any:
    """Start + weight (end - start)."""
    return start + weight * (end - start)
