"""A chain of layers on jets: what one layer hands to the next is nobody else's, and may be written over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.activations import GELU, GELU_TANH, MISH, SILU
from sobolev.autodiff.rules.chain import Elementwise
from sobolev.autodiff.rules.kinds import traced
from sobolev.autodiff.rules.linear import linear
from sobolev.autodiff.rules.riccati import SIGMOID, TANH
from sobolev.autodiff.space import Space, sum_of_squares
from sobolev.autodiff.tape import contracted

Step = tuple[Any, Elementwise | None]
"""A layer, and its function where it is an activation."""

_ACTIVATIONS = {nn.Tanh: TANH, nn.Sigmoid: SIGMOID, nn.SiLU: SILU, nn.Mish: MISH}


def sequential(module: nn.Sequential, x: Any) -> Any:
    """The forward of a `torch.nn.Sequential`; on jets it needs fewer buffers, and less time, than layer by layer.

    Args:
        module: calls one layer after the other.
        x: a tensor, or a jet.
    """
    if not isinstance(x, Jet) or torch.is_grad_enabled() or x.space.tape is not None or traced():
        return nn.Sequential.forward(module, x)
    for layer in module:
        x = _applied(layer, x)
    if isinstance(x, Jet):
        x.writable = False
    return x


@dataclass(frozen=True)
class Second:
    """What is asked of the second derivatives.

    Attributes:
        keep: first degrees before an activation, (inputs, batch or 1, units) -> what is needed of them.
        contract: that, and a weight for every unit, (batch, units) -> 2 Σ weight (dz/dx) (dz/dx), (batch, ...).
        overwrites: whether the first degrees may be written over once `keep` has seen them.
    """

    keep: Callable[[Tensor], Tensor]
    contract: Callable[[Tensor, Tensor], Tensor]
    overwrites: bool


HESSIAN = Second(lambda first: first, lambda first, weight: contracted(first, first, weight), False)
LAPLACIAN = Second(lambda first: sum_of_squares(first), lambda squares, weight: 2 * (squares * weight).sum(1), True)


def second_order(module: nn.Sequential, x: Tensor, second: Second) -> tuple[Tensor, Tensor, Tensor] | None:
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
    steps = [(layer, _activation(layer)) for layer in module]
    known = all(_unhooked(layer) and (function or type(layer) is nn.Linear) for layer, function in steps)
    if not known or x.dim() != 2 or any(p.dtype != x.dtype for p in module.parameters()):
        return None
    outputs = next((layer.out_features for layer in reversed(module) if type(layer) is nn.Linear), x.shape[1])
    if 2 * outputs > x.shape[1]:
        return None
    y, entered = _forward(steps, x, second)
    rows = [_one_output(steps, entered, y, second, output) for output in range(outputs)]
    first, derivatives = zip(*rows, strict=True)
    return y, _joined(first), _joined(derivatives)


def _joined(outputs: tuple[Tensor, ...]) -> Tensor:
    return outputs[0].unsqueeze(1) if len(outputs) == 1 else torch.stack(outputs, dim=1)


def _forward(steps: list[Step], x: Tensor, second: Second) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    """The value, and for each activation what is kept of the first degrees, f' and f''/2."""
    value, first = x, torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[:, None]
    entered, left = [], sum(function is not None for _, function in steps)
    for layer, function in steps:
        if function:
            value, slope, bend = _two_coefficients(function, value)
            entered.append((second.keep(first), slope, bend))
            left -= 1
            if left:
                full = second.overwrites and first.shape[1:] == slope.shape
                first = first.mul_(slope) if full else slope * first
        else:
            value = functional.linear(value, layer.weight, layer.bias)
            first = functional.linear(first, layer.weight) if left else first
    return value, entered


def _one_output(
    steps: list[Step], entered: list[tuple[Tensor, Tensor, Tensor]], y: Tensor, second: Second, output: int
) -> tuple[Tensor, Tensor]:
    """Gradient (batch, inputs) and second derivatives (batch, ...) of one output."""
    gradient, waiting, parts = torch.zeros_like(y), list(entered), []
    gradient[:, output] = 1
    for layer, function in reversed(steps):
        if function:
            kept, slope, bend = waiting.pop()
            parts.append(second.contract(kept, gradient * bend))
            gradient = gradient * slope
        else:
            gradient = gradient @ layer.weight
    if not parts:  # as if an activation had entered without bend
        first = torch.eye(gradient.shape[1], dtype=y.dtype, device=y.device)[:, None]
        parts.append(second.contract(second.keep(first), torch.zeros_like(gradient)))
    return gradient, sum(parts[1:], parts[0])


def _two_coefficients(function: Elementwise, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The function, f' and f''/2, at every element."""
    jet = function.push(Jet(Space(2), z, z.new_ones(1, *[1] * z.dim())))
    slope, bend = jet.higher.unbind(0)
    return jet.value, slope, bend


def is_plain(module: Any) -> bool:
    """Whether a call of the module does nothing but call one layer after the other."""
    own = nn.Sequential.forward, sequential
    return isinstance(module, nn.Sequential) and type(module).forward in own and _unhooked(module)


def _applied(layer: nn.Module, x: Any) -> Any:
    if isinstance(x, Jet) and _unhooked(layer):
        if type(layer) is nn.Linear:
            y = linear(x, layer.weight, layer.bias)
            y.writable = True
            return y
        function = _activation(layer)
        if function is not None:
            y = function.push(x)
            y.rows_first = x.rows_first
            return y
    if isinstance(x, Jet):
        x.writable = False
    return layer(x)


def _activation(layer: nn.Module) -> Elementwise | None:
    if type(layer) is nn.GELU:
        return GELU if layer.approximate == "none" else GELU_TANH
    return None if getattr(layer, "inplace", False) else _ACTIVATIONS.get(type(layer))


def _unhooked(module: nn.Module) -> bool:
    """Neither hooks, nor a compiled call, nor a forward of the instance's own, which the short way would miss."""
    everywhere = nn.modules.module
    return not (
        "forward" in vars(module)
        or module._forward_pre_hooks
        or module._forward_hooks
        or module._compiled_call_impl is not None
        or everywhere._global_forward_pre_hooks
        or everywhere._global_forward_hooks
    )
