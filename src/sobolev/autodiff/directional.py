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

from sobolev.autodiff.blocks import even_rows
from sobolev.autodiff.jet import Jet
from sobolev.autodiff.layers import Layers
from sobolev.autodiff.rules.chain import apply
from sobolev.autodiff.rules.linear import linear
from sobolev.autodiff.rules.matching import padded
from sobolev.autodiff.space import Space

_CACHED_NUMBERS = 200_000
"""So many coefficients of one layer stay in the second-level cache (1 to 2 MB) with what is computed from them."""
_FEWEST_ROWS = 128

Tensors = tuple[Tensor | None, ...]


def along(layers: Layers, value: Tensor, higher: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Value and higher coefficients of a perceptron, computed in blocks of rows, with a graph to all that wants one.

    Args:
        layers: see `sobolev.autodiff.layers.perceptron`.
        value: (batch, inputs).
        higher: (1 or 2, batch or 1, inputs).
        order: 1 or 2.

    Returns:
        (batch, outputs), (order, batch, outputs).
    """
    weights, functions = layers
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (value, higher, *weights)):
        return _Perceptron.apply(order, functions, value, higher, *weights)
    return _joined([_forward(order, layers, *block) for block in _blocks(order, weights, value, higher)])


def _blocks(order: int, weights: Sequence[Any], value: Tensor, higher: Tensor) -> Sequence[tuple[Tensor, Tensor]]:
    rows = max(_CACHED_NUMBERS // ((1 + order) * max(w.shape[0] for w in weights[::2])), _FEWEST_ROWS)
    if value.shape[0] <= rows:
        return [(value, higher)]
    rows = even_rows(value.shape[0], rows)
    alike = higher.shape[1] == 1
    highers = [higher] * -(-len(value) // rows) if alike else higher.split(rows, dim=1)
    return list(zip(value.split(rows), highers, strict=True))


def _joined(blocks: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    if len(blocks) == 1:
        return blocks[0]
    values, highers = zip(*blocks, strict=True)
    return torch.cat(values), torch.cat(highers, dim=1)


def _forward(
    order: int, layers: Layers, value: Tensor, higher: Tensor, kept: list[Tensors] | None = None
) -> tuple[Tensor, Tensor]:
    """Of one block. To `kept` go, for each layer, what entered, and what the activation needs for its backward pass."""
    weights, functions = layers
    for function, weight, bias in zip(functions, weights[::2], weights[1::2], strict=True):
        entered, saved = (value, higher), ()
        value, higher = _affine(value, weight, bias), functional.linear(higher, weight)
        if function is not None:
            value, higher, saved = function.line.bend(order, value, higher, kept is not None)
        if kept is not None:
            kept.append((*entered, *saved))
    return value, higher


def _affine(value: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The layer of one value; of a single input, BLAS takes half as long again."""
    if bias is None or value.shape[1] > 1:
        return functional.linear(value, weight, bias)
    return torch.addcmul(bias, value, weight.t())


class _Perceptron(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, order: int, functions: Any, value: Tensor, higher: Tensor, *weights: Tensor | None) -> Any:
        kept, blocks = [], []
        for block in _blocks(order, weights, value, higher):
            kept.append([])
            blocks.append(_forward(order, (weights, functions), *block, kept[-1]))
        y, y_higher = _joined(blocks)
        ctx.order, ctx.functions, ctx.blocks = order, functions, len(blocks)
        ctx.lengths = [len(tensors) for tensors in kept[0]]
        ctx.save_for_backward(value, higher, *weights, y_higher, *chain(*chain(*kept)))
        return y, y_higher

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return None, None, *_differentiable(ctx, gradients)
        given = 2 + 2 * len(ctx.functions)
        (_, higher, *weights), (y, *kept) = ctx.saved_tensors[:given], ctx.saved_tensors[given:]
        results, tensors, start = _Gradients(ctx, weights), iter(kept), 0
        for _ in range(ctx.blocks):
            layers = [list(islice(tensors, length)) for length in ctx.lengths]
            part = slice(start, start + len(layers[0][0]))
            results.add(layers, y[:, part], torch.cat((gradients[0][None, part], gradients[1][:, part])))
            start = part.stop
        return None, None, *results.of_inputs(higher), *results.of_weights


class _Gradients:
    """What the blocks contribute to the gradients."""

    def __init__(self, ctx: Any, weights: Sequence[Any]) -> None:
        self.functions, self.weights = ctx.functions, weights
        _, _, self.to_value, self.to_higher, *self.to_weights = ctx.needs_input_grad
        self.of_weights: list[Any] = [None] * len(weights)
        self.inputs: list[tuple[Tensor, Tensor]] = []

    def add(self, layers: list[list[Tensor]], y: Tensor, g: Tensor) -> None:
        """Add one block.

        Args:
            layers: what was kept of them.
            y: the coefficients of the results, (order, rows, outputs).
            g: the gradients of value and coefficients, (1 + order, rows, outputs); written over.
        """
        for k in reversed(range(len(layers))):
            value, higher, *kept = layers[k]
            if self.functions[k] is not None:
                self.functions[k].line.transpose(kept, y, g, len(higher))
            y, g_higher = higher, g[1 : 1 + len(higher)]
            if higher.shape[1] != len(value):  # the same for every row
                g_higher = g_higher.sum(1, keepdim=True)
            if self.to_weights[2 * k]:
                self._add(2 * k, g_higher.flatten(0, 1).t(), higher.flatten(0, 1))
                self.of_weights[2 * k].addmm_(g[0].t(), value)
            if self.to_weights[2 * k + 1]:
                self._add(2 * k + 1, g[0])
            if k:
                g = g @ self.weights[2 * k]
            elif self.to_value or self.to_higher:
                self.inputs.append((g[0] @ self.weights[0], g_higher @ self.weights[0]))

    def of_inputs(self, higher: Tensor) -> Tensors:
        """Of the value and the higher coefficients that entered the first layer."""
        if not self.inputs:
            return None, None
        values, highers = zip(*self.inputs, strict=True)
        to_higher = torch.cat(highers, dim=1)
        return torch.cat(values), to_higher.sum(1, keepdim=True) if higher.shape[1] == 1 else to_higher

    def _add(self, place: int, a: Tensor, b: Tensor | None = None) -> None:
        """The product of two, or the sum over the rows of one."""
        total = self.of_weights[place]
        if b is None:
            self.of_weights[place] = a.sum(0) if total is None else total.add_(a.sum(0))
        else:
            self.of_weights[place] = a @ b if total is None else total.addmm_(a, b)


def _differentiable(ctx: Any, gradients: tuple[Tensor, ...]) -> list[Tensor | None]:
    """The backward pass when it will be differentiated itself: that of the same chain, operation by operation."""
    given = ctx.saved_tensors[: 2 + 2 * len(ctx.functions)]
    value, higher, *weights = given
    y = Jet(Space(ctx.order), value, higher, rows_first=True)
    for function, weight, bias in zip(ctx.functions, weights[::2], weights[1::2], strict=True):
        y = linear(y, weight, bias)
        y = y if function is None else apply(function, y)
    wanted = [tensor for tensor, needed in zip(given, ctx.needs_input_grad[2:], strict=True) if needed]
    outputs = y.value, padded(y, ctx.order)
    found = iter(torch.autograd.grad(outputs, wanted, gradients, create_graph=True, allow_unused=True))
    return [next(found) if needed else None for needed in ctx.needs_input_grad[2:]]
