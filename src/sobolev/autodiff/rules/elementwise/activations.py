"""Rules of the smooth activation functions; tanh and sigmoid are among the elementwise functions."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.rules.elementwise.chain import Coefficients, Elementwise, apply, pointwise
from sobolev.autodiff.rules.elementwise.functions import coefficients_of, integrated, primitive
from sobolev.autodiff.rules.elementwise.riccati import sigmoid
from sobolev.autodiff.rules.memory.writing import overwrite
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.registry import rule

_ROUNDED_AWAY = 20.0
"""Beyond this, PyTorch's softplus returns x, to which log(1 + exp(x)) rounds in float32."""

_SATURATED = 100.0
"""Beyond, the gate of GELU is 0 or 1 in every precision."""

primitive(functional.logsigmoid, lambda x: torch.sigmoid(-x))


@rule(functional.silu)
def silu(x: Jet, inplace: bool = False) -> Jet:
    """Swish, x sigmoid(x)."""
    return overwrite(x, apply(SILU, x), inplace)


@rule(functional.mish)
def mish(x: Jet, inplace: bool = False) -> Jet:
    """Mish, x tanh(softplus(x))."""
    return overwrite(x, apply(MISH, x), inplace)


@rule(functional.gelu)
def gelu(x: Jet, approximate: str = "none") -> Jet:
    """The Gaussian error linear unit x Φ(x), or its approximation by tanh."""
    return apply(GELU if approximate == "none" else GELU_TANH, x)


@rule(functional.softplus)
def softplus(x: Jet, beta: float = 1.0, threshold: float = _ROUNDED_AWAY) -> Jet:
    """log(1 + exp(beta x)) / beta. A threshold below the usual one makes it piecewise: x beyond it."""

    def coefficients(z: Tensor, order: int) -> list[Tensor]:
        smooth = integrated(lambda z: torch.sigmoid(beta * z), z, order)
        if threshold < _ROUNDED_AWAY:
            straight = z * beta > threshold
            smooth = [torch.where(straight, float(k == 0), c) for k, c in enumerate(smooth)]
        return [functional.softplus(z, beta, threshold), *smooth]

    return apply(pointwise(coefficients), x)


def _gated(gate: Coefficients) -> Elementwise:
    """X gate(x), whose coefficients are x g_k + g_(k - 1)."""

    def coefficients(x: Tensor, order: int) -> list[Tensor]:
        g = gate(x, order)
        return [x * g[0], *(torch.addcmul(g[k - 1], x, g[k]) for k in range(1, order + 1))]

    return pointwise(coefficients)


def _written(function: Callable[[Any], Any]) -> Coefficients:
    return lambda x, order: coefficients_of(function, x, order)


def _mish_gate(x: Any) -> Any:
    return torch.tanh(functional.softplus(x))


def _normal_distribution(x: Any) -> Any:
    """Φ(x)."""
    return torch.erfc(x * -math.sqrt(0.5)) / 2


def _normal_distribution_coefficients(x: Tensor, order: int) -> list[Tensor]:
    """Of Φ; those of the density p at x follow from p' = -x p: k p_k = -(x p_(k - 1) + p_(k - 2))."""
    c = [_normal_distribution(x)]
    if not order:
        return c
    density = [torch.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))]
    for k in range(1, order):
        inner = x * density[-1] if k == 1 else torch.addcmul(density[-2], x, density[-1])
        density.append(inner * (-1 / k))
    return c + [p if k == 1 else p * (1 / k) for k, p in enumerate(density, start=1)]


def _gelu_tanh_gate(x: Any) -> Any:
    """(1 + tanh(u / 2)) / 2 = sigmoid(u), u = √(8/π) (x + 0.044715 x³), which is 0 or 1 where x³ could overflow."""
    x = torch.clamp(x, -_SATURATED, _SATURATED)
    return torch.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x * x * x))


SILU = _gated(sigmoid.coefficients)
MISH = _gated(_written(_mish_gate))
GELU = _gated(_normal_distribution_coefficients)
GELU_TANH = _gated(_written(_gelu_tanh_gate))
