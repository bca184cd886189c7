"""Rules of modified Bessel functions without their exponential growth or decay.

Their derivatives are small differences of large numbers far out, so they are computed as integrals whose terms all
have one sign (DLMF 10.32.1 and 10.32.9): with t = 1 - cos θ and t = cosh u - 1,

    exp(-x) I_n(x) = 1/π ∫ exp(-x t) cos(n θ) dθ,    exp(x) K_n(x) = ∫ exp(-x t) cosh(n u) du,

where each derivative brings a factor of -t. The midpoint rule converges exponentially.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sobolev.autodiff.rules.bessel import modified_second_kind, taylor_coefficients
from sobolev.autodiff.rules.differentiable import differentiable
from sobolev.autodiff.rules.elementwise import elementwise

_POINTS = 40
_NEAR = 0.5
"""Below, exp(x) K is the product that it is written as."""


def _reach(order: int) -> float:
    """Beyond x t = reach, what is left of the integral of tᵏ exp(-x t) changes no digit."""
    return 60.0 + 4 * order


def _first_kind(function: Callable, n: int) -> None:
    def coefficients(x: Tensor, order: int) -> list[Tensor]:
        size, sign = x.abs(), torch.sign(x)
        longest = (_reach(order) / size).clamp(max=2.0)
        sine = _midpoints(x, order, math.pi / 2).sin().square()
        t = longest * sine  # t = longest sin²(ψ / 2)
        share = torch.sqrt(longest * (1 - sine) / (2 - t)) / (_POINTS + order)
        c = _moments(torch.exp(-size * t) * share * (1 - t) ** n, t, order)
        return [function(x), *(c[k] if (k + n) % 2 == 0 else sign * c[k] for k in range(1, order + 1))]

    elementwise(function)(differentiable(coefficients))


def _second_kind(function: Callable, n: int) -> None:
    def coefficients(x: Tensor, order: int) -> list[Tensor]:
        near = x < _NEAR
        outside = torch.where(near, 1.0, x)
        longest = 2 * torch.asinh(torch.sqrt(_reach(order) / (2 * outside)))
        u = longest * _midpoints(x, order, 1.0)
        t = 2 * torch.sinh(u / 2).square()
        far = _moments(torch.exp(-outside * t) * (1 + t) ** n * longest / (_POINTS + order), t, order)
        close = _scaled(torch.where(near, x, _NEAR), order, n)
        return [function(x), *(torch.where(near, a, b) for a, b in zip(close[1:], far[1:], strict=True))]

    elementwise(function)(differentiable(coefficients))


def _midpoints(x: Tensor, order: int, end: float) -> Tensor:
    """Of equal parts of [0, end], on an axis in front of those of x."""
    n = _POINTS + order
    points = (torch.arange(n, dtype=x.dtype, device=x.device) + 0.5) * (end / n)
    return points.reshape(-1, *[1] * x.dim())


def _moments(weight: Tensor, t: Tensor, order: int) -> list[Tensor]:
    """Σ weight (-t)ᵏ / k! for k = 0, ..., order."""
    c = [weight.sum(0)]
    for k in range(1, order + 1):
        weight = weight * -t / k
        c.append(weight.sum(0))
    return c


def _scaled(x: Tensor, order: int, n: int) -> list[Tensor]:
    """Coefficients of exp(x) K_n(x), the product written out."""
    c = taylor_coefficients(modified_second_kind(x, n + order), n, order, -1, -1)
    return [torch.exp(x) * sum(c[j] / math.factorial(k - j) for j in range(k + 1)) for k in range(order + 1)]


_first_kind(torch.special.i0e, 0)
_first_kind(torch.special.i1e, 1)
_second_kind(torch.special.scaled_modified_bessel_k0, 0)
_second_kind(torch.special.scaled_modified_bessel_k1, 1)
