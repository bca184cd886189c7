"""Rules of the functions whose slope is a polynomial in themselves: tanh, sigmoid, tan.

y' = a + b y + c y² gives the coefficients of y and of u = y' by turns, in O(order²) (Griewank & Walther 2008, 13.2).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.chain import Coefficients, Elementwise, apply, traced
from sobolev.autodiff.rules.kinds import compose
from sobolev.autodiff.rules.registry import rule

_TWO_DIGITS = 0.01


@dataclass(frozen=True)
class Riccati:
    """y' = a + b y + c y².

    Attributes:
        function: x -> y.
        slope: x, y -> y', accurate far out.
        rate: x, y -> b + 2 c y, the derivative of y' with respect to y.
        square: c.
    """

    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    rate: Callable[[Tensor, Tensor], Tensor]
    square: float

    def push(self, z: Jet) -> Jet:
        """The jet of y."""
        y = self.function(z.value)
        slope = self.slope(z.value, y)
        if z.space.order == 1 or not z.higher.shape[0]:
            return compose(z, [y, slope])
        if z.space.order > 2:
            return Jet(z.space, y, torch.stack(self._series(z, y, slope)))
        rate, d = self.rate(z.value, y), z.space.directions
        if z.space.second != "diagonal" or z.higher.shape[0] == d:
            return compose(z, [y, slope, (rate * slope).mul_(0.5)])
        higher = slope * z.higher
        higher[d:].addcmul_(rate * higher[:d], z.higher[:d], value=0.5)
        return Jet(z.space, y, higher)

    def derivative(self, z: Jet, y: Jet) -> Jet:
        """The jet of y'."""
        higher = self.rate(z.value, y.value) * y.higher
        if z.space.order > 1:
            z.space.add_crossed(lambda a, b: a * b * self.square, y.higher, y.higher, higher)
        return Jet(z.space, self.slope(z.value, y.value), higher)

    def coefficients(self, x: Tensor, order: int) -> list[Tensor]:
        """Of y, at the points x."""
        y = self.function(x)
        if order == 0:
            return [y]
        slope = self.slope(x, y)
        c = [y, slope]
        rate = self.rate(x, y) if order > 1 else None
        for k in range(1, order):
            c.append(self._next(c, rate) / (k + 1))
        return c

    def _series(self, z: Jet, y: Tensor, slope: Tensor) -> list[Tensor]:
        """Degrees 1 and up: y_k = Σ_j j z_j u_(k - j) / k."""
        rate, u, c = self.rate(z.value, y), [slope], [y]
        moved = [j * row if j > 1 else row for j, row in enumerate(z.higher.unbind(0), start=1)]
        for k in range(1, z.space.order + 1):
            total = moved[k - 1] * slope if k <= len(moved) else torch.zeros_like(y)
            for j in range(1, min(k, len(moved) + 1)):
                total.addcmul_(moved[j - 1], u[k - j])
            c.append(total.div_(k) if k > 1 else total)
            u.append(self._next(c, rate))
        return c[1:]

    def _next(self, c: list[Tensor], rate: Tensor) -> Tensor:
        """The newest coefficient of y': rate y_k + c Σ_i y_i y_(k - i), 0 < i < k."""
        k = len(c) - 1
        total = rate * c[k]
        for i in range(1, (k + 1) // 2):
            total.addcmul_(c[i], c[k - i], value=2 * self.square)
        return total.addcmul_(c[k // 2], c[k // 2], value=self.square) if k % 2 == 0 and k else total


def _sech_squared(x: Tensor, y: Tensor) -> Tensor:
    """1 - y², y = tanh(x), to full accuracy. The cheap difference does where it loses at most two digits."""
    if x.device.type == "cpu" and x.numel() and not traced():
        difference = torch.addcmul(y.new_ones(()), y, y, value=-1)
        if difference.amin() > _TWO_DIGITS:
            return difference
    return torch.exp(-2 * x.abs()) * (1 + y.abs()).square()


tanh = Riccati(torch.tanh, _sech_squared, lambda _, y: -2 * y, -1)
sigmoid = Riccati(torch.sigmoid, lambda x, y: y * torch.sigmoid(-x), lambda x, y: torch.sigmoid(-x) - y, -1)
tan = Riccati(torch.tan, lambda _, y: 1 + y.square(), lambda _, y: 2 * y, 1)

for _function, *_names in ((tanh, "tanh"), (sigmoid, "sigmoid", torch.special.expit), (tan, "tan")):
    _elementwise = Elementwise(_function.push, _function.derivative)
    rule(*_names)(lambda x, elementwise=_elementwise: apply(elementwise, x))
