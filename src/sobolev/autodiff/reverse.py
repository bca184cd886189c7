"""Nested reverse mode: slow, robust, and the second opinion on every other method."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from sobolev.autodiff.elementary import GraphsKept, elementary_backward
from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.precision import HALF, SinglePrecision
from sobolev.autodiff.taylor.tape import graph_of, leads_elsewhere, leads_to
from sobolev.autodiff.tracing import traced
from sobolev.errors import UntrustworthyDerivativeError

_MANY = 8
"""With fewer outputs, or fewer than two for each direction, a reverse pass for each output takes less time."""


def _carefully(operator: Callable[..., Any]) -> Callable[..., Any]:
    """By backward passes that can be differentiated often, and in single precision at least.

    Half precision is good for the points and the results, not for what lies between.
    """

    @wraps(operator)
    def differentiate(f: BatchedFunction, x: Tensor, *args: Any, **options: Any) -> tuple[Tensor, ...]:
        if x.dtype not in HALF:
            with elementary_backward():
                return operator(f, x, *args, **options)
        with SinglePrecision(), elementary_backward():
            results = operator(f, x.float(), *args, **options)
        return tuple(result.to(x.dtype) for result in results)

    return differentiate


@_carefully
def derivatives(f: BatchedFunction, x: Tensor, order: int, direction: Tensor) -> tuple[Tensor, ...]:
    """See `Engine.derivatives`."""
    x = _differentiable(x)
    y = _value(f, x)
    if _pushing_pays(y, directions=1):
        with suppress(RuntimeError):  # a backward pass that cannot be differentiated: output by output
            return _without_own_graph(x, *_all_at_once(y, x, order, direction))
    tower, flat = [_components(y)], (x.shape[0], x.shape[1:].numel())
    for _ in range(order):
        tower.append([(_gradient(component, x) * direction).reshape(flat).sum(1) for component in tower[-1]])
    found = (torch.stack(level, dim=1).reshape(y.shape) if level else y.new_zeros(y.shape) for level in tower)
    return _without_own_graph(x, *found)


def _all_at_once(y: Tensor, x: Tensor, order: int, direction: Tensor) -> list[Tensor]:
    """Directional derivatives of many outputs, two reverse passes for each order, for however many outputs."""
    tower = [y]
    for _ in range(order):
        tower.append(_pushed(*_pulled(tower[-1], x), direction))
    return tower


def _pulled(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Some u and uᵀJ, which is linear in u: the gradient of uᵀJ v by u is J v."""
    seed = torch.ones_like(y, requires_grad=True)
    return seed, torch.autograd.grad(y, x, seed, create_graph=True)[0]


def _pushed(seed: Tensor, pulled: Tensor, direction: Tensor) -> Tensor:
    return torch.autograd.grad((pulled * direction).sum(), seed, create_graph=True)[0]


def _pushing_pays(y: Tensor, directions: int) -> bool:
    """Whether all outputs at once, direction by direction, take less time than one after the other.

    A backward somewhere that is somebody's own need be neither linear nor differentiable.
    """
    return y.shape[1:].numel() >= max(_MANY, 2 * directions) and not any(
        isinstance(node, BackwardCFunction) for node in graph_of(y)
    )


@_carefully
def jacobian(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor]:
    """See `Engine.jacobian`."""
    x = _differentiable(x)
    y = _value(f, x)
    return _without_own_graph(x, y, _jacobian(y, x))


@_carefully
def hessian(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `Engine.hessian`."""
    y, J, x = _value_and_jacobian(f, x)
    return _without_own_graph(x, y, J, _jacobian(J, x))


@_carefully
def hessian_diagonal(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `Engine.hessian_diagonal`."""
    y, J, x = _value_and_jacobian(f, x)
    inputs, outputs = x.shape[1:].numel(), y.shape[1:].numel()
    rows = J.reshape(x.shape[0], outputs, inputs)
    if _pushing_pays(y, directions=1):
        with suppress(RuntimeError):  # a backward pass that cannot be differentiated: output by output
            columns = [_pushed(*_pulled(rows[:, :, i], x), unit) for i, unit in enumerate(_units(x))]
            return _without_own_graph(x, y, J, torch.stack(columns, dim=2).reshape(J.shape))
    diagonal = [
        _gradient(rows[:, o, i], x).reshape(x.shape[0], inputs)[:, i] for o in range(outputs) for i in range(inputs)
    ]
    return _without_own_graph(x, y, J, torch.stack(diagonal, dim=1).reshape(J.shape) if diagonal else J)


@_carefully
def laplacian(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `Engine.laplacian`."""
    y, J, diagonal = hessian_diagonal(f, x)
    return y, J, diagonal.flatten(y.dim()).sum(-1) if diagonal.dim() > y.dim() else diagonal


def _differentiable(x: Tensor) -> Tensor:
    """An alias to differentiate by; gradients still flow on to `x` where they are asked for."""
    return x.view_as(x) if x.requires_grad else x.detach().requires_grad_()


def _without_own_graph(x: Tensor, y: Tensor, *higher: Tensor) -> Any:
    """The results; of a function without weights, whose graph leads to our alias alone, without a graph."""
    if traced() or x.grad_fn is not None or leads_elsewhere(y, x):
        return y, *higher
    return y.detach(), *(tensor.detach() for tensor in higher)


def _value(f: BatchedFunction, x: Tensor) -> Tensor:
    # gradients also afterwards: f may leave them switched off
    with torch.enable_grad(), GraphsKept():
        y = f(x.clone())  # a clone: f may write to its argument
    if not (traced() or leads_to(y, x)) and len(x) and not torch.equal(y, f((x + x.abs() + 1).detach())):
        raise UntrustworthyDerivativeError(
            "the output changes with x, but carries no graph back to it: the forward runs under no_grad, "
            "detaches, or leaves torch. Remove that, or use method='taylor'"
        )
    return y


def _value_and_jacobian(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x = _differentiable(x)
    y = _value(f, x)
    return y, _jacobian(y, x), x


def _components(y: Tensor) -> list[Tensor]:
    return list(y.reshape(y.shape[0], -1).unbind(1)) if y.shape[0] else [y.reshape(0)] * y.shape[1:].numel()


def _jacobian(y: Tensor, x: Tensor) -> Tensor:
    """(batch, *out) and (batch, *in) -> (batch, *out, *in), one backward per output component, or per input."""
    shape = (*y.shape, *x.shape[1:])
    if _pushing_pays(y, directions=x.shape[1:].numel()):
        with suppress(RuntimeError):
            seed, pulled = _pulled(y, x)
            return torch.stack([_pushed(seed, pulled, unit) for unit in _units(x)], dim=-1).reshape(shape)
    rows = [_gradient(component, x) for component in _components(y)]
    return torch.stack(rows, dim=1).reshape(shape) if rows else y.new_zeros(shape)


def _units(x: Tensor) -> Tensor:
    """The directions of the inputs, (inputs, *in)."""
    inputs = x.shape[1:].numel()
    return torch.eye(inputs, dtype=x.dtype, device=x.device).reshape(inputs, *x.shape[1:])


def _gradient(component: Tensor, x: Tensor) -> Tensor:
    """Gradient of a (batch,) tensor by the rows of x, which it may not depend on at all."""
    if not component.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(component.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True)
    return gradient
