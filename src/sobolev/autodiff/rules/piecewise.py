"""Rules of functions that are put together from pieces. At a kink they take the side that PyTorch takes."""

# A jet stands where torch's annotations say Tensor:
# pyright: reportArgumentType=false

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.kinds import aligned, compose, dims, padded, settled
from sobolev.autodiff.rules.memory import overwrite
from sobolev.autodiff.rules.registry import rule

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def select(inside: Tensor, x: Any, value: Tensor) -> Any:
    """X where `inside`, else a constant; `value` is the result."""
    return settled(x.space, value, torch.where(inside, x.higher, 0))


@rule("relu")
def relu(x: Any, inplace: bool = False) -> Any:
    """max(x, 0)."""
    return overwrite(x, select(x.value > 0, x, torch.relu(x.value)), inplace)


@rule(functional.relu6)
def relu6(x: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6)."""
    return hardtanh(x, 0.0, 6.0, inplace)


@rule(functional.hardtanh)
def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """X between two bounds, else the nearer one."""
    inside = (x.value > min_val) & (x.value < max_val)
    return overwrite(x, select(inside, x, x.value.clamp(min_val, max_val)), inplace)


@rule(functional.threshold)
def threshold(x: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """X above the threshold, else the value."""
    result = select(x.value > threshold, x, functional.threshold(x.value, threshold, value))
    return overwrite(x, result, inplace)


@rule(functional.leaky_relu)
def leaky_relu(x: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """X above 0, else a fraction of it."""
    steepness = torch.ones_like(x.value).masked_fill(x.value <= 0, negative_slope)
    result = Jet(x.space, functional.leaky_relu(x.value, negative_slope), steepness * x.higher)
    return overwrite(x, result, inplace)


@rule("rrelu")
def rrelu(x: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Any:
    """Leaky ReLU of the mean steepness, or while training of one that is drawn for each element."""
    if not training:
        return leaky_relu(x, (lower + upper) / 2, inplace)
    drawn = torch.empty_like(x.value).uniform_(lower, upper)
    steepness = torch.where(x.value > 0, torch.ones_like(drawn), drawn)
    return overwrite(x, Jet(x.space, steepness * x.value, steepness * x.higher), inplace)


@rule("prelu")
def prelu(x: Any, weight: Tensor) -> Any:
    """Leaky ReLU of a learnt steepness, one for all or one for each channel (axis 1)."""
    if weight.numel() > 1:
        weight = weight.reshape(-1, *[1] * (x.value.dim() - 2))
    steepness = torch.where(x.value > 0, 1.0, weight)
    return Jet(x.space, steepness * x.value, steepness * x.higher)


@rule("hardshrink")
def hardshrink(x: Any, lambd: float = 0.5) -> Any:
    """0 up to lambd on either side of 0, else x."""
    return select(x.value.abs() > lambd, x, torch.hardshrink(x.value, lambd))


@rule(functional.softshrink)
def softshrink(x: Any, lambd: float = 0.5) -> Any:
    """0 up to lambd on either side of 0, else x drawn nearer to 0 by lambd."""
    return select(x.value.abs() > lambd, x, functional.softshrink(x.value, lambd))


@rule(functional.hardsigmoid)
def hardsigmoid(x: Any, inplace: bool = False) -> Any:
    """x/6 + 1/2 between 0 and 1."""
    result = select(x.value.abs() < 3, x, functional.hardsigmoid(x.value))
    return overwrite(x, Jet(x.space, result.value, result.higher / 6), inplace)


@rule(functional.hardswish)
def hardswish(x: Any, inplace: bool = False) -> Any:
    """X hardsigmoid(x): 0 below -3, x above 3, a parabola between."""
    inside, above = x.value.abs() < 3, (x.value >= 3).to(x.value.dtype)
    slope = torch.where(inside, (2 * x.value + 3) / 6, above)
    bend = torch.where(inside, torch.full_like(x.value, 1 / 6), 0)
    zeros = [torch.zeros_like(x.value)] * (x.space.order - 2)
    return overwrite(x, compose(x, [functional.hardswish(x.value), slope, bend, *zeros]), inplace)


@rule("elu")
def elu(x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0, inplace: bool = False) -> Any:
    """Scale x above 0, else scale alpha (exp(input_scale x) - 1)."""
    if isinstance(scale, bool):  # functional.elu(x, alpha, inplace)
        scale, inplace = 1.0, scale
    return overwrite(x, _exponential(x, scale * alpha, input_scale, scale), inplace)


@rule("celu")
def celu(x: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """X above 0, else alpha (exp(x / alpha) - 1)."""
    return overwrite(x, _exponential(x, alpha, 1 / alpha, 1.0), inplace)


@rule("selu")
def selu(x: Any, inplace: bool = False) -> Any:
    """ELU with the two constants of self-normalizing networks (Klambauer et al. 2017)."""
    return overwrite(x, _exponential(x, _SELU_ALPHA * _SELU_SCALE, 1.0, _SELU_SCALE), inplace)


def _exponential(x: Any, amplitude: float, rate: float, steepness: float) -> Any:
    """Steepness x above 0, else amplitude (exp(rate x) - 1)."""
    positive, below = x.value > 0, rate * x.value.clamp(max=0)
    value = torch.where(positive, steepness * x.value, amplitude * torch.expm1(below))
    curve = amplitude * torch.exp(below)
    coefficients = [curve * (rate**k / math.factorial(k)) for k in range(1, x.space.order + 1)]
    straight = (steepness, *[0.0] * (x.space.order - 1))
    return compose(x, [value, *(torch.where(positive, s, c) for s, c in zip(straight, coefficients, strict=True))])


@rule("clamp", "clip")
def clamp(x: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    """X, not below min and not above max, which are numbers, tensors or jets."""
    if any(isinstance(bound, Jet) for bound in (min, max)) or not isinstance(x, Jet):
        low = x if min is None else torch.maximum(*_tensors(x, min))
        return low if max is None else torch.minimum(*_tensors(low, max))
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


@rule("maximum", "fmax")
def maximum(a: Any, b: Any) -> Any:
    """The larger of two; where they are equal, half of the derivatives of each."""
    return _larger(a, b, _value(a) - _value(b), torch.maximum(_value(a), _value(b)))


@rule("minimum", "fmin")
def minimum(a: Any, b: Any) -> Any:
    """The smaller of two; where they are equal, half of the derivatives of each."""
    return _larger(a, b, _value(b) - _value(a), torch.minimum(_value(a), _value(b)))


@rule(torch.where)
def where(condition: Tensor, a: Any, b: Any) -> Any:
    """A where the condition holds, else b; what is not taken may be infinite or NaN."""
    if isinstance(condition, Jet):
        condition = condition.value != 0
    most = builtin_max(dims(condition), dims(a), dims(b))
    a, b = aligned(a, most), aligned(b, most)
    value = torch.where(condition, _value(a), _value(b))
    space = (a if isinstance(a, Jet) else b).space
    length = builtin_max(_length(a), _length(b))
    return settled(space, value, torch.where(condition, _higher(a, length), _higher(b, length)))


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
    filled = torch.masked_fill(x.value, mask, _value(value))
    return where(mask, value, x) if isinstance(value, Jet) else Jet(x.space, filled, result.higher)


@rule("sgn", "sign")
def sign(x: Any) -> Any:
    """-1, 0 or 1, which is constant; for a complex x the unit number x / |x|."""
    return x / torch.abs(x) if x.value.is_complex() else torch.sign(x.value)


@rule("copysign")
def copysign(x: Any, other: Any) -> Any:
    """|x| with the sign of the other."""
    value = torch.copysign(_value(x), _value(other))
    return torch.abs(x) * torch.sign(value) if isinstance(x, Jet) else value


@rule("remainder", Tensor.__mod__)
def remainder(x: Any, divisor: Any) -> Any:
    """X minus a locally constant multiple of the divisor."""
    quotient = torch.div(_value(x), _value(divisor), rounding_mode="floor")
    result = x - divisor * quotient
    return settled(result.space, torch.remainder(_value(x), _value(divisor)), result.higher)


@rule("fmod")
def fmod(x: Any, divisor: Any) -> Any:
    """X minus a locally constant multiple of the divisor, with the sign of x."""
    quotient = torch.div(_value(x), _value(divisor), rounding_mode="trunc")
    result = x - divisor * quotient
    return settled(result.space, torch.fmod(_value(x), _value(divisor)), result.higher)


@rule("abs", "absolute", Tensor.__abs__)
def absolute(x: Any) -> Any:
    """|x|, with derivative 0 at 0; of a complex number the length."""
    if x.value.is_complex():
        return torch.linalg.vector_norm(torch.view_as_real(x), dim=-1)
    return Jet(x.space, x.value.abs(), x.value.sign() * x.higher)


@rule("frac")
def frac(x: Any) -> Any:
    """X minus its integer part."""
    return Jet(x.space, torch.frac(x.value), x.higher)


@rule("nan_to_num")
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Numbers in place of NaN and infinities."""
    return select(torch.isfinite(x.value), x, torch.nan_to_num(x.value, nan, posinf, neginf))


def builtin_max(*numbers: int) -> int:
    """`max`, which the signatures above hide."""
    return max(numbers)


def _larger(a: Any, b: Any, difference: Tensor, value: Tensor) -> Any:
    most = max(dims(a), dims(b))
    a, b = aligned(a, most), aligned(b, most)
    space = (a if isinstance(a, Jet) else b).space
    length = max(_length(a), _length(b))
    share = torch.where(difference == 0, 0.5, (difference > 0).to(value.dtype))
    first, second = _higher(a, length), _higher(b, length)
    return settled(space, value, torch.where(share == 0.5, (first + second) / 2, torch.where(share > 0, first, second)))


def _tensors(a: Any, b: Any) -> list[Any]:
    like = _value(a) if isinstance(a, (Jet, Tensor)) else _value(b)
    return [
        item if isinstance(item, (Jet, Tensor)) else torch.as_tensor(item, dtype=like.dtype, device=like.device)
        for item in (a, b)
    ]


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Jet) else x


def _length(x: Any) -> int:
    return len(x.higher) if isinstance(x, Jet) else 0


def _higher(x: Any, length: int) -> Any:
    """Coefficients that broadcast like the value; a constant has none."""
    if not isinstance(x, Jet):
        return x.new_zeros(()) if isinstance(x, Tensor) and x.dtype.is_floating_point else 0.0
    return x.higher if len(x.higher) == length else padded(x, length)
