"""Jacobian, Hessian and Laplacian of a perceptron on bare tensors, by a reverse pass for each output.

With z the input of an activation f and g the gradient of an output with respect to f(z), the Hessian is the sum of
g f''(z) (dz/dx)(dz/dx)ᵀ over all units of all layers, and the Laplacian its trace.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.blocks import cached_numbers, even_rows
from sobolev.autodiff.perceptron.contractions import LARGEST_COMPILED, contracted, is_one_operation
from sobolev.autodiff.perceptron.layers import Layers
from sobolev.autodiff.rules.elementwise.chain import Elementwise
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.propagation import rows
from sobolev.autodiff.taylor.space import Space
from sobolev.autodiff.tracing import traced

_OUTER_LAYERS = 3
"""Tensors without an axis of inputs that are in use at a time."""
_MOST_COMPILED = 16
"""Blocks in compiled code."""


def jacobian(layers: Layers, x: Tensor) -> tuple[Tensor, Tensor]:
    """Value (batch, outputs) and Jacobian (batch, outputs, inputs).

    Args:
        layers: see `sobolev.autodiff.perceptron.layers.perceptron`.
        x: (batch, inputs), at least one row.
    """
    blocks = []
    for part in _outer_blocks(layers, x):
        y, slopes, _ = _forward(1, layers, part)
        gradients = [_pulled_back(layers, slopes, _unit(y, output)) for output in range(y.shape[1])]
        blocks.append((y, _joined(gradients)))
    y, J = blocks[0] if len(blocks) == 1 else map(torch.cat, zip(*blocks, strict=True))
    return y, J


def second_derivatives(layers: Layers, kind: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and second derivatives.

    Args:
        layers: see `sobolev.autodiff.perceptron.layers.perceptron`.
        kind: hessian, hessian_diagonal or laplacian.
        x: (batch, inputs), at least one row.

    Returns:
        (batch, outputs), (batch, outputs, inputs), (batch, outputs[, inputs[, inputs]]).
    """
    blocks = [_of_block(layers, kind, part) for part in _outer_blocks(layers, x)]
    y, jacobian, second = blocks[0] if len(blocks) == 1 else map(torch.cat, zip(*blocks, strict=True))
    return y, jacobian, second


def _outer_blocks(layers: Layers, x: Tensor) -> Sequence[Tensor]:
    """In compiled code, where each is written out, only few."""
    width = max(weight.shape[0] for weight in layers[0][::2])
    if not traced():
        most = cached_numbers(x.device) // (_OUTER_LAYERS * width)
        return x.split(even_rows(len(x), max(most, 1)))
    if torch.compiler.is_exporting():  # for any number of rows, which is not to be looked at
        return [x]
    blocks, numbers = 1, width * x.numel()
    if x.is_cpu and not is_one_operation(x, numbers):
        while blocks < _MOST_COMPILED and numbers > LARGEST_COMPILED * blocks:
            blocks *= 2
    return x.tensor_split(blocks)  # for any number of rows


def _of_block(layers: Layers, kind: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y, slopes, bends = _forward(2, layers, x)
    gradients, factors = [], []
    for output in range(y.shape[1]):
        last = output + 1 == y.shape[1]  # then f'' is written over: memory that was not used lately costs time
        found = [bend if last and not traced() else None for bend in bends]

        def weigh(k: int, gradient: Tensor, found: list[Tensor | None] = found) -> None:
            found[k] = torch.mul(gradient, bends[k], out=found[k])

        gradients.append(_pulled_back(layers, slopes, _unit(y, output), weigh))
        factors += found
    units = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    first = functional.linear(units, layers[0][0])  # a compiler would read the transposed weights number by number
    weights = [weight for weight, function in zip(layers[0][::2], layers[1], strict=True) if function is not None]
    return y, _joined(gradients), _joined(contracted(kind, first, weights, slopes, factors))


def _forward(order: int, layers: Layers, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The value, f' and, for order 2, f'' of every activation."""
    (weights, functions), value, slopes, bends = layers, x, [], []
    for function, weight, bias in zip(functions, weights[::2], weights[1::2], strict=True):
        value = functional.linear(value, weight, bias)
        if function is not None:
            value, slope, *bend = _derivatives(order, function, value)
            slopes.append(slope)
            bends += bend
    return value, slopes, bends


def _derivatives(order: int, function: Elementwise, z: Tensor) -> tuple[Tensor, ...]:
    """The function, f' and, for order 2, f'', at every element; z is written over."""
    if traced():
        jet = function.push(Jet(Space(order), z, z.new_ones(1, *[1] * z.dim())))
        slope, *bend = rows(jet)
        return jet.value, slope, *[2 * row for row in bend]
    value, (slope, *bend), _ = function.line.expand(order, z, keep=False)
    return value, slope, *[row.mul_(2 * function.line.factors[1]) for row in bend]


def _unit(y: Tensor, output: int) -> Tensor:
    """The gradient of an output with respect to all of them, (1, outputs)."""
    return torch.eye(y.shape[1], dtype=y.dtype, device=y.device)[output : output + 1]


def _pulled_back(
    layers: Layers, slopes: Sequence[Tensor], gradient: Tensor, visit: Callable[[int, Tensor], None] | None = None
) -> Tensor:
    """The gradient with respect to x, (batch, inputs).

    Args:
        layers: see `sobolev.autodiff.perceptron.layers.perceptron`.
        slopes: f' of every activation, (batch, units).
        gradient: with respect to y, (batch or 1, outputs).
        visit: is called with the number of each activation and the gradient with respect to it.
    """
    (weights, functions), k, own = layers, len(slopes), False
    for function, weight in zip(reversed(functions), reversed(weights[::2]), strict=True):
        if function is not None:
            k -= 1
            if visit is not None:
                visit(k, gradient)
            gradient = torch.mul(gradient, slopes[k], out=gradient if own else None)
        gradient = gradient @ weight
        own = not traced() and len(gradient) == len(slopes[0])
    return gradient


def _joined(outputs: Sequence[Tensor]) -> Tensor:
    return outputs[0].unsqueeze(1) if len(outputs) == 1 else torch.stack(list(outputs), dim=1)
