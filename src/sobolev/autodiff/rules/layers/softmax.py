"""Rules of softmax and its relatives.

Softmax does not change when the same number is taken off all entries. Here it is the largest entry, its derivatives
included: what the largest entry contributes is then exactly 1, and sums hold only differences of derivatives. So
the coefficients keep their digits where one entry dwarfs the others, and the largest derivatives cancel.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from sobolev.autodiff.rules.shape.axes import axes_of
from sobolev.autodiff.rules.shape.views import clone
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped, revalued
from sobolev.autodiff.taylor.registry import NoRuleError, rule


@rule("softmax", torch.special.softmax)
def softmax(x: Any, dim: int | None = None, _stacklevel: Any = 3, dtype: torch.dtype | None = None) -> Any:
    """exp(x_i) / Σ exp(x_j)."""
    x, axis = _prepared(x, dim, dtype, _stacklevel)
    exponentials, total, _ = _sum_of_exponentials(x, (axis,))
    result = exponentials / total
    return revalued(result, torch.softmax(x.value, axis))


@rule("log_softmax", torch.special.log_softmax)
def log_softmax(x: Any, dim: int | None = None, _stacklevel: Any = 3, dtype: torch.dtype | None = None) -> Any:
    """x_i - log Σ exp(x_j)."""
    x, axis = _prepared(x, dim, dtype, _stacklevel)
    _, total, largest = _sum_of_exponentials(x, (axis,))
    result = x - largest - torch.log(total)
    return revalued(result, torch.log_softmax(x.value, axis))


@rule(functional.softmin)
def softmin(x: Any, dim: int | None = None, _stacklevel: Any = 3, dtype: torch.dtype | None = None) -> Any:
    """Softmax of -x."""
    return softmax(-x, dim, _stacklevel, dtype)


@rule("logsumexp", torch.special.logsumexp)
def logsumexp(x: Any, dim: int | Sequence[int], keepdim: bool = False) -> Any:
    """Log Σ exp(x_j)."""
    _refuse_complex(x, "logsumexp")
    axes = axes_of(x, dim)
    if not axes:
        return clone(x)
    value = torch.logsumexp(x.value, axes, keepdim)
    if len(axes) > 1:
        kept = [axis for axis in range(x.value.dim()) if axis not in axes]
        result = logsumexp(x.permute(*kept, *axes).flatten(len(kept)), -1)
        return revalued(result.reshape(value.shape), value)
    _, total, largest = _sum_of_exponentials(x, axes)
    result = largest + torch.log(total)
    return revalued(result if keepdim else result.squeeze(axes), value)


@rule("logaddexp")
def logaddexp(a: Any, b: Any) -> Any:
    """log(exp(a) + exp(b))."""
    for part in (a, b):
        _refuse_complex(part, "logaddexp")
    a_larger, gap = torch.ge(a, b), _difference(a, b)
    result: Any = torch.where(a_larger, a, b) + functional.softplus(torch.where(a_larger, -gap, gap))
    value = torch.logaddexp(*(part.value if isinstance(part, Jet) else part for part in (a, b)))
    return revalued(result, value)


def _prepared(x: Any, dim: int | None, dtype: torch.dtype | None, third: Any) -> Any:
    if isinstance(third, torch.dtype):  # torch.softmax(x, dim, dtype)
        dtype = third
    if dim is None:  # PyTorch's deprecated choice
        dim = 0 if x.value.dim() in (0, 1, 3) else 1
    return x if dtype is None else x.to(dtype), dim % max(x.value.dim(), 1)


def _sum_of_exponentials(x: Any, axes: tuple[int, ...]) -> Any:
    """exp(x_i - max), their sum, and the maximum."""
    (axis,) = axes
    if not x.value.dim():
        return torch.exp(x - x), torch.exp(x - x), x
    if not x.value.numel():
        return x, x.sum(axis, keepdim=True), x.sum(axis, keepdim=True)
    largest = torch.gather(x, axis, x.value.argmax(axis, keepdim=True))
    exponentials = torch.exp(_difference(x, largest))
    return exponentials, exponentials.sum(axis, keepdim=True), largest


def _difference(a: Any, b: Any) -> Any:
    """A - b, which is 0 also where both are the same infinity: nothing but log 0, say, adds up to log 0."""
    first, second = (item.value if isinstance(item, Jet) else item for item in (a, b))
    gap: Any = a - b
    return mapped(gap, torch.where((first == second) & torch.isinf(first), 0.0, gap.value), gap.higher)


def _refuse_complex(x: Any, name: str) -> None:
    if x.is_complex():
        raise NoRuleError(f"Taylor mode has no rule for {name} of complex numbers")
