"""Rules of conversions: to another dtype or device, and off the graph."""

from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped
from sobolev.autodiff.taylor.registry import rule


def converted(x: Any, value: Tensor) -> Any:
    """X with the dtype and device of a value; a tensor without derivatives where that is no floating-point type."""
    if not (value.is_floating_point() or value.is_complex()):
        return value
    return mapped(x, value, x.higher.to(value.device, value.dtype), rows_first=x.rows_first)


@rule(Tensor.to)
def to(x: Any, *args: Any, **kwargs: Any) -> Any:
    """Another dtype or device, or those of another tensor."""
    args = tuple(arg.value if isinstance(arg, Jet) else arg for arg in args)
    return converted(x, x.value.to(*args, **kwargs)) if isinstance(x, Jet) else x.to(*args, **kwargs)


@rule(Tensor.type_as)
def type_as(x: Any, other: Any) -> Any:
    """The dtype of another tensor."""
    return x.to(other.dtype)


@rule(Tensor.type)
def of_type(x: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Another dtype, or the name of the present one."""
    return x.value.type() if dtype is None else converted(x, x.value.type(dtype, *args, **kwargs))


def _method(name: str) -> None:
    function = getattr(Tensor, name)

    def apply(x: Jet, *args: Any, **kwargs: Any) -> Any:
        return converted(x, function(x.value, *args, **kwargs))

    rule(function)(apply)


for _name in ("float", "double", "half", "bfloat16", "cfloat", "cdouble", "long", "int", "short", "bool", "char",
              "byte", "cpu", "cuda"):  # fmt: skip
    _method(_name)


@rule("detach", "detach_", "resolve_conj", "resolve_neg", Tensor.requires_grad_, Tensor.retain_grad)
@rule(getattr(Tensor, "data").__get__, getattr(torch, "lift_fresh", "detach"))  # noqa: B009
def detach(x: Any, *_: Any) -> Any:
    """Itself: the derivative asked for is that of the function, which does not know about graphs."""
    return x
