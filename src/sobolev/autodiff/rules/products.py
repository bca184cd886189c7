"""Rules of matrix products, of other products of vectors and matrices, and of einsum."""

from collections.abc import Sequence
from functools import reduce
from string import ascii_letters
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.kinds import aligned, bilinear, dims, settled
from sobolev.autodiff.rules.registry import NoRuleError, rule


@rule("matmul", "mm", "bmm", "mv", "dot", "inner", Tensor.__matmul__, torch.linalg.matmul)
def matmul(a: Any, b: Any) -> Jet:
    """The matrix product; vectors are rows on the left and columns on the right."""
    row, column = dims(a) == 1, dims(b) == 1
    a = a.unsqueeze(0) if row else a
    b = b.unsqueeze(-1) if column else b
    if isinstance(b, Jet) and b.value.dim() == 2:  # its rows are summed over
        b = Jet(b.space, b.value, b.full)
    most = max(dims(a), dims(b))
    product = bilinear(torch.matmul, aligned(a, most), aligned(b, most))
    product = settled(product.space, product.value, product.higher)
    product = product.squeeze(-1) if column else product
    return product.squeeze(-1 if column else -2) if row else product


@rule(Tensor.__rmatmul__)
def reflected_matmul(a: Any, b: Any) -> Jet:
    """B @ a."""
    return matmul(b, a)


@rule("addmm", "baddbmm", "addmv")
def addmm(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Jet:
    """Beta x + alpha a b."""
    product = torch.matmul(a, b)
    product = product if alpha == 1 else product * alpha
    return product if beta == 0 else product + (x if beta == 1 else x * beta)


@rule(torch.linalg.multi_dot, torch.chain_matmul)
def multi_dot(*matrices: Any) -> Jet:
    """The product of several matrices, from left to right."""
    return reduce(torch.matmul, matrices[0] if len(matrices) == 1 else matrices)


@rule("bilinear")
def bilinear_form(a: Any, b: Any, weight: Tensor, bias: Any = None) -> Jet:
    """A_i W_kij b_j + bias_k."""
    product = torch.einsum("...i,kij,...j->...k", a, weight, b)
    return product if bias is None else product + bias


@rule("outer", "ger")
def outer(a: Any, b: Any) -> Jet:
    """A_i b_j."""
    return a.unsqueeze(1) * b.unsqueeze(0)


@rule(torch.linalg.vecdot)
def vecdot(a: Any, b: Any, *, dim: int = -1) -> Jet:
    """The scalar products along an axis; of complex vectors, the first is conjugated."""
    return (torch.conj(a) * b).sum(dim)


@rule("cross", torch.linalg.cross)
def cross(a: Any, b: Any, dim: int | None = None) -> Jet:
    """The vector product along an axis of length 3, the last one unless another is named."""
    axis = -1 if dim is None else dim
    left = torch.roll(a, -1, axis) * torch.roll(b, -2, axis)
    return left - torch.roll(a, -2, axis) * torch.roll(b, -1, axis)


@rule("kron")
def kron(a: Any, b: Any) -> Jet:
    """The Kronecker product."""
    most = max(dims(a), dims(b))
    a, b = (x.reshape(*[1] * (most - dims(x)), *x.shape) for x in (a, b))
    shape = [m * n for m, n in zip(a.shape, b.shape, strict=True)]
    for axis in range(most):
        a, b = a.unsqueeze(2 * axis + 1), b.unsqueeze(2 * axis)
    return (a * b).reshape(shape)


@rule("tensordot")
def tensordot(a: Any, b: Any, dims: Any = 2) -> Jet:
    """Sums over several axes of both."""
    first, second = a.shape, b.shape
    if isinstance(dims, int):
        dims = list(range(len(first) - dims, len(first))), list(range(dims))
    names = list(ascii_letters[: len(first) + len(second)])
    left, right = names[: len(first)], names[len(first) :]
    for i, j in zip(*dims, strict=True):
        right[j] = left[i]
    kept = [name for name in left + right if (name in left) != (name in right)]
    return torch.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", a, b)


@rule("einsum")
def einsum(equation: str, *operands: Any) -> Any:
    """Sums of products over named axes; several operands are joined from left to right."""
    if not isinstance(equation, str):
        raise NoRuleError("Taylor mode has no rule for einsum in its format of sublists")
    operands = tuple(operands[0]) if len(operands) == 1 and isinstance(operands[0], Sequence) else operands
    inputs, output = _spelled_out(equation.replace(" ", ""), operands)
    joined, names = operands[0], inputs[0]
    for place, (operand, other) in enumerate(zip(operands[1:], inputs[1:], strict=True), start=2):
        last = place == len(operands)
        needed = set(output).union(*inputs[place:])
        kept = output if last else "".join(sorted(set(names + other) & needed))
        joined, names = _two(f"...{names},...{other}->...{kept}", joined, operand), kept
    if len(operands) == 1:
        form = f"...{names}->...{output}"
        return Jet(joined.space, torch.einsum(form, joined.value), torch.einsum(form, joined.full))
    return joined


@rule("addcmul")
def addcmul(x: Any, a: Any, b: Any, *, value: Any = 1) -> Jet:
    """X + value a b."""
    return x + value * a * b


@rule("addcdiv")
def addcdiv(x: Any, a: Any, b: Any, *, value: Any = 1) -> Jet:
    """X + value a / b."""
    return x + value * a / b


@rule("lerp")
def lerp(start: Any, end: Any, weight: Any) -> Jet:
    """Start + weight (end - start)."""
    return start + weight * (end - start)


def _two(form: str, a: Any, b: Any) -> Any:
    if not isinstance(a, Jet) and not isinstance(b, Jet):
        return torch.einsum(form, a, b)
    a, b = (Jet(x.space, x.value, x.full) if isinstance(x, Jet) else x for x in (a, b))
    return bilinear(lambda u, v: torch.einsum(form, u, v), a, b)


def _spelled_out(equation: str, operands: Sequence[Any]) -> tuple[list[str], str]:
    """The names of the axes of each operand and of the result, an ellipsis replaced by unused letters."""
    left, arrow, right = equation.partition("->")
    inputs = left.split(",")
    unused = [letter for letter in ascii_letters if letter not in equation]
    lengths = [dims(x) - len(names.replace("...", "")) for x, names in zip(operands, inputs, strict=True)]
    longest = "".join(unused[: max([n for n, names in zip(lengths, inputs, strict=True) if "..." in names], default=0)])
    if not arrow:
        names = left.replace("...", "").replace(",", "")
        right = "..." + "".join(sorted(name for name in set(names) if names.count(name) == 1))
    spelled = [names.replace("...", longest[len(longest) - n :]) for n, names in zip(lengths, inputs, strict=True)]
    return spelled, right.replace("...", longest)


