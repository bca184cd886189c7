"""A perceptron along one direction, up to order 2: few calls, little memory, one backward pass for all layers.

With x_1 and x_2 the Taylor coefficients of what enters a layer, and z = W x + b, those of an activation y = f(z) are
y_1 = f'(z) z_1 and y_2 = f'(z) z_2 + f''(z)/2 z_1².
"""

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.blocks import FEWEST_ROWS, cached_numbers, even_rows
from sobolev.autodiff.perceptron.directional_backward import Gradients, Kept
from sobolev.autodiff.perceptron.layers import Layers
from sobolev.autodiff.rules.elementwise.chain import Elementwise, apply
from sobolev.autodiff.rules.linear_algebra.matmul import linear
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import padded
from sobolev.autodiff.taylor.space import Space


def derivatives(layers: Layers, x: Tensor, order: int, direction: Tensor) -> tuple[Tensor, ...]:
    """Value and derivatives, computed in blocks of rows, with a graph to all that wants one.

    Args:
        layers: see `sobolev.autodiff.perceptron.layers.perceptron`.
        x: the points, (batch, inputs).
        order: 1 or 2.
        direction: (batch or 1, inputs).

    Returns:
        1 + order tensors (batch, outputs).
    """
    y, first, *second = _along(layers, x, direction[None], order)
    return y, first, *[row + row for row in second]


def _along(layers: Layers, value: Tensor, higher: Tensor, order: int) -> tuple[Tensor, ...]:
    """Value and higher coefficients; `higher` is the direction, (1, batch or 1, inputs)."""
    weights, functions = layers
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (value, higher, *weights)):
        return _Perceptron.apply(order, functions, value, higher, *weights)
    return _joined([_forward(order, layers, *block) for block in _blocks(order, weights, value, higher)])


def _blocks(order: int, weights: Sequence[Any], value: Tensor, higher: Tensor) -> Sequence[tuple[Tensor, Tensor]]:
    numbers = 2 * (1 + order) * max(w.shape[0] for w in weights[::2])  # what enters a layer is still there
    rows = max(cached_numbers(value.device) // numbers, FEWEST_ROWS)
    if value.shape[0] <= rows:
        return [(value, higher)]
    rows = even_rows(value.shape[0], rows)
    alike = higher.shape[1] == 1
    highers = [higher] * -(-len(value) // rows) if alike else higher.split(rows, dim=1)
    return list(zip(value.split(rows), highers, strict=True))


def _joined(blocks: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
    """Value and coefficients of all rows."""
    if len(blocks) == 1:
        value, higher = blocks[0]
        return value, *higher.unbind(0)
    return tuple(map(torch.cat, zip(*((value, *higher.unbind(0)) for value, higher in blocks), strict=True)))


def _forward(
    order: int,
    layers: Layers,
    value: Tensor,
    higher: Tensor,
    kept: list[Kept] | None = None,
) -> tuple[Tensor, Tensor]:
    """Of one block. To `kept` go, for each layer, what entered, and what the activation needs for its backward pass."""
    weights, functions = layers
    for k in range(len(functions)):
        weight, bias = weights[2 * k : 2 * k + 2]
        entered = (value, higher) if kept is not None else ()  # else it is freed, and what follows is written there
        value, higher = _affine(value, weight, bias), functional.linear(higher, weight)
        value, higher, saved = _bent(functions[k], order, value, higher, kept is not None)
        if kept is not None:
            kept.append((entered, saved))
    return value, higher


def _bent(
    function: Elementwise | None, order: int, z: Tensor, higher: Tensor, keep: bool
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    return (z, higher, ()) if function is None else function.line.bend(order, z, higher, keep)


def _affine(value: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The layer of one value; of a single input, BLAS takes half as long again."""
    if bias is None or value.shape[1] > 1:
        return functional.linear(value, weight, bias)
    return torch.addcmul(bias, value, weight.t())


class _Perceptron(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, order: int, functions: Any, value: Tensor, higher: Tensor, *weights: Tensor | None) -> Any:
        layers, kept, blocks = (weights, functions), [], []
        for block in _blocks(order, weights, value, higher):
            kept.append([])
            blocks.append(_forward(order, layers, *block, kept[-1]))
        y, *rows = _joined(blocks)
        results = y, *[row.clone() for row in rows]  # a view of something else could not be written over
        ctx.order, ctx.functions, ctx.blocks = order, functions, len(blocks)
        ctx.lengths = [len(tensors) for tensors in chain(*kept[0])]
        ctx.results = 0 if functions[-1] is None else order  # only the backward pass of an activation looks at them
        ctx.save_for_backward(value, higher, *weights, *results[1 : 1 + ctx.results], *chain(*chain(*chain(*kept))))
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return None, None, *_differentiable(ctx, gradients)
        given, tensors = 2 + 2 * len(ctx.functions), iter(ctx.saved_tensors)
        _, higher, *weights = islice(tensors, given)
        y, layers, start = list(islice(tensors, ctx.results)), (weights, ctx.functions), 0
        results = Gradients(layers, ctx.needs_input_grad[2:])
        for _ in range(ctx.blocks):
            parts = [tuple(islice(tensors, length)) for length in ctx.lengths]
            part = slice(start, start + len(parts[0][0]))
            g, start = torch.stack([gradient[part] for gradient in gradients]), part.stop
            results.add(list(zip(parts[::2], parts[1::2], strict=True)), [row[part] for row in y], g)
        return None, None, *results.total(higher)


def _differentiable(ctx: Any, gradients: tuple[Tensor, ...]) -> list[Tensor | None]:
    """The backward pass when it will be differentiated itself: that of the same chain, operation by operation."""
    given = ctx.saved_tensors[: 2 + 2 * len(ctx.functions)]
    value, higher, *weights = given
    y = Jet(Space(ctx.order), value, higher, rows_first=True)
    for function, weight, bias in zip(ctx.functions, weights[::2], weights[1::2], strict=True):
        y = linear(y, weight, bias)
        y = y if function is None else apply(function, y)
    wanted = [tensor for tensor, needed in zip(given, ctx.needs_input_grad[2:], strict=True) if needed]
    outputs = y.value, *padded(y, ctx.order).unbind(0)
    found = iter(torch.autograd.grad(outputs, wanted, gradients, create_graph=True, allow_unused=True))
    return [next(found) if needed else None for needed in ctx.needs_input_grad[2:]]
