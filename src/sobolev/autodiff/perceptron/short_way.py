"""The short ways of the operators through a perceptron: on bare tensors, without jets."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sobolev.autodiff.perceptron.contractions import CONTRACTIONS
from sobolev.autodiff.perceptron.directional import along
from sobolev.autodiff.perceptron.layers import Layers
from sobolev.autodiff.perceptron.many_inputs import jacobian, second_derivatives
from sobolev.autodiff.tracing import traced


def short_way(operator: str, layers: Layers, x: Tensor, order: int = 2) -> Callable[..., tuple[Tensor, ...]] | None:
    """The operator for these layers, where there is a faster way than Taylor mode through each operation.

    Args:
        operator: its name.
        layers: see `sobolev.autodiff.perceptron.layers.perceptron`.
        x: the points, (batch, inputs).
        order: of derivatives along a direction.

    Returns:
        What takes points and the operator's options, and answers as the operator does; it finds blocks of rows for
        itself. Or None.
    """
    if operator == "derivatives":
        return partial(_derivatives, layers) if order in (1, 2) and not traced() else None
    graph = torch.is_grad_enabled() and not torch.compiler.is_compiling()  # with one, it pays in compiled code only
    if graph or not len(x) or 2 * layers[0][-2].shape[0] > x.shape[1]:
        return None
    if operator == "jacobian":
        return partial(jacobian, layers)
    return partial(second_derivatives, layers, operator) if operator in CONTRACTIONS else None


def _derivatives(layers: Layers, x: Tensor, order: int, direction: Tensor) -> tuple[Tensor, ...]:
    """Value and derivatives along the direction, (batch or 1, inputs)."""
    y, first, *second = along(layers, x, direction[None], order)
    return y, first, *[row + row for row in second]
