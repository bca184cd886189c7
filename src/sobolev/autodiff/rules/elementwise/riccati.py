"""Rules of the functions whose slope is a polynomial in themselves: tanh, sigmoid, tan.

y' = a + b y + c y² gives the coefficients of y and of u = y' by turns, in O(order²) (Griewank & Walther 2008, 13.2).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise import compiled_tanh
from sobolev.autodiff.rules.elementwise.chain import Elementwise, apply
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.propagation import compose, in_rows, rows
from sobolev.autodiff.taylor.registry import rule
from sobolev.autodiff.tracing import traced

_FOUR_DIGITS = 1e-4
_ONE = torch.ones(())


@dataclass(frozen=True)
class Riccati:
    """y' = a + b y + c y².

    Attributes:
        function: x -> y.
        terms: x, y -> y', accurate far out, and what `rate` times gives b + 2 c y.
        rate: see there.
        square: c.
        at_once: x -> y and its terms, for compiled code; None: one after the other.
    """

    function: Callable[[Tensor], Tensor]
    terms: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    rate: float
    square: float
    at_once: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]] | None = None

    def push(self, z: Jet) -> Jet:
        """The jet of y."""
        y, slope, base = self._at(z.value)
        space = z.space
        if space.order == 1 or not (z.higher.shape[0] or space.tape):
            return Jet(space, y, slope * z.higher)
        if space.order > 2:
            return self._series(z, y, slope, base)
        if space.directions > 1 or space.tape:
            return compose(z, [y, slope, (base * slope).mul_(self.rate / 2)])
        if traced():
            return in_rows(space, y, self._two_rows(z, slope, base))
        return Jet(space, y, self._second_order(z, slope, base))

    def derivative(self, z: Jet, y: Jet) -> Jet:
        """The jet of y'."""
        slope, base = self.terms(z.value, y.value)
        higher = (base * y.higher).mul_(self.rate)
        if z.space.order > 1:
            z.space.add_crossed(lambda a, b: a * b * self.square, y.higher, y.higher, higher)
        return Jet(z.space, slope, higher)

    @property
    def factors(self) -> tuple[float, float]:
        """See `sobolev.autodiff.rules.elementwise.chain.Line`."""
        return 1.0, self.rate / 2

    def expand(self, order: int, z: Tensor, keep: bool) -> tuple[Tensor, list[Tensor], tuple[Tensor, ...]]:
        """See `sobolev.autodiff.rules.elementwise.chain.Line`."""
        del keep  # it is little, and made in any case
        value = self.function(z)
        slope, base = kept = self.terms(z, value)
        return value, [slope] if order == 1 else [slope, torch.mul(base, slope, out=z)], kept

    def bend(self, order: int, z: Tensor, higher: Tensor, keep: bool) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """See `sobolev.autodiff.rules.elementwise.chain.Line`."""
        del keep  # it is little, and made in any case
        value = self.function(z)
        slope, base = kept = self.terms(z, value)
        if order == 1:
            return value, slope * higher, kept
        half, (first, *second) = self.rate / 2, higher.unbind(0)
        if second and first.shape == z.shape:
            torch.addcmul(second[0], base, torch.mul(first, first, out=z), value=half, out=second[0])
            return value, higher.mul_(slope), kept
        y = z.new_empty(2, *z.shape)
        y1, y2 = y.unbind(0)
        torch.mul(slope, first, out=y1)
        torch.mul(base, torch.add(first, first, alpha=half - 1), out=y2).mul_(y1)  # first * half would cost a tensor
        if second:
            y2.addcmul_(slope, second[0])
        return value, y, kept

    def transpose(self, kept: Sequence[Tensor], y: Sequence[Tensor], g: Tensor, higher: int) -> None:
        """See `sobolev.autodiff.rules.elementwise.chain.Line`."""
        slope, base = kept
        inner = y[0] * g[1]
        if len(y) == 1:
            g.mul_(slope)
            g[0].addcmul_(base, inner, value=self.rate)
            return
        crossed = y[0] * g[2]
        inner.addcmul_(y[1], g[2])
        g[: 1 + higher].mul_(slope)
        g[0].addcmul_(base, inner, value=self.rate).addcmul_(y[0], crossed, value=self.square)
        g[1].addcmul_(base, crossed, value=self.rate)

    def coefficients(self, x: Tensor, order: int) -> list[Tensor]:
        """Of y, at the points x."""
        y, slope, base = self._at(x)
        c = [y]
        rated = base * self.rate
        for k in range(1, order + 1):
            c.append(slope if k == 1 else self._next(c, rated) / k)
        return c

    def _at(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The value and its terms."""
        if self.at_once is not None and compiled_tanh.suits(x):
            return self.at_once(x)
        y = self.function(x)
        return y, *self.terms(x, y)

    def _two_rows(self, z: Jet, slope: Tensor, base: Tensor) -> list[Tensor]:
        """The same as `_second_order`, as expressions that a compiler fuses."""
        first, *second = rows(z)
        bend = base * (first * first * (self.rate / 2))
        if not second:
            return [slope * first, slope * bend]
        return [slope * first, slope * second[0] + slope * bend]  # product + bend would be one call of BLAS, not fused

    def _second_order(self, z: Jet, slope: Tensor, base: Tensor) -> Tensor:
        """Degrees 1 and 2 along one direction: y' z1, and y' (z2 + (b + 2 c y) z1² / 2)."""
        half, (first, *second) = self.rate / 2, z.higher.unbind(0)
        if torch.is_grad_enabled() or (second and first.shape != slope.shape):
            bend = (
                torch.addcmul(second[0], base, first * first, value=half) if second else base * (first * first * half)
            )
            return slope * torch.stack([first.expand_as(bend), bend])
        y = slope.new_empty(2, *slope.shape)
        y1, y2 = y.unbind(0)
        if second:
            torch.addcmul(second[0], base, torch.mul(first, first, out=y1), value=half, out=y2)
        else:
            torch.mul(base, first * first * half, out=y2)
        torch.mul(slope, y2, out=y2)
        torch.mul(slope, first, out=y1)
        return y

    def _series(self, z: Jet, y: Tensor, slope: Tensor, base: Tensor) -> Jet:
        """The jet of y, degrees 1 and up: y_k = Σ_j j z_j u_(k - j) / k."""
        order, inner = z.space.order, rows(z)
        result = None if torch.is_grad_enabled() or traced() else slope.new_empty(order, *slope.shape)
        places = [None] * order if result is None else result.unbind(0)
        rated, u, c = base * self.rate, [slope], [y]
        for k, place in enumerate(places, start=1):
            last = min(k, len(inner))
            row = inner[last - 1] if last == k else inner[last - 1] * (last / k)
            total = torch.mul(u[k - last], row, out=place)
            for j in range(1, last):
                total.addcmul_(inner[j - 1], u[k - j], value=j / k)
            c.append(total)
            if k < order:
                u.append(self._next(c, rated))
        return in_rows(z.space, y, c[1:]) if result is None else Jet(z.space, y, result)

    def _next(self, c: list[Tensor], rated: Tensor) -> Tensor:
        """The newest coefficient of y': (b + 2 c y) y_k + c Σ_i y_i y_(k - i), 0 < i < k."""
        k = len(c) - 1
        total = rated * c[k]
        for i in range(1, (k + 1) // 2):
            total.addcmul_(c[i], c[k - i], value=2 * self.square)
        return total.addcmul_(c[k // 2], c[k // 2], value=self.square) if k % 2 == 0 else total


def _tanh_terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return _sech_squared(x, y), y


def _tanh_at_once(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y, slope = compiled_tanh.tanh_and_slope(x)
    return y, slope, y


def _sigmoid_terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    complement = torch.sigmoid(-x)
    return y * complement, complement - y


def _tan_terms(_: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return 1 + y.square(), y


def _sech_squared(x: Tensor, y: Tensor) -> Tensor:
    """1 - y², y = tanh(x), to full accuracy. The cheap difference does where it loses at most four digits."""
    if x.is_complex():
        return 1 - y.square()
    if x.is_cpu and x.numel() and not traced():
        difference = torch.addcmul(_ONE, y, y, value=-1)
        if difference.amin().item() > _FOUR_DIGITS:
            return difference
        if not torch.is_grad_enabled():
            exp = torch.exp(x)  # its gradient would be 0 · ∞ far out
            return torch.addcdiv(exp, _ONE, exp).pow_(-2).mul_(4)
    return torch.exp(-2 * x.abs()) * (1 + y.abs()).square()


tanh = Riccati(torch.tanh, _tanh_terms, rate=-2, square=-1, at_once=_tanh_at_once)
sigmoid = Riccati(torch.sigmoid, _sigmoid_terms, rate=1, square=-1)
tan = Riccati(torch.tan, _tan_terms, rate=2, square=1)
TANH, SIGMOID, TAN = (Elementwise(f.push, f.derivative, f) for f in (tanh, sigmoid, tan))

for _elementwise, *_names in ((TANH, "tanh"), (SIGMOID, "sigmoid", torch.special.expit), (TAN, "tan")):
    rule(*_names)(lambda x, elementwise=_elementwise: apply(elementwise, x))
