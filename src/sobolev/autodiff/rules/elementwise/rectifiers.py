"""Rules of activation functions that are put together from pieces. At a kink they take the side of PyTorch."""

import math
from typing import Any

import torch
from torch.nn import functional

from sobolev.autodiff.rules.elementwise.piecewise import select
from sobolev.autodiff.rules.memory.writing import overwrite
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.propagation import compose
from sobolev.autodiff.taylor.registry import rule

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


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


@rule("threshold")
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
def prelu(x: Any, weight: Any) -> Any:
    """Leaky ReLU of a learnt steepness, one for all or one for each channel (axis 1)."""
    weight = weight.reshape(-1, *[1] * (x.dim() - 2)) if weight.numel() > 1 else weight.reshape(())
    if isinstance(weight, Jet) or not isinstance(x, Jet):
        return torch.where(x > 0, x, weight * x)
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
    slope, *rest = coefficients
    # at 0 the slope is that on the left, and the bend that on the right, as PyTorch has them
    bends = [torch.where(x.value >= 0, 0.0, c) for c in rest]
    return compose(x, [value, torch.where(positive, steepness, slope), *bends])
