"""Jets and tensors of different shape, length or type, brought to match."""

from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.hessian_contributions import NotCollapsibleError
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.space import Space


def padded_sum(a: Tensor, b: Tensor, length: int = 0) -> Tensor:
    """A + b along a leading axis on which either may end early, filled up with zeros to `length`."""
    shorter, longer = sorted((a, b), key=len)
    shape = torch.broadcast_shapes(a.shape[1:], b.shape[1:])
    longer = longer.to(torch.promote_types(a.dtype, b.dtype))
    if len(longer) < length:
        total = longer.new_zeros(length, *shape)
        total[: len(longer)] = longer
    else:
        total = longer.expand(len(longer), *shape).clone()
    total[: len(shorter)] += shorter
    return total


def mapped(x: Jet, value: Tensor, higher: Tensor, rows_first: bool = False) -> Jet:
    """What a linear function makes of x, up to a constant: it adds nothing of its own to any degree."""
    result = Jet(x.space, value, higher, rows_first)
    result.followed = x.followed
    return result


def revalued(result: Jet, value: Tensor) -> Jet:
    """The coefficients of a result, and its value computed in another, more exact way."""
    tape = result.space.tape
    if tape is not None and tape.probing:
        return result  # through its own value the gradient finds its way
    exact = settled(result.space, value, result.higher)
    exact.followed = result.followed
    return exact


def constant(a: Any, value: Tensor) -> Any:
    """A jet without derivatives, in the space of another."""
    return Jet(a.space, value, value.new_zeros(0, *value.shape))


def settled(space: Space, value: Tensor, higher: Tensor) -> Jet:
    """A jet whose coefficients have the shape and dtype of a value that was broadcast or promoted."""
    if higher.shape[2:] != value.shape[1:] or higher.dim() != value.dim() + 1:
        higher = higher.expand(len(higher), *value.shape)
    return Jet(space, value, higher if higher.dtype == value.dtype else higher.to(value.dtype))


def aligned(x: Any, dims: int) -> Any:
    """X with leading axes of length 1, up to `dims` axes, so that its coefficients broadcast like its value."""
    if not isinstance(x, Jet) or x.value.dim() >= dims:
        return x
    ones = (1,) * (dims - x.value.dim())
    higher = x.full
    return mapped(x, x.value.reshape(*ones, *x.value.shape), higher.reshape(len(higher), *ones, *x.value.shape))


def dims(x: Any) -> int:
    """The number of axes of a jet, a tensor or a number."""
    return x.value.dim() if isinstance(x, Jet) else x.dim() if isinstance(x, Tensor) else 0


def padded(x: Any, length: int) -> Tensor:
    """All `length` coefficients, the missing ones written out as zeros; a tensor that is no jet has none."""
    if not isinstance(x, Jet):
        return x.new_zeros(()).expand(length, *x.shape)
    missing = length - x.higher.shape[0]
    return torch.cat([x.full, x.higher.new_zeros(missing, *x.value.shape)]) if missing else x.full


def plain(x: Any) -> Any:
    """The value of a jet that was made from x but does not depend on it, such as `torch.ones_like(x)`; else x."""
    if not isinstance(x, Jet) or len(x.higher):
        return x
    tape = x.space.tape
    if tape is None or not tape.probing:
        return x.value
    if not (x.followed and x.rows_first):  # there no jet has coefficients, whether it depends on x or not
        raise NotCollapsibleError
    return x
