"""Hessian and Laplacian of a perceptron on bare tensors: first degrees forward, a reverse pass for each output.

With z the input of an activation f and g the gradient of an output with respect to f(z), the Hessian is the sum of
g f''(z) (dz/dx)(dz/dx)ᵀ over all units of all layers, and the Laplacian its trace. Only dz/dx has numbers for every
input: it alone is computed in blocks of rows that stay in the cache.
"""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.blocks import cached_numbers, even_rows
from sobolev.autodiff.contractions import LARGEST_COMPILED, contracted, is_one_operation
from sobolev.autodiff.jet import Jet
from sobolev.autodiff.layers import Layers
from sobolev.autodiff.rules.chain import Elementwise
from sobolev.autodiff.rules.kinds import rows
from sobolev.autodiff.space import Space
from sobolev.autodiff.tracing import traced

_OUTER_LAYERS = 3
"""Tensors without an axis of inputs that are in use at a time."""
_MOST_COMPILED = 16
"""Blocks in compiled code."""


def second_derivatives(layers: Layers, kind: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and second derivatives.

    Args:
        layers: see `sobolev.autodiff.layers.perceptron`.
        kind: hessian or laplacian.
        x: (batch, inputs), at least one row.

    Returns:
        (batch, outputs), (batch, outputs, inputs), (batch, outputs[, inputs, inputs]).
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
    blocks, numbers = 1, width * x.numel()
    if x.is_cpu and not is_one_operation(x, numbers):
        while blocks < _MOST_COMPILED and numbers > LARGEST_COMPILED * blocks:
            blocks *= 2
    return x.tensor_split(blocks)  # for any number of rows


def _of_block(layers: Layers, kind: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y, slopes, bends = _forward(layers, x)
    found = [_one_output(layers, slopes, bends, y, output) for output in range(y.shape[1])]
    gradients, factors = zip(*found, strict=True)
    weights = [weight for weight, function in zip(layers[0][::2], layers[1], strict=True) if function is not None]
    return y, _joined(gradients), _joined(contracted(kind, weights, slopes, list(chain(*factors))))


def _forward(layers: Layers, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The value, and f' and f'' of every activation."""
    (weights, functions), value, slopes, bends = layers, x, [], []
    for function, weight, bias in zip(functions, weights[::2], weights[1::2], strict=True):
        value = functional.linear(value, weight, bias)
        if function is not None:
            value, slope, bend = _derivatives(function, value)
            slopes.append(slope)
            bends.append(bend)
    return value, slopes, bends


def _derivatives(function: Elementwise, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The function, f' and f'', at every element; z is written over."""
    if traced():
        jet = function.push(Jet(Space(2), z, z.new_ones(1, *[1] * z.dim())))
        slope, bend = rows(jet)
        return jet.value, slope, 2 * bend
    value, (slope, bend), _ = function.line.expand(2, z, keep=False)
    return value, slope, bend.mul_(2 * function.line.factors[1])


def _one_output(
    layers: Layers, slopes: Sequence[Tensor], bends: Sequence[Tensor], y: Tensor, output: int
) -> tuple[Tensor, list[Tensor]]:
    """Of one output the gradient (batch, inputs), and for every activation g f'', (batch, units).

    For the last output g f'' is written over f'': memory that was not used lately costs more than the product.
    """
    (weights, functions), entered, found = layers, list(zip(slopes, bends, strict=True)), []
    in_place, last = not traced(), output + 1 == y.shape[1]
    gradient = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)[output : output + 1]  # up to a layer: of all rows
    for function, weight in zip(reversed(functions), reversed(weights[::2]), strict=True):
        if function is not None:
            slope, bend = entered.pop()
            found.append(torch.mul(gradient, bend, out=bend if in_place and last else None))
            gradient = torch.mul(gradient, slope, out=gradient if in_place and len(gradient) == len(slope) else None)
        gradient = gradient @ weight
    return gradient, found[::-1]


def _joined(outputs: Sequence[Tensor]) -> Tensor:
    return outputs[0].unsqueeze(1) if len(outputs) == 1 else torch.stack(list(outputs), dim=1)
