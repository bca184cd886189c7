"""Rules of functions that choose between two: where, clamp, maximum. At a kink they take the side of PyTorch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import aligned, dims, padded, settled
from sobolev.autodiff.taylor.registry import rule
from sobolev.autodiff.taylor.sides import is_watched, leading_sign, note, one_sided


def select(inside: Tensor, x: Any, value: Tensor) -> Any:
    """X where `inside`, else a constant; `value` is the result."""
    result = settled(x.space, value, torch.where(inside, x.higher, 0))
    result.followed = x.followed
    return result


@rule("clamp", "clip")
def clamp(x: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    """X, not below min and not above max, which are numbers, tensors or jets."""
    if any(isinstance(bound, Jet) for bound in (min, max)) or not isinstance(x, Jet):
        for bound, within in ((min, torch.ge), (max, torch.le)):
            if bound is not None:
                values = value_of(x), value_of(bound)
                x = torch.where(within(*values) | torch.isnan(values[0]), x, bound)
        return x
    x = aligned(x, builtin_max(dims(x), dims(min), dims(max)))
    inside = torch.ones_like(x.value, dtype=torch.bool)
    if min is not None:
        inside = inside & (x.value >= min)
    if max is not None:
        inside = inside & (x.value <= max)
    return select(inside, x, torch.clamp(x.value, min, max))


@rule("clamp_min")
def clamp_min(x: Any, min: Any) -> Any:  # noqa: A002
    """X, not below min."""
    return clamp(x, min=min)


@rule("clamp_max")
def clamp_max(x: Any, max: Any) -> Any:  # noqa: A002
    """X, not above max."""
    return clamp(x, max=max)


@rule("maximum")
def maximum(a: Any, b: Any) -> Any:
    """The larger of two; where they are equal, half of the derivatives of each."""
    return _extreme(a, b, torch.gt, torch.maximum)


@rule("minimum")
def minimum(a: Any, b: Any) -> Any:
    """The smaller of two; where they are equal, half of the derivatives of each."""
    return _extreme(a, b, torch.lt, torch.minimum)


@rule("fmax")
def fmax(a: Any, b: Any) -> Any:
    """The larger of two, or the one that is a number; where they are equal, the first."""
    return where((value_of(a) >= value_of(b)) | torch.isnan(value_of(b)), a, b)


@rule("fmin")
def fmin(a: Any, b: Any) -> Any:
    """The smaller of two, or the one that is a number; where they are equal, the first."""
    return where((value_of(a) <= value_of(b)) | torch.isnan(value_of(b)), a, b)


@rule(torch.where)
def where(condition: Tensor, a: Any, b: Any) -> Any:
    """A where the condition holds, else b; what is not taken may be infinite or NaN."""
    if isinstance(condition, Jet):
        condition = condition.value != 0
    most = builtin_max(dims(condition), dims(a), dims(b))
    a, b = aligned(a, most), aligned(b, most)
    value = torch.where(condition, value_of(a), value_of(b))
    space = (a if isinstance(a, Jet) else b).space
    length = builtin_max(_length(a), _length(b))
    result = settled(space, value, torch.where(condition, _higher(a, length), _higher(b, length)))
    result.followed = all(jet.followed for jet in (a, b) if isinstance(jet, Jet))
    return result


@rule(Tensor.where)
def where_else(a: Any, condition: Tensor, b: Any) -> Any:
    """A where the condition holds, else b."""
    return where(condition, a, b)


@rule("masked_fill")
def masked_fill(x: Any, mask: Tensor, value: Any) -> Any:
    """A number where the mask holds, else x."""
    if not isinstance(x, Jet):
        return where(mask, value, x)
    result = where(mask, value.value if isinstance(value, Jet) else 0.0, x)
    filled = torch.masked_fill(x.value, mask, value_of(value))
    return where(mask, value, x) if isinstance(value, Jet) else Jet(x.space, filled, result.higher)


def builtin_max(*numbers: int) -> int:
    """`max`, which the signatures above hide."""
    return max(numbers)


def _extreme(a: Any, b: Any, beyond: Callable, function: Callable) -> Any:
    most = max(dims(a), dims(b))
    a, b = aligned(a, most), aligned(b, most)
    space = (a if isinstance(a, Jet) else b).space
    length = max(_length(a), _length(b))
    values, first, second = (value_of(a), value_of(b)), _higher(a, length), _higher(b, length)
    if one_sided():
        ahead = leading_sign(values[0] - values[1], first - second)
        return settled(space, function(*values), torch.where(beyond(ahead, 0 * ahead), first, second))
    if is_watched(space):
        note(torch.eq(*values) & (first != second).any(0), False)
    picked = torch.where(beyond(*values), first, second)
    return settled(space, function(*values), torch.where(torch.eq(*values), (first + second) / 2, picked))


def value_of(x: Any) -> Any:
    """The value of a jet; anything else itself."""
    return x.value if isinstance(x, Jet) else x


def _length(x: Any) -> int:
    return len(x.higher) if isinstance(x, Jet) else 0


def _higher(x: Any, length: int) -> Any:
    """Coefficients that broadcast like the value; a constant has none."""
    if not isinstance(x, Jet):
        return x.new_zeros(()) if isinstance(x, Tensor) and x.dtype.is_floating_point else 0.0
    return x.higher if len(x.higher) == length else padded(x, length)
