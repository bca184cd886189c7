"""Rules of matrix products: linear layers, matmul and its relatives, einsum."""

import string
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import aligned, dims, mapped
from sobolev.autodiff.taylor.propagation import bilinear, in_rows, rows
from sobolev.autodiff.taylor.registry import NoRuleError, rule
from sobolev.autodiff.torch_export import recording


@rule(functional.linear)
def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """The product x Wᵀ + b: the bias reaches the value only."""
    if not isinstance(x, Jet) or isinstance(weight, Jet) or isinstance(bias, Jet):
        factors: Any = x, weight.mT
        product: Any = torch.matmul(*factors)
        return product if bias is None else product + bias
    if weight.dtype != x.value.dtype:
        weight, bias = widened(weight, x), widened(bias, x)
    rows_first = x.rows_first and x.value.dim() > 1
    if torch.compiler.is_compiling() and x.space.directions == 1 and len(x.higher):
        return _row_by_row(x, weight, bias, rows_first)
    higher = x.higher if x.value.dim() > 1 else x.full
    return mapped(x, functional.linear(x.value, weight, bias), functional.linear(higher, weight), rows_first)


def _row_by_row(x: Jet, weight: Tensor, bias: Tensor | None, rows_first: bool) -> Jet:
    """For the compiler: one product for each coefficient, and none where a sum can be fused into what is around it."""
    if recording():  # whoever runs it fuses the bias, and nothing else
        value = functional.linear(x.value, weight, bias)
        return in_rows(x.space, value, [functional.linear(row, weight) for row in rows(x)], rows_first)
    if weight.shape[1] == 1:
        multiply = lambda row: row * weight[:, 0]  # noqa: E731
    elif weight.shape[0] == 1 and x.space.order < 3:  # more sums would not fit into one loop
        multiply = lambda row: (row * weight[0]).sum(-1, keepdim=True)  # noqa: E731
    else:
        multiply = lambda row: functional.linear(row, weight)  # noqa: E731
    value = multiply(x.value)
    if bias is not None:
        value = value - -bias  # with +, product and bias would be one call of BLAS, into which nothing is fused
    return in_rows(x.space, value, [multiply(row) for row in rows(x)], rows_first)


@rule("matmul", "mm", "bmm", "mv", "dot", torch.linalg.matmul)
def matmul(a: Any, b: Any) -> Any:
    """Matrix product with the broadcasting of `torch.matmul`; vectors become matrices for the time being."""
    if isinstance(a, Jet) and isinstance(b, Tensor) and b.dim() == 2 and dims(a) > 1:
        return linear(a, b.mT)
    row, column = dims(a) == 1, dims(b) == 1
    a = a.unsqueeze(0) if row else a
    b = b.unsqueeze(1) if column else b
    most = max(dims(a), dims(b))
    a, b = (_spelled_out(aligned(factor, most)) for factor in (a, b))
    a, b = widened(a, b), widened(b, a)
    product = bilinear(torch.matmul, a, b)
    product = mapped(product, product.value, product.full)
    product = product.squeeze(-1) if column else product
    return product.squeeze(-1 if column else -2) if row else product


@rule(Tensor.matmul)
def matmul_method(a: Any, b: Any) -> Any:
    """The same. But from `x @ W` as from `W @ x`, dynamo makes this call with the tensor first."""
    if torch.compiler.is_compiling() and not isinstance(a, Jet):
        raise NoRuleError("torch.compile does not tell x @ W from W @ x in Taylor mode: write torch.matmul(x, W)")
    return matmul(a, b)


@rule("addmm", "baddbmm", "addmv")
def addmm(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """The sum beta x + alpha a b."""
    return weighted_sum(x, torch.matmul(a, b), beta, alpha)


@rule("addr")
def addr(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Beta x + alpha a bᵀ."""
    return weighted_sum(x, outer(a, b), beta, alpha)


def weighted_sum(x: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """Beta x + alpha product; where beta is 0, x may hold anything."""
    product = product if alpha == 1 else alpha * product
    return product if beta == 0 else product + (x if beta == 1 else beta * x)


@rule(functional.bilinear)
def bilinear_layer(a: Any, b: Any, weight: Any, bias: Any = None) -> Any:
    """The form aᵀ W b for every output."""
    product = torch.einsum("...i,oij,...j->...o", a, weight, b)
    return product if bias is None else product + bias


@rule("outer", "ger")
def outer(a: Any, b: Any) -> Any:
    """All products of two vectors."""
    return a.unsqueeze(1) * b.unsqueeze(0)


@rule("einsum", torch.functional.einsum)
def einsum(equation: str, *operands: Any) -> Any:
    """Einstein summation, two operands at a time."""
    items = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else list(operands)
    inputs, output = _parsed(equation)
    while len(items) > 2:
        kept = "".join(inputs[2:]) + output
        joined = _joined(inputs[0], inputs[1], kept)
        items = [_contract(inputs[:2], joined, items[:2]), *items[2:]]  # dynamo assigns to no part of a list
        inputs = [joined, *inputs[2:]]
    return _contract(inputs, output, items)


def widened(x: Any, jet: Any) -> Any:
    """Weights of half precision, in the precision of the jet that they multiply."""
    half = isinstance(x, Tensor) and isinstance(jet, Jet) and x.dtype in (torch.float16, torch.bfloat16)
    return x.to(jet.value.dtype) if half else x


def _contract(inputs: list[str], output: str, operands: list[Any]) -> Any:
    """One or two operands."""
    if not any(isinstance(operand, Jet) for operand in operands):
        return torch.einsum(f"{','.join(inputs)}->{output}", *operands)
    lead = next(letter for letter in string.ascii_letters if letter not in "".join(inputs))
    sizes = [dims(operand) for operand in operands]

    def multiply(*factors: Tensor) -> Tensor:
        stacked = [factor.dim() > size for factor, size in zip(factors, sizes, strict=True)]
        terms = [lead * more + term for more, term in zip(stacked, inputs, strict=True)]
        return torch.einsum(f"{','.join(terms)}->{lead * any(stacked)}{output}", *factors)

    spelled = [_spelled_out(operand) for operand in operands]
    if len(spelled) == 2:
        spelled = [widened(spelled[0], spelled[1]), widened(spelled[1], spelled[0])]
    if len(operands) == 1:
        return mapped(spelled[0], multiply(spelled[0].value), multiply(spelled[0].higher))
    return bilinear(multiply, *spelled)


def _parsed(equation: str) -> tuple[list[str], str]:
    """The indices of each operand and of the result, which may be left out."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if not arrow:
        letters = [letter for letter in left if letter.isalpha()]
        output = "..." * ("..." in left) + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    return inputs, output


def _joined(first: str, second: str, kept: str) -> str:
    letters = dict.fromkeys(c for c in first + second if c.isalpha() and c in kept)
    return "..." * ("..." in first + second) + "".join(letters)


def _spelled_out(x: Any) -> Any:
    """With every row present: a product may sum over the rows' axis."""
    return mapped(x, x.value, x.full, x.rows_first) if isinstance(x, Jet) else x
