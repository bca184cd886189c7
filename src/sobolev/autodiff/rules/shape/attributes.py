"""What a jet answers about itself: shape, dtype, device, and constants that are shaped like it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.registry import rule

_ATTRIBUTES = ("shape", "dtype", "device", "ndim", "layout", "is_cuda", "is_cpu", "is_mps", "is_meta", "is_sparse",
               "is_quantized", "is_nested", "is_mkldnn", "requires_grad", "itemsize", "nbytes")  # fmt: skip
_METHODS = ("size", "dim", "ndimension", "numel", "nelement", "element_size", "is_floating_point", "is_complex",
            "is_signed", "is_conj", "is_neg", "is_inference", "is_same_size", "get_device", "is_contiguous",
            "stride", "__len__")  # fmt: skip
_BLANK = ("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty")
_CONSTANT = ("rand_like", "randn_like", "new_tensor", "isnan", "isinf", "isfinite", "round", "floor",
             "ceil", "trunc", "eq", "ne", "lt", "le", "gt", "ge", "equal", "isclose", "allclose", "argmax", "argmin",
             "argsort", "logical_not", "logical_and", "logical_or", "logical_xor", "signbit", "any", "all", "nonzero",
             "argwhere", "count_nonzero", "isposinf", "isneginf", "isreal", "floor_divide", "floordiv", "heaviside",
             "greater", "greater_equal", "less", "less_equal", "not_equal", "isin", "fix",
             "nextafter", "bucketize", "searchsorted", "histc", "bincount", "is_nonzero")  # fmt: skip


def of_value(function: Callable) -> Callable:
    """The rule of a function whose result is locally constant: it sees the values alone."""

    def apply(*args: Any, **kwargs: Any) -> Any:
        values = [arg.value if isinstance(arg, Jet) else arg for arg in args]
        return function(*values, **{k: v.value if isinstance(v, Jet) else v for k, v in kwargs.items()})

    return apply


def blank(function: Callable) -> Callable:
    """The rule of a function that makes a constant like x: without derivatives, but they can be written into it."""

    def apply(x: Any, *args: Any, **kwargs: Any) -> Any:
        value = of_value(function)(x, *args, **kwargs)
        if isinstance(x, Jet) and value.is_floating_point():
            made = Jet(x.space, value, value.new_zeros(0, *value.shape))
            made.followed = True  # it adds nothing to any degree
            return made
        return value

    return apply


for _name in _ATTRIBUTES:
    _getter = getattr(Tensor, _name).__get__
    rule(_getter)(of_value(_getter))
for _name in _METHODS:
    for _home in (torch, Tensor):
        if hasattr(_home, _name):
            rule(getattr(_home, _name))(of_value(getattr(_home, _name)))
for _name in (*_BLANK, *_CONSTANT):
    for _home, _member in ((torch, _name), (Tensor, _name), (Tensor, f"__{_name}__")):
        if hasattr(_home, _member):
            _function = getattr(_home, _member)
            rule(_function)((blank if _name in _BLANK else of_value)(_function))
rule(Tensor.__rfloordiv__)(of_value(lambda x, dividend: dividend // x))
rule(torch.special.round)(of_value(torch.special.round))
