"""The short ways of a jet through a perceptron that is part of a function."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sobolev.autodiff.perceptron.directional import along
from sobolev.autodiff.perceptron.layers import Layers
from sobolev.autodiff.perceptron.many_inputs import forward, pulled_back, second_derivatives
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped
from sobolev.autodiff.taylor.space import Second
from sobolev.autodiff.taylor.tape import Path

_MANY_DIRECTIONS = 32
"""From here on, the first degrees alone take less time than a Laplacian with every layer."""
_KINDS: dict[Second, str] = {"diagonal": "hessian_diagonal", "sum": "laplacian", "pairs": "hessian"}


def through(layers: Layers, x: Jet) -> Jet | None:
    """What the perceptron makes of x, where there is a faster way than by a jet for each layer; else None.

    Args:
        layers: see `sobolev.autodiff.perceptron.layers.perceptron`.
        x: its value is (batch, inputs).
    """
    space, tape = x.space, x.space.tape
    if space.directions == 1 and tape is None:
        return _along(layers, x) if space.order < 3 and len(x.higher) else None
    if space.order != 2 or space.graph:
        return None
    if tape is not None and tape.probing:
        return _value(layers, x) if isinstance(tape, Path) or tape.is_known() else None
    straight = x.rows_first and x.higher.shape[:2] == (
        space.directions,
        1,
    )  # linear in the inputs, the same in all rows
    few = 2 * layers[0][-2].shape[0] <= space.directions
    pays = few and (space.second != "sum" or space.directions >= _MANY_DIRECTIONS)
    return _of_many_inputs(layers, x) if straight and pays and len(x.value) else None


def _along(layers: Layers, x: Jet) -> Jet:
    value, *rows = along(layers, x.value, x.higher, x.space.order)
    return Jet(x.space, value, torch.stack(rows), rows_first=True)


def _value(layers: Layers, x: Jet) -> Jet:
    tape: Any = x.space.tape
    value: Any = _Perceptron.apply(x.value, layers)
    return tape.enter(mapped(x, value, value.new_zeros(0, *value.shape), x.rows_first), x.higher, x.higher)


def _of_many_inputs(layers: Layers, x: Jet) -> Jet:
    space = x.space
    value, first, second = second_derivatives(layers, _KINDS[space.second], x.value, x.higher[:, 0])
    first = first.movedim(-1, 0)
    if space.tape is not None:
        return space.tape.enter(mapped(x, value, first, rows_first=True), x.higher, x.higher, known=second)
    if space.second == "pairs":
        i, j = torch.triu_indices(space.directions, space.directions, device=second.device)
        second = second[..., i, j]
    second = second[None] if space.second == "sum" else second.movedim(-1, 0)
    return Jet(space, value, torch.cat([first, second / 2]), rows_first=True)


class _Perceptron(torch.autograd.Function):
    """Values, and a backward pass that is not differentiable, of a perceptron whose weights are constants."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: Layers) -> Tensor:
        value, slopes, _ = forward(1, layers, x)
        ctx.layers = layers
        ctx.save_for_backward(*slopes)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return pulled_back(ctx.layers, ctx.saved_tensors, gradient), None
