"""Does a forward compute on jets what it computes on tensors? It may ask what it was given, and take another branch."""

from contextlib import suppress
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.taylor.registry import NoRuleError
from sobolev.autodiff.tracing import traced

_CLOSE = 1e-2
"""Far above what rounding does to a value, far below what another branch does."""

_AGREED: WeakSet = WeakSet()


def is_new(f: Any) -> bool:
    """Whether `compare` has not been content with a module, or with a function of this code."""
    try:
        return _code(f) not in _AGREED
    except TypeError:  # neither weak references nor hashing
        return True


def random_state(x: Tensor) -> Tensor:
    """The state of the generator of random numbers where x lies."""
    return torch.cuda.get_rng_state(x.device) if x.is_cuda else torch.get_rng_state()


def restore_random_state(x: Tensor, state: Tensor) -> None:
    """Draw again what was drawn since the state was asked for."""
    if x.is_cuda:
        torch.cuda.set_rng_state(state, x.device)
    else:
        torch.set_rng_state(state)


def compare(f: BatchedFunction, x: Tensor, value: Tensor, randomness: Tensor) -> None:
    """Call f on the points themselves, unless it drew random numbers, and compare.

    Args:
        f: the function.
        x: the points.
        value: what f computed on jets.
        randomness: `random_state` before that.

    Raises:
        NoRuleError: f(x) is something else.
    """
    if traced() or not torch.equal(random_state(x), randomness):
        return
    try:
        y = f(x.clone())
    except Exception:  # f needs gradients, say; then there is nothing to compare with
        return
    if not agree(y, value) and not agree(y, value, _rounding(f, x, y)):
        raise NoRuleError(
            "the forward computes something else of a Taylor polynomial than of a tensor: it asks for the type of its "
            "input (isinstance, type, hasattr), or catches an exception of ours"
        )
    with suppress(TypeError):
        _AGREED.add(_code(f))


def _code(f: Any) -> Any:
    return getattr(f, "__code__", f)


def _rounding(f: BatchedFunction, x: Tensor, y: Any) -> float:
    """How much f changes with the last digits of x, times ten: far more than those of f where large weights cancel."""
    if not isinstance(y, Tensor) or not len(x):
        return 0.0
    eps = torch.finfo(x.dtype).eps
    changed = [f(x * (1 + k * eps)) for k in (-2, -1, 1, 2)]
    return 10 * float(torch.stack([(other - y).detach().abs().amax() for other in changed]).nan_to_num(0).max())


def agree(y: Any, value: Tensor, rounding: float = 0.0) -> bool:
    """Whether two values are the same but for rounding, an absolute number where it is more than a few digits."""
    if not isinstance(y, Tensor) or y.shape != value.shape:
        return False
    y, value = y.detach().to(value.dtype), value.detach()
    known = torch.isfinite(y) & torch.isfinite(value)
    gap = torch.where(known, (y - value).abs(), 0)
    return bool((gap <= _CLOSE * torch.where(known, y.abs(), 0).max() + rounding).all()) if gap.numel() else True
