"""Rules of +, -, * and /, between jets, tensors and numbers."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import aligned, dims, mapped, padded_sum, settled
from sobolev.autodiff.taylor.propagation import bilinear, compose
from sobolev.autodiff.taylor.registry import rule


@rule("add")
def add(a: Any, b: Any, *, alpha: Any = 1) -> Jet:
    """A + alpha b."""
    if alpha != 1:
        b = mul(b, alpha) if isinstance(b, Jet) else b * alpha
    a, b = broadcastable(a, b)
    if isinstance(a, Jet) and isinstance(b, Jet):
        return _tracked(settled(a.space, a.value + b.value, padded_sum(a.higher, b.higher)), a, b)
    jet, other = (a, b) if isinstance(a, Jet) else (b, a)
    return _tracked(settled(jet.space, jet.value + other, jet.higher), jet)


@rule("sub", "subtract")
def sub(a: Any, b: Any, *, alpha: Any = 1) -> Jet:
    """A - alpha b."""
    return add(a, b, alpha=-alpha)


@rule("rsub", Tensor.__rsub__)
def rsub(a: Any, b: Any, *, alpha: Any = 1) -> Jet:
    """B - alpha a."""
    return add(b, a, alpha=-alpha)


@rule("mul", "multiply")
def mul(a: Any, b: Any) -> Jet:
    """The truncated product."""
    if a is b and _is_norm(a):
        return mapped(a.squared, a.value * a.value, a.squared.higher)
    for norm, factor in ((a, b), (b, a)):
        if _is_norm(norm) and not isinstance(factor, Jet):
            return _scaled_norm(norm, factor, mul)
    a, b = broadcastable(a, b)
    if isinstance(a, Jet) and isinstance(b, Jet) and a.space.tape is not None:
        return _taped_product(a, b)
    product = bilinear(operator.mul, a, b)
    return _tracked(settled(product.space, product.value, product.higher), a, b)


def _scaled_norm(norm: Jet, factor: Any, scale: Callable[[Any, Any], Any]) -> Jet:
    """A norm times or through a constant: its square is known as well, and no gradient meets a NaN of its own."""
    squared, undefined = norm.squared, norm.full.isnan()
    product = scale(Jet(norm.space, norm.value, norm.full.masked_fill(undefined, 0)), factor)
    if product.value.shape == norm.value.shape:
        product.squared = scale(scale(squared, factor), factor)
        product.higher = product.higher.masked_fill(undefined, torch.nan)
        return product
    return scale(Jet(norm.space, norm.value, norm.higher), factor)


def _is_norm(x: Any) -> bool:
    return isinstance(x, Jet) and x.squared is not None


@rule("div", "divide", "true_divide", Tensor.__truediv__)
def div(a: Any, b: Any, *, rounding_mode: str | None = None) -> Any:
    """A / b; the value is the quotient itself, rounded once."""
    if rounding_mode is not None:  # locally constant
        return torch.div(*(x.value if isinstance(x, Jet) else x for x in (a, b)), rounding_mode=rounding_mode)
    if _is_norm(a) and not isinstance(b, Jet):
        return _scaled_norm(a, b, div)
    a, b = broadcastable(a, b)
    if isinstance(b, Jet):
        return mul(reciprocal(b), a) if b.space.tape else _tracked(_quotient(a, b), a, b)
    return _tracked(settled(a.space, a.value / b, a.higher / b), a)


@rule("reciprocal")
def reciprocal(x: Jet) -> Jet:
    """1 / x."""
    if x.space.order > 2 and len(x.higher) > 1:
        return div(1.0, x)
    inverse = x.value.reciprocal()
    coefficients = [inverse]
    for _ in range(x.space.order):
        coefficients.append(-coefficients[-1] * inverse)
    return compose(x, coefficients)


@rule(Tensor.__rdiv__, Tensor.__rtruediv__)
def rdiv(a: Jet, b: Any) -> Jet:
    """B / a."""
    return div(b, a)


@rule("neg", "negative")
def neg(x: Jet) -> Jet:
    """-x."""
    opposite = mapped(x, -x.value, -x.higher, x.rows_first)
    opposite.squared = x.squared
    return opposite


@rule("positive", Tensor.__pos__)
def positive(x: Jet) -> Jet:
    """+x."""
    return x


def broadcastable(a: Any, b: Any) -> tuple[Any, Any]:
    """Both with as many axes, so that their coefficients broadcast like their values."""
    if isinstance(a, Jet) and not isinstance(b, (Jet, Tensor)):
        return a, b
    most = max(dims(a), dims(b))
    return aligned(a, most), aligned(b, most)


def _tracked(result: Jet, *operands: Any) -> Jet:
    """Whether the first axis is still the batch: it is where no operand was broadcast along it."""
    jets = [operand for operand in operands if isinstance(operand, Jet)]
    result.rows_first = all(jet.rows_first and jet.value.dim() == result.value.dim() for jet in jets)
    result.followed = all(jet.followed for jet in jets)
    return result


def _quotient(a: Any, b: Jet) -> Jet:
    """Q = A / B: b_0 q_k = a_k - Σ q_(k - j) b_j; nothing is multiplied that could overflow before it is divided."""
    value = (a.value if isinstance(a, Jet) else a) / b.value
    space, length = b.space, sum(b.space.sizes)
    ratio = b.full / b.value
    rest = -value * ratio
    if isinstance(a, Jet):
        rest = padded_sum(a.full / b.value, rest)
    d = space.directions
    if space.order > 2:
        q = []
        for k in range(space.order):
            terms = [q[k - 1 - j] * ratio[j] for j in range(min(k, len(ratio)))]
            q.append(sum((-term for term in terms), rest[k] if k < len(rest) else torch.zeros_like(value)))
        rest = torch.stack(q)
    elif space.order == 2 and len(ratio):
        rest = padded_sum(rest, rest.new_zeros(0, *rest.shape[1:]), length)
        rest = torch.cat([rest[:d], rest[d:] - space.second_degree(operator.mul, rest[:d], ratio[:d])])
    return settled(space, value, rest)


def _taped_product(a: Jet, b: Jet) -> Jet:
    tape: Any = a.space.tape
    value = a.value * b.value
    first = padded_sum(a.value * b.higher, a.higher * b.value)
    product = _tracked(settled(a.space, value, first), a, b)
    factors = (jet.higher.expand(-1, *value.shape) for jet in (a, b))
    return tape.enter(product, *factors)
