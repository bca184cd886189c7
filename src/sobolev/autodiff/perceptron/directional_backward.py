"""The backward pass of a perceptron along one direction, see `sobolev.autodiff.perceptron.directional`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.perceptron.layers import Layers

Kept = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""Of one layer: value and coefficients that entered, and what its activation kept."""


class Gradients:
    """What the blocks of rows contribute to the gradients.

    Args:
        layers: see `sobolev.autodiff.perceptron.layers.perceptron`.
        needed: whether there is a gradient to the value and the coefficients that enter, and to each weight and bias.
    """

    def __init__(self, layers: Layers, needed: Sequence[bool]) -> None:
        self.weights = layers[0]
        self.functions: Sequence[Any] = layers[1]
        self.to_value, self.to_higher, *self.to_weights = needed
        self.of_weights: list[Any] = [None] * len(self.weights)
        self.of_values: list[Tensor] = []
        self.of_highers: list[Tensor] = []

    def add(self, layers: Sequence[Kept], y: Sequence[Tensor], g: Tensor) -> None:
        """Add one block.

        Args:
            layers: what was kept of them.
            y: the coefficients of the results, each (rows, outputs); not needed without an activation at the end.
            g: the gradients of value and coefficients, (1 + order, rows, outputs); written over.
        """
        for k in reversed(range(len(layers))):
            (value, higher), kept = layers[k]
            self._through_activation(k, kept, y, g, len(higher))
            self._to_layer(k, value, g[0])
            g, y = self._through_higher(k, higher, g), higher.unbind(0)

    def total(self, higher: Tensor) -> list[Tensor | None]:
        """The gradients to the value and the coefficients that entered, and to each weight and bias."""
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


def _plus(total: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    """Total + a @ b; written over."""
    return a @ b if total is None else total.addmm_(a, b)
