"""Gradients for functions that PyTorch computes without one, or with one that loses digits."""

from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise.chain import Coefficients


def differentiable(coefficients: Coefficients) -> Coefficients:
    """The same Taylor coefficients, with gradients: that of the k-th one is k + 1 times the next one.

    Compiled, they can be differentiated once, as everything that is compiled.
    """

    def wrapped(x: Tensor, order: int) -> list[Tensor]:
        if not (torch.is_grad_enabled() and x.requires_grad):
            return coefficients(x, order)
        if not torch.compiler.is_compiling():
            return list(_Series.apply(x, coefficients, order).unbind(0))
        start = x.detach()
        c = coefficients(start, order + 1)
        return [c[k] + (k + 1) * c[k + 1] * (x - start) for k in range(order + 1)]

    return wrapped


class _Series(torch.autograd.Function):
    """(order + 1, *x.shape)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, coefficients: Coefficients, order: int) -> Tensor:
        return torch.stack(coefficients(x, order))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004
        x, ctx.coefficients, ctx.order = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        higher = differentiable(ctx.coefficients)(x, ctx.order + 1)[1:]
        terms = [k * c * g for k, (c, g) in enumerate(zip(higher, gradient, strict=True), start=1)]
        return sum(terms[1:], terms[0]), None, None
