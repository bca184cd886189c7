"""The backward pass of a perceptron along one direction, see `sobolev.autodiff.perceptron.directional`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.perceptron.layers import Layers

Kept = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""Of one layer: value and coefficients that entered, and what its activation kept."""


class Gradients:
    """What the blocks of rows contribute to the gradients.

    Args:
        layers: see `sobolev.autodiff.perceptron.layers.perceptron`.
        scaled: see `sobolev.autodiff.perceptron.directional.scaled_weights`.
        needed: whether there is a gradient to the value and the coefficients that enter, and to each weight and bias.
    """

    def __init__(self, layers: Layers, scaled: list[Tensor] | None, needed: Sequence[bool]) -> None:
        self.weights = layers[0]
        self.second_layer = None if scaled is None else [self.weights[2], *(weight.t() for weight in scaled)]
        self.functions: Sequence[Any] = layers[1]
        self.to_value, self.to_higher, *self.to_weights = needed
        self.of_weights: list[Any] = [None] * len(self.weights)
        self.of_scaled: list[Any] = [None] * len(scaled or ())
        self.of_values: list[Tensor] = []
        self.of_highers: list[Tensor] = []

    def add(self, layers: Sequence[Kept], y: Sequence[Tensor], g: Tensor) -> None:
        """Add one block.

        Args:
            layers: what was kept of them.
            y: the coefficients of the results, each (rows, outputs); not needed without an activation at the end.
            g: the gradients of value and coefficients, (1 + order, rows, outputs); written over.
        """
        first = 0 if self.second_layer is None else 2
        for k in reversed(range(first, len(layers))):
            (value, higher), kept = layers[k]
            self._through_activation(k, kept, y, g, len(higher))
            self._to_layer(k, value, g[0])
            g, y = self._through_higher(k, higher, g), higher.unbind(0)
        if self.second_layer is not None:
            self._through_scaled(self.second_layer, layers[0], layers[1], y, g)

    def total(self, higher: Tensor) -> list[Tensor | None]:
        """The gradients to the value and the coefficients that entered, and to each weight and bias."""
        if self.second_layer is not None and self._needs_scaled():
            self._of_scaled_weights(higher[0])
        to_value = torch.cat(self.of_values) if self.of_values else None
        to_higher = torch.cat(self.of_highers, dim=1) if self.of_highers else None
        if to_higher is not None and higher.shape[1] == 1:
            to_higher = to_higher.sum(1, keepdim=True)
        return [to_value, to_higher, *self.of_weights]

    def _through_activation(self, k: int, kept: Sequence[Tensor], y: Sequence[Tensor], g: Tensor, higher: int) -> None:
        if self.functions[k] is not None:
            self.functions[k].line.transpose(kept, y, g, higher)

    def _to_layer(self, k: int, value: Tensor, g: Tensor) -> None:
        """To the weight and the bias of a layer, by the value."""
        if self.to_weights[2 * k]:
            self.of_weights[2 * k] = _plus(self.of_weights[2 * k], g.t(), value)
        if self.to_weights[2 * k + 1]:
            of_rows = g.sum(0)
            total = self.of_weights[2 * k + 1]
            self.of_weights[2 * k + 1] = of_rows if total is None else total.add_(of_rows)

    def _through_higher(self, k: int, higher: Tensor, g: Tensor) -> Tensor:
        """Through a layer, and to its weight by the coefficients."""
        of_higher = g[1 : 1 + len(higher)]
        if higher.shape[1] != g.shape[1]:  # the same for every row
            of_higher = of_higher.sum(1, keepdim=True)
        weight = self.weights[2 * k]
        if self.to_weights[2 * k]:
            self.of_weights[2 * k].addmm_(of_higher.flatten(0, 1).t(), higher.flatten(0, 1))
        if k:
            return g @ weight
        if self.to_value:
            self.of_values.append(g[0] @ weight)
        if self.to_higher:
            self.of_highers.append(of_higher @ weight)
        return g

    def _through_scaled(self, weights: list[Tensor], first: Kept, second: Kept, y: Sequence[Tensor], g: Tensor) -> None:
        """Through the first two layers; the second has a weight for the value and for each coefficient."""
        ((x,), first_kept), ((value, *expanded), kept) = first, second
        self._through_activation(1, kept, y, g, len(expanded))
        self._to_layer(1, value, g[0])
        if self._needs_scaled():
            gradients = zip(self.of_scaled, g[1:], expanded, strict=True)
            self.of_scaled = [_plus(total, row.t(), entered) for total, row, entered in gradients]
        g = products(g.unbind(0), weights)
        g = self.functions[0].line.gather(first_kept, g)
        self._to_layer(0, x, g)
        if self.to_value:
            self.of_values.append(g @ self.weights[0])

    def _needs_scaled(self) -> bool:
        return self.to_weights[0] or self.to_weights[2] or self.to_higher

    def _of_scaled_weights(self, direction: Tensor) -> None:
        """From the scaled weights to those of the first two layers and the direction, (1, inputs)."""
        entering, weight, factor = self.weights[0], self.weights[2], self.functions[0].line.factors[1]
        units = functional.linear(direction, entering)
        of_scaled, *of_squared = self.of_scaled
        of_units = (of_scaled * weight).sum(0)
        for gradient in of_squared:
            of_units += (gradient * weight).sum(0) * (2 * factor * units[0])
            of_scaled = of_scaled + gradient * (factor * units)
        if self.to_weights[2]:
            self.of_weights[2].addcmul_(of_scaled, units)
        if self.to_weights[0]:
            self.of_weights[0].addmm_(of_units[:, None], direction)
        if self.to_higher:
            self.of_highers.append((of_units[None] @ entering)[None])


def products(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """A[k] @ b[k], stacked."""
    result = a[0].new_empty(len(a), len(a[0]), b[0].shape[1])
    for row, left, right in zip(result.unbind(0), a, b, strict=True):
        torch.mm(left, right, out=row)
    return result


def _plus(total: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    """Total + a @ b; written over."""
    return a @ b if total is None else total.addmm_(a, b)
