"""The chain rule of elementwise functions, with a backward pass of its own: fewer passes, fewer saved tensors.

With u = f'(z) as a jet, dy = u dz is a truncated product, and its transpose is the whole backward pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped
from sobolev.autodiff.taylor.propagation import compose
from sobolev.autodiff.taylor.space import Space
from sobolev.autodiff.torch_export import recording
from sobolev.autodiff.tracing import traced

Coefficients = Callable[[Tensor, int], list[Tensor]]
"""(x, order) -> [f(x), f'(x), f''(x)/2!, ..., f^(order)(x)/order!]"""


class Line(Protocol):
    """The same along one direction up to order 2, on bare tensors, for chains of layers."""

    @property
    def factors(self) -> tuple[float, float]:
        """f'(z) and f''(z)/2 are these times what `expand` gives."""
        ...

    def expand(self, order: int, z: Tensor, keep: bool) -> tuple[Tensor, list[Tensor], tuple[Tensor, ...]]:
        """Of y = f(z): the value, the derivatives with respect to z up to factors, what the backward pass needs.

        Args:
            order: 1 or 2.
            z: (rows, units); may be written over.
            keep: whether there will be a backward pass.
        """
        ...

    def bend(self, order: int, z: Tensor, higher: Tensor, keep: bool) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Value and coefficients, (order, rows, units), of y = f(z), and what the backward pass needs, if `keep`.

        Args:
            order: 1 or 2.
            z: (rows, units); may be written over.
            higher: (1 or 2, rows or 1, units); may be written over.
            keep: whether there will be a backward pass.
        """
        ...

    def transpose(self, kept: Sequence[Tensor], y: Sequence[Tensor], g: Tensor, higher: int) -> None:
        """Turn the gradients of y into those of z.

        Args:
            kept: by `bend`.
            y: the coefficients, each (rows, units).
            g: of the value and the coefficients, (1 + order, rows, units); 1 + higher of them are turned.
            higher: how many higher coefficients z has, 1 or 2.
        """
        ...


@dataclass(frozen=True)
class Elementwise:
    """A function of each element.

    Attributes:
        push: z -> y = f(z).
        slope: z, y -> f'(z), to the same order.
        line: see there.
    """

    push: Callable[[Jet], Jet]
    slope: Callable[[Jet, Jet], Jet]
    line: Line


def pointwise(coefficients: Coefficients) -> Elementwise:
    """The function with these Taylor coefficients at every point."""

    def push(z: Jet) -> Jet:
        return compose(z, coefficients(z.value, z.space.order))

    def slope(z: Jet, _: Jet) -> Jet:
        higher = coefficients(z.value, z.space.order + 1)[1:]
        return compose(z, [c if k == 1 else k * c for k, c in enumerate(higher, start=1)])

    return Elementwise(push, slope, PointwiseLine(coefficients))


@dataclass(frozen=True)
class PointwiseLine:
    """By Taylor coefficients at every point, see `Line`."""

    coefficients: Coefficients
    factors = (1.0, 1.0)

    def expand(self, order: int, z: Tensor, keep: bool) -> tuple[Tensor, list[Tensor], tuple[Tensor, ...]]:
        """See `Line`."""
        value, *c = self.coefficients(z, order + keep)
        return value, c[:order], tuple(c) if keep else ()

    def bend(self, order: int, z: Tensor, higher: Tensor, keep: bool) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """See `Line`."""
        value, *c = self.coefficients(z, order + keep)
        first, *second = higher.unbind(0)
        y = higher if not keep and higher.shape == (order, *z.shape) else z.new_empty(order, *z.shape)
        square = first * first if order == 2 else None
        torch.mul(higher, c[0], out=y if second or order == 1 else y[:1])
        if square is not None:
            y[1].addcmul_(c[1], square) if second else torch.mul(c[1], square, out=y[1])
        return value, y, (*c, higher) if keep else ()

    def transpose(self, kept: Sequence[Tensor], y: Sequence[Tensor], g: Tensor, higher: int) -> None:
        """See `Line`."""
        del y
        (slope, bend, *more), (first, *second) = kept[:-1], kept[-1].unbind(0)
        inner = first * g[1]
        if more:
            crossed = first * g[2]
            inner = inner.addcmul_(second[0], g[2]) if second else inner
        g[: 1 + higher].mul_(slope)
        g[0].addcmul_(bend, inner, value=2)
        if more:
            g[0].addcmul_(crossed * first, more[0], value=3)
            g[1].addcmul_(bend, crossed, value=2)


def apply(function: Elementwise, x: Jet) -> Jet:
    """The jet of f(x)."""
    if x.space.tape is not None and x.space.tape.probing and (recording() or not traced()):
        return x.space.tape.enter(
            mapped(x, _Value.apply(x.value, function), x.higher, x.rows_first), x.higher, x.higher
        )
    if not torch.is_grad_enabled() or x.squared is not None or not _needs_graph(x):
        y = function.push(x)
    else:
        space = replace(x.space, graph=False)  # the graph is the backward pass below
        y = Jet(x.space, *_Chain.apply(x.value, x.higher, space, function))
    y.rows_first, y.followed = x.rows_first, x.followed
    return y


def _needs_graph(x: Jet) -> bool:
    """Whether there is a backward pass to write; plain operations bring their own."""
    wanted = x.value.requires_grad or x.higher.requires_grad
    plain = x.space.tape is not None or traced() or x.value.is_complex()
    return wanted and bool(x.higher.shape[0]) and not plain


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, higher: Tensor, space: Space, f: Elementwise) -> tuple[Tensor, Tensor]:
        y = f.push(Jet(space, value, higher))
        ctx.space, ctx.f = space, f
        ctx.save_for_backward(value, higher, y.value, y.higher)
        return y.value, y.higher

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, higher_gradient: Tensor) -> tuple[Tensor | None, ...]:
        value, higher, y_value, y_higher = ctx.saved_tensors
        z, y = Jet(ctx.space, value, higher), Jet(ctx.space, y_value, y_higher)
        to_value, to_higher = _transposed_product(ctx.f.slope(z, y), gradient, higher_gradient)
        return to_value, to_higher[: higher.shape[0]].sum_to_size(higher.shape), None, None


class _Value(torch.autograd.Function):
    """F(z) alone, with the slope that the rule gives: that of PyTorch's tanh, say, has no digits left far out."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, f: Elementwise) -> Tensor:
        value, slope = _value_and_slope(f, z)
        ctx.f = f
        ctx.save_for_backward(z, slope)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        z, slope = ctx.saved_tensors
        return gradient * (_value_and_slope(ctx.f, z)[1] if torch.is_grad_enabled() else slope), None


def _value_and_slope(f: Elementwise, z: Tensor) -> tuple[Tensor, Tensor]:
    y = f.push(Jet(Space(1), z, z.new_ones(1, *[1] * z.dim())))
    return y.value, y.higher[0]


def _transposed_product(u: Jet, g: Tensor, g_higher: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients with respect to z of the truncated product u z, whose own gradients are g."""
    space, order = u.space, u.space.order
    to_value = u.value * g
    for a, b in zip(u.higher, g_higher, strict=True):
        to_value = to_value.addcmul_(a, b) if not torch.is_grad_enabled() else torch.addcmul(to_value, a, b)
    to_higher = u.value * g_higher
    if order == 2:
        d = space.directions
        to_higher[:d] += space.transposed_second_degree(u.higher[:d], g_higher[d:])
    for i in range(1, order if order > 2 else 1):
        to_higher[: order - i] += u.higher[i - 1] * g_higher[i:]
    return to_value, to_higher
