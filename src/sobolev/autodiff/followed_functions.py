"""Custom `torch.autograd.Function`s that Taylor mode may train through.

PyTorch runs their forward without gradients and takes their backward for its derivative. Taylor mode differentiates the
forward itself; where both agree on the first derivative, gradients to weights may go through the operations of the
forward, too. A backward that is not differentiable, or NaN when it is, does no harm then. Where they disagree (reversed
gradients, straight-through estimators), what is wanted is not the derivative, and the backward has its say.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from sobolev.autodiff import reverse
from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.taylor import operators as taylor
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.tracing import traced

_ROWS = 8
_CLOSE = 1e-3
"""First derivatives agree to within this of the largest of them, in single precision."""

_FOLLOWED: WeakSet[Any] = WeakSet()


@contextmanager
def forwards_followed() -> Iterator[None]:
    """Inside, those Functions that `follow` knows keep the graph of their forward wherever it gets jets."""
    with ExitStack() as stack:
        for function in list(_FOLLOWED) if torch.is_grad_enabled() and not traced() else ():
            stack.enter_context(_recorded(function))
        yield


@contextmanager
def _recorded(function: Any) -> Iterator[None]:
    forward, own = function.forward, vars(function).get("forward")

    def record(*args: Any) -> Any:
        with torch.set_grad_enabled(torch.is_grad_enabled() or any(isinstance(arg, Jet) for arg in args)):
            return forward(*args)

    function.forward = staticmethod(record)
    try:
        yield
    finally:
        if own is None:
            del function.forward
        else:
            function.forward = own


def follow(f: BatchedFunction, x: Tensor, function: Any) -> bool:
    """Whether the backward of a Function in f gives the derivative of its forward; if so, it is followed from now on.

    Args:
        f: maps (batch, *in) to (batch, *out).
        x: the points; a few rows of them are put in.
        function: the class of the Function.
    """
    if function in _FOLLOWED:
        return False
    start = x.detach()[:: max(1, len(x) // _ROWS)][:_ROWS].clone()
    direction = torch.cos(2.4 * torch.arange(start[:1].numel(), device=x.device) + 1).reshape(start[:1].shape).to(x)
    try:
        with torch.no_grad():
            before = f(start.clone())
            mine = taylor.derivatives(_one_output(f), start, 1, direction)[1]
        own = reverse.derivatives(_one_output(f), start, 1, direction)[1].detach()
        with torch.no_grad():
            if not torch.equal(f(start.clone()), before):  # the backward changes what the function computes
                return False
    except Exception:  # what it is, the call itself will say
        return False
    known = mine.isfinite() & own.isfinite()
    gap = torch.where(known, (mine - own).abs(), 0)
    if not known.any() or gap.max() > _CLOSE * torch.where(known, own.abs(), 0).max():
        return False
    _FOLLOWED.add(function)
    return True


def _one_output(f: BatchedFunction) -> Callable[[Any], Any]:
    """A weighted sum of all outputs of f."""

    def summed(x: Any) -> Any:
        y = f(x)
        y = y.reshape(y.shape[0], -1)
        weights = torch.cos(1.1 * torch.arange(y.shape[1], device=x.device))
        return (y * weights.to(y.dtype)).sum(1)

    return summed
