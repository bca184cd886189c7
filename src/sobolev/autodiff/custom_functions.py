"""Is the backward pass of a custom `torch.autograd.Function` differentiable? If not, autograd is wrong in silence.

A backward under `@once_differentiable` or `torch.no_grad()`, one that detaches, or one that uses what forward computed
without a graph, is right the first time; differentiated again, what it does not know of counts as a constant. So the
backward is called at neighbouring points with the same gradient: what it returns may change only as its graph says.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from sobolev.errors import UntrustworthyDerivativeError

_ROWS = 8
_STEP, _OTHER_STEP = 1e-2, 4e-3
"""Relative to the size of what is changed; large enough for float32."""
_CUT = 2e-2
"""What changes by more of itself than this against what its graph says."""

_MESSAGE = (
    "the backward of the custom torch.autograd.Function {} cannot be differentiated again (@once_differentiable, "
    "no_grad, detach, numbers that its forward saved without a graph): autograd takes for constant what is not. Write "
    "it in differentiable torch operations"
)

_CHANGES = (
    "a backward pass changes what the function computes next (the custom torch.autograd.Function {} writes to a tensor "
    "that its forward reads): whatever is differentiated twice is wrong. Leave such tensors as they are"
)

_RIGHT: WeakSet = WeakSet()
"""Functions of whose backward passes nothing is to be found fault with."""


def cut_function(f: Callable[[Tensor], Any], x: Tensor, weights: bool) -> str | None:
    """Which custom Function in f has a backward that is not differentiable, in words; None if there is none.

    Args:
        f: the function; a few rows of x are put in.
        x: the points, (batch, *in).
        weights: whether the derivatives are to be differentiated with respect to weights, too.
    """
    start = x.detach()[:: max(1, len(x) // _ROWS)][:_ROWS].clone()
    nodes, leaves = _custom_nodes(f, start.requires_grad_())
    new = [_class(node) for node in nodes if _class(node) not in _RIGHT]
    if not new:
        return None
    if _changes_the_function(f, start):
        return _CHANGES.format(" or ".join(sorted({kind.__name__ for kind in new})))
    changing = [start, *(leaf for leaf in leaves if leaf is not start and weights)]
    for place, node in enumerate(nodes):
        if _class(node) not in _RIGHT and _is_cut(f, start, changing, place, node):
            return _MESSAGE.format(_class(node).__name__)
    _RIGHT.update(_class(node) for node in nodes if weights)
    return None


def refused_backward(message: str, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The same numbers; who differentiates them gets the message, as an error."""
    return _Refused.apply(message, *results)


class _Refused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, message: str, *results: Tensor) -> tuple[Tensor, ...]:
        ctx.message = message
        return tuple(result.view_as(result) for result in results)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise UntrustworthyDerivativeError(ctx.message)


def _changes_the_function(f: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether f(x) is something else after a backward pass, though it is the same after a forward pass."""
    before, y = f(x.clone()).detach(), f(x.clone())
    if not torch.equal(before, y.detach()):  # it draws random numbers, or counts its calls
        return False
    torch.autograd.grad(y.sum(), x, allow_unused=True)
    return not torch.allclose(f(x.clone()).detach(), before, rtol=1e-3, atol=1e-6 * float(before.abs().max()))


def _is_cut(f: Callable, x: Tensor, changing: list[Tensor], place: int, node: Any) -> bool:
    given = [_seed(meta) for meta in node._input_metadata]
    try:
        returned = _backward(node, given)
        steps = [_step(tensor) for tensor in changing]
        told = _told(returned, changing, steps)
        seen = [_seen(f, x, changing, steps, place, given, h) for h in (_STEP, _OTHER_STEP)]
    except Exception:  # a backward that runs in the engine only, a forward that takes another course
        return False
    return any(map(_differs, told, *seen))


def _differs(told: Tensor, coarse: Tensor, fine: Tensor) -> bool:
    """Whether what the graph tells is off what is seen by more than what is seen at two steps differs by."""
    size = fine.abs().max()
    unsure = 5 * (coarse - fine).abs().max()
    return bool((told - fine).abs().max() > _CUT * size + unsure)


def _told(returned: list[Tensor], changing: list[Tensor], steps: list[Tensor]) -> list[Tensor]:
    """The derivative of what the backward returned along the steps, by its graph: of a weighted sum of each."""
    sums = []
    for tensor in returned:
        total = tensor.new_zeros(())
        if tensor.requires_grad:
            gradients = torch.autograd.grad(_weighted(tensor), changing, retain_graph=True, allow_unused=True)
            total = sum((g * step).sum() for g, step in zip(gradients, steps, strict=True) if g is not None) + total
        sums.append(total)
    return sums


def _seen(
    f: Callable, x: Tensor, changing: list[Tensor], steps: list[Tensor], place: int, given: list[Tensor], h: float
) -> list[Tensor]:
    """The same by central differences."""
    ends = []
    for sign in (h, -h):
        with _moved(changing, steps, sign):
            nodes, _ = _custom_nodes(f, x)
            ends.append([_weighted(tensor).detach() for tensor in _backward(nodes[place], given)])
    return [(a - b) / (2 * h) for a, b in zip(*ends, strict=True)]


@contextmanager
def _moved(tensors: list[Tensor], steps: list[Tensor], distance: float) -> Iterator[None]:
    """Other numbers in these tensors for a while; their own are not written to."""
    own = [tensor.data for tensor in tensors]
    try:
        for tensor, step in zip(tensors, steps, strict=True):
            tensor.data = tensor.data + distance * step
        yield
    finally:
        for tensor, data in zip(tensors, own, strict=True):
            tensor.data = data


def _step(tensor: Tensor) -> Tensor:
    size = tensor.detach().abs().mean().clamp_min(1e-3)
    return size * torch.cos(2.4 * torch.arange(tensor.numel(), device=tensor.device) + 1).reshape(tensor.shape).to(size)


def _seed(meta: Any) -> Tensor:
    numbers = 1.5 + torch.sin(1.7 * torch.arange(prod(meta.shape), device=meta.device))
    return numbers.reshape(meta.shape).to(meta.dtype)


def _weighted(tensor: Tensor) -> Tensor:
    return (tensor * torch.cos(1.1 * torch.arange(tensor.numel(), device=tensor.device)).reshape(tensor.shape)).sum()


def _backward(node: Any, gradients: list[Tensor]) -> list[Tensor]:
    """What the backward of a node returns for gradients that are constants."""
    with torch.enable_grad():
        found = node.apply(*gradients)
    return [g for g in (found if isinstance(found, tuple) else (found,)) if g is not None and not g.is_complex()]


def _custom_nodes(f: Callable, x: Tensor) -> tuple[list[Any], list[Tensor]]:
    """The nodes of custom Functions in the graph of f(x), and the leaves of that graph."""
    with torch.enable_grad():
        y = f(x.view_as(x))
    nodes, leaves, seen, waiting = [], [], set(), [y.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, BackwardCFunction) and not _class(node).__module__.startswith("torch."):
            nodes.append(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and leaf.is_floating_point():
            leaves.append(leaf)
        waiting += [following for following, _ in node.next_functions]
    return nodes, leaves


def _class(node: Any) -> type:
    return type(node)._forward_cls
