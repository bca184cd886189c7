"""Hyper-dual numbers: value, gradient and Hessian of anything written with numpy, exact to rounding.

Fike & Alonso, The development of hyper-dual numbers for exact second-derivative calculations (2011). An array of
objects hands numpy's functions to methods of the same name, so that published code runs on them unchanged; nothing
here is shared with sobolev.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass
class HyperDual:
    """One quantity at many points.

    Attributes:
        value: (points,).
        gradient: (points, inputs).
        hessian: (points, inputs, inputs).
    """

    value: Array
    gradient: Array
    hessian: Array

    __array_ufunc__ = None  # a numpy number on the left lets us do the arithmetic

    def through(self, f: Array, df: Array, d2f: Array) -> "HyperDual":
        """A function of this quantity, given its value and two derivatives, each (points,)."""
        outer = self.gradient[:, :, None] * self.gradient[:, None, :]
        hessian = df[:, None, None] * self.hessian + d2f[:, None, None] * outer
        return HyperDual(f, df[:, None] * self.gradient, hessian)

    def __add__(self, other: Any) -> "HyperDual":
        if isinstance(other, HyperDual):
            return HyperDual(self.value + other.value, self.gradient + other.gradient, self.hessian + other.hessian)
        return HyperDual(self.value + other, self.gradient, self.hessian)

    def __mul__(self, other: Any) -> "HyperDual":
        if not isinstance(other, HyperDual):
            return HyperDual(self.value * other, self.gradient * other, self.hessian * other)
        u, v, du, dv = self.value[:, None], other.value[:, None], self.gradient, other.gradient
        mixed = du[:, :, None] * dv[:, None, :]
        curved = v[:, :, None] * self.hessian + u[:, :, None] * other.hessian
        return HyperDual(self.value * other.value, v * du + u * dv, curved + mixed + mixed.swapaxes(1, 2))

    def __pow__(self, power: Any) -> "HyperDual":
        if isinstance(power, HyperDual):
            return (power * self.log()).exp()
        x = self.value
        first = power * x ** (power - 1) if power != 0 else 0 * x
        second = power * (power - 1) * x ** (power - 2) if power not in (0, 1) else 0 * x
        return self.through(x**power, first, second)

    def __neg__(self) -> "HyperDual":
        return self * -1.0

    def __sub__(self, other: Any) -> "HyperDual":
        return self + -other

    def __rsub__(self, other: Any) -> "HyperDual":
        return -self + other

    def __truediv__(self, other: Any) -> "HyperDual":
        return self * (other**-1.0 if isinstance(other, HyperDual) else 1.0 / other)

    def __rtruediv__(self, other: Any) -> "HyperDual":
        return self**-1.0 * other

    def __rpow__(self, base: float) -> "HyperDual":
        return (self * np.log(base)).exp()

    __radd__, __rmul__ = __add__, __mul__

    def exp(self) -> "HyperDual":
        y = np.exp(self.value)
        return self.through(y, y, y)

    def log(self) -> "HyperDual":
        x = self.value
        return self.through(np.log(x), 1 / x, -1 / x**2)

    def log10(self) -> "HyperDual":
        return self.log() * (1 / np.log(10.0))

    def sqrt(self) -> "HyperDual":
        return self**0.5

    def square(self) -> "HyperDual":
        return self * self

    def sin(self) -> "HyperDual":
        s, c = np.sin(self.value), np.cos(self.value)
        return self.through(s, c, -s)

    def cos(self) -> "HyperDual":
        s, c = np.sin(self.value), np.cos(self.value)
        return self.through(c, -s, -c)

    def tan(self) -> "HyperDual":
        return self.sin() / self.cos()

    def sinh(self) -> "HyperDual":
        return (self.exp() - (-self).exp()) * 0.5

    def cosh(self) -> "HyperDual":
        return (self.exp() + (-self).exp()) * 0.5

    def tanh(self) -> "HyperDual":
        t = np.tanh(self.value)
        return self.through(t, 1 - t**2, -2 * t * (1 - t**2))

    def arctan(self) -> "HyperDual":
        x = self.value
        return self.through(np.arctan(x), 1 / (1 + x**2), -2 * x / (1 + x**2) ** 2)


def derivatives(f: Callable[[Array], Any], x: Array) -> tuple[Array, Array, Array]:
    """Value (points,), gradient (points, inputs) and Hessian (points, inputs, inputs) of code written with numpy.

    Args:
        f: maps (samples, inputs) to (samples,), with arithmetic and numpy's elementwise functions.
        x: (points, inputs).
    """
    points, inputs = x.shape
    sample = np.empty((1, inputs), dtype=object)
    for j in range(inputs):
        unit = np.tile(np.eye(inputs)[j], (points, 1))
        sample[0, j] = HyperDual(x[:, j], unit, np.full((points, inputs, inputs), 0.0))
    y = f(sample)[0]
    return y.value, y.gradient, y.hessian
