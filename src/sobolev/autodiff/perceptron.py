"""The short ways of the operators through a perceptron: on bare tensors, without jets."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.directional import along
from sobolev.autodiff.jet import Jet
from sobolev.autodiff.layers import Layers
from sobolev.autodiff.rules.chain import Elementwise
from sobolev.autodiff.rules.kinds import rows, traced
from sobolev.autodiff.space import Space, sum_of_squares
from sobolev.autodiff.tape import contracted


@dataclass(frozen=True)
class SecondDerivatives:
    """What is asked of the second derivatives.

    Attributes:
        rows: which axis of the first degrees is that of the rows, 0 or 1; the other is that of the inputs.
        keep: first degrees before an activation, the rows or one for all -> what is needed of them.
        contract: that, and a weight for every unit, (batch, units) -> 2 Σ weight (dz/dx) (dz/dx), (batch, ...).
        overwrites: whether the first degrees may be written over once `keep` has seen them.
    """

    rows: int
    keep: Callable[[Tensor], Tensor]
    contract: Callable[[Tensor, Tensor], Tensor]
    overwrites: bool


def _contracted(first: Tensor, weight: Tensor) -> Tensor:
    first = first.transpose(0, 1)
    return contracted(first, first, weight)


HESSIAN = SecondDerivatives(0, lambda first: first, _contracted, False)
LAPLACIAN = SecondDerivatives(1, sum_of_squares, lambda squares, weight: 2 * (squares * weight).sum(1), True)


def short_way(operator: str, layers: Layers, x: Tensor, order: int = 2) -> Callable[..., tuple[Tensor, ...]] | None:
    """The operator for these layers, where there is a faster way than Taylor mode through each operation.

    Args:
        operator: its name.
        layers: see `sobolev.autodiff.layers.perceptron`.
        x: the points, (batch, inputs).
        order: of derivatives along a direction.

    Returns:
        What takes points and the operator's options, and answers as the operator does; or None.
    """
    if operator == "derivatives":
        return partial(_derivatives, layers) if order in (1, 2) and not traced() else None
    second = {"hessian": HESSIAN, "laplacian": LAPLACIAN}.get(operator)
    graph = torch.is_grad_enabled() and not torch.compiler.is_compiling()  # with one, it pays in compiled code only
    if second is None or graph or not len(x) or 2 * layers[0][-2].shape[0] > x.shape[1]:
        return None
    return partial(_second_order, layers, second)


def _derivatives(layers: Layers, x: Tensor, order: int, direction: Tensor) -> tuple[Tensor, ...]:
    """Value and derivatives along the direction, (batch or 1, inputs)."""
    y, first, *second = along(layers, x, direction[None], order)
    return y, first, *[row + row for row in second]


def _second_order(layers: Layers, second: SecondDerivatives, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and second derivatives of a perceptron: first degrees forward, a reverse pass for each output.

    With z the input of an activation f and g the gradient of an output with respect to f(z), the Hessian is the sum
    of g f''(z) (dz/dx)(dz/dx)ᵀ over all units of all layers, and the Laplacian its trace.

    Args:
        layers: see `sobolev.autodiff.layers.perceptron`.
        second: Hessian or Laplacian.
        x: (batch, inputs).

    Returns:
        (batch, outputs), (batch, outputs, inputs), (batch, outputs[, inputs, inputs]).
    """
    y, entered = _forward(layers, x, second)
    found = [_one_output(layers, entered, y, second, output) for output in range(y.shape[1])]
    first, derivatives = zip(*found, strict=True)
    return y, _joined(first), _joined(derivatives)


def _joined(outputs: tuple[Tensor, ...]) -> Tensor:
    return outputs[0].unsqueeze(1) if len(outputs) == 1 else torch.stack(outputs, dim=1)


def _forward(
    layers: Layers, x: Tensor, second: SecondDerivatives
) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    """The value, and for each activation what is kept of the first degrees, f' and f''/2."""
    weights, functions = layers
    value, first = x, torch.eye(x.shape[1], dtype=x.dtype, device=x.device).unsqueeze(second.rows)
    entered, left = [], sum(function is not None for function in functions)
    for function, weight, bias in zip(functions, weights[::2], weights[1::2], strict=True):
        value = functional.linear(value, weight, bias)
        if function is None:
            continue  # the last layer
        first = functional.linear(first, weight)
        value, slope, bend = _two_coefficients(function, value)
        entered.append((second.keep(first), slope, bend))
        left -= 1
        if left:
            full = second.overwrites and first.shape[second.rows] == len(slope) and not torch.is_grad_enabled()
            slope = slope.unsqueeze(1 - second.rows)
            first = first.mul_(slope) if full else slope * first
    return value, entered


def _one_output(
    layers: Layers, entered: list[tuple[Tensor, Tensor, Tensor]], y: Tensor, second: SecondDerivatives, output: int
) -> tuple[Tensor, Tensor]:
    """Gradient (batch, inputs) and second derivatives (batch, ...) of one output."""
    weights, functions = layers
    waiting, parts = list(entered), []
    gradient = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)[output : output + 1]  # up to a layer: of all rows
    for function, weight in zip(reversed(functions), reversed(weights[::2]), strict=True):
        if function is not None:
            kept, slope, bend = waiting.pop()
            parts.append(second.contract(kept, gradient * bend))
            gradient = gradient * slope
        gradient = gradient @ weight
    return gradient, sum(parts[1:], parts[0])


def _two_coefficients(function: Elementwise, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The function, f' and f''/2, at every element."""
    jet = function.push(Jet(Space(2), z, z.new_ones(1, *[1] * z.dim())))
    slope, bend = rows(jet)
    return jet.value, slope, bend
