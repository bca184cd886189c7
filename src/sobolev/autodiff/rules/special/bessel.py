"""Rules of Bessel functions: every derivative is a sum of functions of neighbouring orders.

With f_n' = (a f_(n - 1) + b f_(n + 1)) / 2, where (a, b) is (1, -1) for J and Y, (1, 1) for I and (-1, -1) for K, the
k-th derivative is a sum of f_(n - k), f_(n - k + 2), ..., f_(n + k), whose terms do not cancel (DLMF 10.6.7, 10.29.5).
The functions of higher order come from PyTorch's of orders 0 and 1, in the direction in which the recurrence is stable.

The derivatives of modified Bessel functions without their exponential growth or decay are small differences of large
numbers far out, so they are computed as integrals whose terms all have one sign (DLMF 10.32.1 and 10.32.9): with
t = 1 - cos θ and t = cosh u - 1,

    exp(-x) I_n(x) = 1/π ∫ exp(-x t) cos(n θ) dθ,    exp(x) K_n(x) = ∫ exp(-x t) cosh(n u) du,

where each derivative brings a factor of -t. The midpoint rule converges exponentially.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise.functions import elementwise
from sobolev.autodiff.rules.special.differentiable import differentiable

_ACCURATE = 30
"""From here on PyTorch's J and Y are right to every digit; from 5 on they are wrong by up to 7e-7."""
_EULER = 0.5772156649015329
_STEPS = 20
"""So many steps back, and seven for each order, are enough for the ratios of I up to x = order²."""
_POINTS = 40
_NEAR = 0.5
"""Below, exp(x) K is the product that it is written as."""

Orders = Callable[[Tensor, int], list[Tensor]]
"""(x, top) -> [f_0(x), ..., f_top(x)]"""


def _register(function: Callable, n: int, orders: Orders, a: int, b: int, *names: Callable | str) -> None:
    """Register f_n, whose values are those of `function`."""

    def coefficients(x: Tensor, order: int) -> list[Tensor]:
        return [function(x), *taylor_coefficients(orders(x, n + order), n, order, a, b)[1:]]

    elementwise(function, *names)(differentiable(coefficients))


def taylor_coefficients(f: list[Tensor], n: int, order: int, a: int, b: int) -> list[Tensor]:
    """Coefficients 0, ..., order of f_n, from f_0, ..., f_(n + order)."""
    c = [f[n]]
    for k in range(1, order + 1):
        terms = []
        for i in range(k + 1):
            m = n - k + 2 * i
            sign = a ** (k - i) * b**i * ((a * b) ** m if m < 0 else 1)
            terms.append(sign * math.comb(k, i) * f[abs(m)])
        c.append(sum(terms[1:], terms[0]) / (2**k * math.factorial(k)))
    return c


def first_kind(x: Tensor, top: int) -> list[Tensor]:
    """J_0, ..., J_top."""
    far = x.abs() > top + _ACCURATE
    near = _by_miller(torch.where(far, 0.0, x), top)
    outside = forwards(torch.special.bessel_j0(x), torch.special.bessel_j1(x), torch.where(far, x, 1.0), top, -1)
    return [torch.where(far, a, b) for a, b in zip(outside, near, strict=False)]


def second_kind(x: Tensor, top: int) -> list[Tensor]:
    """Y_0, ..., Y_top; Y_0 near 0 by its series of J (DLMF 10.8.3 and its derivative)."""
    far = x.abs() > top + _ACCURATE
    near = torch.where(far, 1.0, x)
    j = _by_miller(near, top)
    log = torch.log(near / 2) + _EULER
    zero, one = log * j[0], log * j[1] - j[0] / near
    for k in range(1, (len(j) - 1) // 2):
        zero = zero - 2 * (-1) ** k / k * j[2 * k]
        one = one + (-1) ** k / k * (j[2 * k - 1] - j[2 * k + 1])
    zero = torch.where(far, torch.special.bessel_y0(x), zero * (2 / math.pi))
    one = torch.where(far, torch.special.bessel_y1(x), one * (2 / math.pi))
    return forwards(zero, one, x, top, -1)


def modified_first_kind(x: Tensor, top: int) -> list[Tensor]:
    """I_0, ..., I_top by the ratios of neighbours: forwards where x exceeds top², else backwards."""
    far = x.abs() > top * top
    near, distant = torch.where(far, 0.0, x), torch.where(far, x, 1.0)
    ratio, backwards = torch.zeros_like(x), []
    for m in range(7 * top + _STEPS, 0, -1):
        ratio = near / (2 * m + near * ratio)
        backwards.insert(0, ratio)
    outside = torch.special.i1e(distant) / torch.special.i0e(distant)
    values = [torch.special.i0(x)]
    for m in range(1, top + 1):
        values.append(values[-1] * torch.where(far, outside, backwards[m - 1]))
        outside = 1 / outside - 2 * m / distant
    return values


def modified_second_kind(x: Tensor, top: int) -> list[Tensor]:
    """K_0, ..., K_top."""
    return forwards(torch.special.modified_bessel_k0(x), torch.special.modified_bessel_k1(x), x, top, 1)


def forwards(first: Tensor, second: Tensor, x: Tensor, top: int, sign: int) -> list[Tensor]:
    """f_0, ..., f_top by f_(m + 1) = 2 m / x f_m + sign f_(m - 1)."""
    values = [first, second]
    for m in range(1, top):
        values.append(2 * m / x * values[m] + sign * values[m - 1])
    return values[: top + 1]


def _by_miller(x: Tensor, top: int) -> list[Tensor]:
    """J_0, J_1, ... far beyond J_top, for |x| up to top + _ACCURATE: backwards, scaled so that J_0 + 2 Σ J_2k = 1.

    What runs backwards is g_m = m! (2 / x)^m J_m, so that nothing is divided by x.
    """
    last, quarter = 2 * top + 2 * _ACCURATE + 10, x.square() / 4
    g = [torch.ones_like(x), torch.ones_like(x)]
    for m in range(last, 0, -1):
        g.append(g[-1] - quarter / (m * (m + 1)) * g[-2])
    power, values = torch.ones_like(x), []
    for m, scaled in enumerate(reversed(g)):
        values.append(power * scaled)
        power = power * x / (2 * (m + 1))
    total = values[0] + 2 * sum(values[2::2])
    return [value / total for value in values]


def _reach(order: int) -> float:
    """Beyond x t = reach, what is left of the integral of tᵏ exp(-x t) changes no digit."""
    return 60.0 + 4 * order


def _scaled_first_kind(function: Callable, n: int) -> None:
    def coefficients(x: Tensor, order: int) -> list[Tensor]:
        size, sign = x.abs(), torch.sign(x)
        longest = (_reach(order) / size).clamp(max=2.0)
        sine = _midpoints(x, order, math.pi / 2).sin().square()
        t = longest * sine  # t = longest sin²(ψ / 2)
        share = torch.sqrt(longest * (1 - sine) / (2 - t)) / (_POINTS + order)
        c = _moments(torch.exp(-size * t) * share * (1 - t) ** n, t, order)
        return [function(x), *(c[k] if (k + n) % 2 == 0 else sign * c[k] for k in range(1, order + 1))]

    elementwise(function)(differentiable(coefficients))


def _scaled_second_kind(function: Callable, n: int) -> None:
    def coefficients(x: Tensor, order: int) -> list[Tensor]:
        near = x < _NEAR
        outside = torch.where(near, 1.0, x)
        longest = 2 * torch.asinh(torch.sqrt(_reach(order) / (2 * outside)))
        u = longest * _midpoints(x, order, 1.0)
        t = 2 * torch.sinh(u / 2).square()
        far = _moments(torch.exp(-outside * t) * (1 + t) ** n * longest / (_POINTS + order), t, order)
        close = _product(torch.where(near, x, _NEAR), order, n)
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


def _product(x: Tensor, order: int, n: int) -> list[Tensor]:
    """Coefficients of exp(x) K_n(x), the product written out."""
    c = taylor_coefficients(modified_second_kind(x, n + order), n, order, -1, -1)
    return [torch.exp(x) * sum(c[j] / math.factorial(k - j) for j in range(k + 1)) for k in range(order + 1)]


_register(torch.special.bessel_j0, 0, first_kind, 1, -1)
_register(torch.special.bessel_j1, 1, first_kind, 1, -1)
_register(torch.special.bessel_y0, 0, second_kind, 1, -1)
_register(torch.special.bessel_y1, 1, second_kind, 1, -1)
_register(torch.special.i0, 0, modified_first_kind, 1, 1, "i0")
_register(torch.special.i1, 1, modified_first_kind, 1, 1)
_register(torch.special.modified_bessel_i0, 0, modified_first_kind, 1, 1)
_register(torch.special.modified_bessel_i1, 1, modified_first_kind, 1, 1)
_register(torch.special.modified_bessel_k0, 0, modified_second_kind, -1, -1)
_register(torch.special.modified_bessel_k1, 1, modified_second_kind, -1, -1)
_scaled_first_kind(torch.special.i0e, 0)
_scaled_first_kind(torch.special.i1e, 1)
_scaled_second_kind(torch.special.scaled_modified_bessel_k0, 0)
_scaled_second_kind(torch.special.scaled_modified_bessel_k1, 1)
