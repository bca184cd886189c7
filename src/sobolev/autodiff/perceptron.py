"""Hessian and Laplacian of a perceptron: first degrees forward, and one reverse pass for each output."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.layers import activation, is_linear, unhooked
from sobolev.autodiff.rules.chain import Elementwise
from sobolev.autodiff.rules.kinds import rows
from sobolev.autodiff.space import Space, sum_of_squares
from sobolev.autodiff.tape import contracted

Step = tuple[Any, Elementwise | None]
"""A layer, and its function where it is an activation."""


@dataclass(frozen=True)
class SecondDerivatives:
    """What is asked of the second derivatives.

    Attributes:
        keep: first degrees before an activation, (inputs, batch or 1, units) -> what is needed of them.
        contract: that, and a weight for every unit, (batch, units) -> 2 Σ weight (dz/dx) (dz/dx), (batch, ...).
        overwrites: whether the first degrees may be written over once `keep` has seen them.
    """

    keep: Callable[[Tensor], Tensor]
    contract: Callable[[Tensor, Tensor], Tensor]
    overwrites: bool


HESSIAN = SecondDerivatives(lambda first: first, lambda first, weight: contracted(first, first, weight), False)
LAPLACIAN = SecondDerivatives(
    lambda first: sum_of_squares(first), lambda squares, weight: 2 * (squares * weight).sum(1), True
)


def second_order(module: nn.Sequential, x: Tensor, second: SecondDerivatives) -> tuple[Tensor, Tensor, Tensor] | None:
    """Value, Jacobian and second derivatives of a perceptron: first degrees forward, a reverse pass for each output.

    With z the input of an activation f and g the gradient of an output with respect to f(z), the Hessian is the sum
    of g f''(z) (dz/dx)(dz/dx)ᵀ over all units of all layers, and the Laplacian its trace.

    Args:
        module: linear layers and smooth activations.
        x: (batch, inputs).
        second: Hessian or Laplacian.

    Returns:
        (batch, outputs), (batch, outputs, inputs), (batch, outputs[, inputs, inputs]); None where a layer is of another
        kind, or there are more outputs than passes would pay.
    """
    steps = [(layer, activation(layer)) for layer in module]
    known = all(unhooked(layer) and (function or is_linear(layer)) for layer, function in steps)
    if not known or x.dim() != 2 or any(p.dtype != x.dtype for p in module.parameters()):
        return None
    outputs = next((layer.out_features for layer in reversed(module) if type(layer) is nn.Linear), x.shape[1])
    if 2 * outputs > x.shape[1]:
        return None
    y, entered = _forward(steps, x, second)
    found = [_one_output(steps, entered, y, second, output) for output in range(outputs)]
    first, derivatives = zip(*found, strict=True)
    return y, _joined(first), _joined(derivatives)


def _joined(outputs: tuple[Tensor, ...]) -> Tensor:
    return outputs[0].unsqueeze(1) if len(outputs) == 1 else torch.stack(outputs, dim=1)


def _forward(
    steps: list[Step], x: Tensor, second: SecondDerivatives
) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    """The value, and for each activation what is kept of the first degrees, f' and f''/2."""
    value, first = x, torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[:, None]
    entered, left = [], sum(function is not None for _, function in steps)
    for layer, function in steps:
        if function:
            value, slope, bend = _two_coefficients(function, value)
            entered.append((second.keep(first), slope, bend))
            left -= 1
            if left:
                full = second.overwrites and first.shape[1:] == slope.shape and not torch.is_grad_enabled()
                first = first.mul_(slope) if full else slope * first
        else:
            value = functional.linear(value, layer.weight, layer.bias)
            first = functional.linear(first, layer.weight) if left else first
    return value, entered


def _one_output(
    steps: list[Step], entered: list[tuple[Tensor, Tensor, Tensor]], y: Tensor, second: SecondDerivatives, output: int
) -> tuple[Tensor, Tensor]:
    """Gradient (batch, inputs) and second derivatives (batch, ...) of one output."""
    waiting, parts = list(entered), []
    gradient = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)[output : output + 1]  # up to a layer: of all rows
    for layer, function in reversed(steps):
        if function:
            kept, slope, bend = waiting.pop()
            parts.append(second.contract(kept, gradient * bend))
            gradient = gradient * slope
        else:
            gradient = gradient @ layer.weight
    if not parts:  # as if an activation had entered without bend
        gradient = gradient.repeat(y.shape[0], 1)
        first = torch.eye(gradient.shape[1], dtype=y.dtype, device=y.device)[:, None]
        parts.append(second.contract(second.keep(first), torch.zeros_like(gradient)))
    return gradient, sum(parts[1:], parts[0])


def _two_coefficients(function: Elementwise, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The function, f' and f''/2, at every element."""
    jet = function.push(Jet(Space(2), z, z.new_ones(1, *[1] * z.dim())))
    slope, bend = rows(jet)
    return jet.value, slope, bend
