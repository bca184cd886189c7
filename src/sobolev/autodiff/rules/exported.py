"""Operations of programs that `torch.export` wrote: overloads such as `torch.ops.aten.linear.default`.

They have the rules of the functions of PyTorch that they stand for; here are those whose arguments come in another
order or that have no such function.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn import functional

from sobolev.autodiff.taylor.registry import RULES, NoRuleError, call, resolve_overloads


def overload(*names: str) -> Callable[[Callable], Callable]:
    """Register the decorated rule for the overloads of these names, all of them."""

    def register(implementation: Callable) -> Callable:
        _OWN.update(dict.fromkeys(names, implementation))
        return implementation

    return register


_OWN: dict[str, Callable] = {}
_HOMES = (torch, functional, Tensor, torch.special)


@cache
def rule_of(function: OpOverload) -> Callable:
    """The rule of an overload.

    Raises:
        NoRuleError: there is none.
    """
    name = function._schema.name.split("::")[-1]
    if name in _OWN:
        return _OWN[name]
    plain = name.removeprefix("special_")
    named = (getattr(home, plain) for home in _HOMES if hasattr(home, plain))
    found = next((RULES[member] for member in named if member in RULES), None)
    if found is None:
        raise NoRuleError(f"Taylor mode has no rule for {function}")
    return lambda *args, **kwargs: call(found, args, {n: v for n, v in kwargs.items() if n not in _PLACES})


_PLACES = ("layout", "pin_memory", "memory_format", "implicit")
"""Of arguments that do not change numbers."""

resolve_overloads(rule_of)


@overload("sym_size")
def sym_size(x: Any, dim: int | None = None) -> Any:
    """The length of an axis."""
    return x.shape if dim is None else x.shape[dim]


@overload("sym_numel")
def sym_numel(x: Any) -> Any:
    """How many numbers there are."""
    return x.numel()


@overload("_assert_tensor_metadata", "_assert_async", "_functional_assert_async")
def nothing(*_: Any, **__: Any) -> None:
    """What the program checks of its tensors."""


@overload("alias", "lift_fresh_copy", "lift_fresh")
def same(x: Any) -> Any:
    """The tensor itself."""
    return x


@overload("slice")
def part(x: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    """x[..., start:end:step]."""
    return x[(*[slice(None)] * (dim % x.dim()), slice(start, end, step))]


@overload("index")
def indexed(x: Any, indices: Sequence[Any]) -> Any:
    """x[i, j, ...]; None takes all of an axis."""
    return x[tuple(slice(None) if index is None else index for index in indices)]


@overload("_unsafe_view")
def viewed(x: Any, size: Sequence[int]) -> Any:
    """Another shape."""
    return x.reshape(size)


@overload("_to_copy")
def converted(x: Any, dtype: torch.dtype | None = None, device: Any = None, **_: Any) -> Any:
    """Another precision or device."""
    return x.to(device=device, dtype=dtype) if device is not None else x.to(dtype or x.dtype)


@overload("embedding")
def embedding(weight: Any, indices: Any, padding_idx: int = -1, *_: Any) -> Any:
    """Rows of a table."""
    return functional.embedding(indices, weight, None if padding_idx < 0 else padding_idx)


@overload("batch_norm")
def batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, momentum: float, eps: float, *_: Any
) -> Any:
    """By running statistics."""
    return functional.batch_norm(x, mean, variance, weight, bias, training, momentum, eps)


@overload("_native_batch_norm_legit_no_training")
def native_batch_norm(x: Any, weight: Any, bias: Any, mean: Any, variance: Any, momentum: float, eps: float) -> Any:
    """The same after a decomposition, with statistics that nothing uses."""
    return functional.batch_norm(x, mean, variance, weight, bias, False, momentum, eps), mean[:0], mean[:0]


@overload("instance_norm")
def instance_norm(
    x: Any, weight: Any, bias: Any, mean: Any, variance: Any, own: bool, momentum: float, eps: float, *_: Any
) -> Any:
    """By the statistics of each image, or running ones."""
    return functional.instance_norm(x, mean, variance, weight, bias, own, momentum, eps)


@overload("native_layer_norm")
def native_layer_norm(x: Any, shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    """With mean and reciprocal deviation, which nothing uses."""
    return functional.layer_norm(x, shape, weight, bias, eps), x.new_zeros(0), x.new_zeros(0)


@overload("native_group_norm")
def native_group_norm(x: Any, weight: Any, bias: Any, *sizes: Any) -> Any:
    """The same of groups of channels; `sizes` end with their number and the least variance."""
    groups, eps = sizes[-2:]
    return functional.group_norm(x, groups, weight, bias, eps), x.new_zeros(0), x.new_zeros(0)


@overload("_softmax")
def softmax(x: Any, dim: int, _: bool) -> Any:
    """Along an axis."""
    return functional.softmax(x, dim)


@overload("_log_softmax")
def log_softmax(x: Any, dim: int, _: bool) -> Any:
    """The same in logarithms."""
    return functional.log_softmax(x, dim)


@overload("convolution")
def convolution(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any,
    groups: int,
) -> Any:  # fmt: skip
    """In one to three dimensions."""
    spatial = len(stride)
    if transposed:
        function = getattr(functional, f"conv_transpose{spatial}d")
        return function(x, weight, bias, stride, padding, output_padding, groups, dilation)
    return getattr(functional, f"conv{spatial}d")(x, weight, bias, stride, padding, dilation, groups)


def register() -> None:
    """Some functions of torch itself take their arguments in the order of the overloads, not of torch.nn.functional."""
    RULES.update({torch.batch_norm: batch_norm, torch.instance_norm: instance_norm, torch.embedding: embedding})
