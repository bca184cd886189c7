"""Rules of the smooth activation functions; tanh and sigmoid are among the elementwise functions."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.elementwise import integrated, primitive
from sobolev.autodiff.rules.kinds import compose
from sobolev.autodiff.rules.registry import rule

_ROUNDED_AWAY = 20.0
"""Beyond this, PyTorch's softplus returns x, to which log(1 + exp(x)) rounds in float32."""

primitive(functional.logsigmoid, lambda x: torch.sigmoid(-x))


@rule(functional.silu)
def silu(x: Jet, inplace: bool = False) -> Jet:
    """X sigmoid(x)."""
    return _activation(x, functional.silu(x.value), _silu_slope, inplace)


@rule(functional.mish)
def mish(x: Jet, inplace: bool = False) -> Jet:
    """X tanh(softplus(x))."""
    return _activation(x, functional.mish(x.value), _mish_slope, inplace)


@rule(functional.gelu)
def gelu(x: Jet, approximate: str = "none") -> Jet:
    """X Φ(x), or its approximation by tanh."""
    slope = _gelu_slope if approximate == "none" else _gelu_tanh_slope
    return _activation(x, functional.gelu(x.value, approximate=approximate), slope)


@rule(functional.softplus)
def softplus(x: Jet, beta: float = 1.0, threshold: float = _ROUNDED_AWAY) -> Jet:
    """log(1 + exp(beta x)) / beta. A threshold below the usual one makes it piecewise: x beyond it."""
    smooth = integrated(lambda z: torch.sigmoid(beta * z), x.value, x.space.order)
    if threshold < _ROUNDED_AWAY:
        straight = x.value * beta > threshold
        smooth = [torch.where(straight, float(k == 0), c) for k, c in enumerate(smooth)]
    return compose(x, [functional.softplus(x.value, beta, threshold), *smooth])


def _activation(x: Jet, value: Tensor, slope: Callable[[Any], Any], inplace: bool = False) -> Jet:
    result = compose(x, [value, *integrated(slope, x.value, x.space.order)])
    if inplace:
        x.value, x.higher = result.value, result.higher
        return x
    return result


def _silu_slope(x: Any) -> Any:
    """sigmoid(x) (1 + x (1 - sigmoid(x)))."""
    return torch.sigmoid(x) * (1 + x * torch.sigmoid(-x))


def _mish_slope(x: Any) -> Any:
    """tanh(s) + x sigmoid(x) / cosh²(s), s = softplus(x)."""
    s = functional.softplus(x)
    return torch.tanh(s) + 4 * x * torch.sigmoid(x) * torch.sigmoid(2 * s) * torch.sigmoid(-2 * s)


def _gelu_slope(x: Any) -> Any:
    """Φ(x) + x φ(x)."""
    return torch.erfc(x * -math.sqrt(0.5)) / 2 + x * torch.exp(x * x * -0.5) / math.sqrt(2 * math.pi)


def _gelu_tanh_slope(x: Any) -> Any:
    """Derivative of x sigmoid(u), u = √(8/π) (x + 0.044715 x³)."""
    scale = math.sqrt(8 / math.pi)
    u = scale * (x + 0.044715 * x * x * x)
    slope = scale * (1 + 3 * 0.044715 * x * x)
    return torch.sigmoid(u) * (1 + x * slope * torch.sigmoid(-u))
