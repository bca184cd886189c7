"""Half-precision models, computed in single precision without touching them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from sobolev.autodiff.taylor.jet import Jet

HALF = (torch.float16, torch.bfloat16)
_DTYPE = Tensor.dtype.__get__  # pyright: ignore[reportAttributeAccessIssue]


class SinglePrecision(TorchFunctionMode):
    """Every torch function gets its half-precision tensors and jets in float32, weights say; gradients flow back.

    What a function writes to stays what it is.
    """

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == _DTYPE:  # what is asked for it, be it x.to(weight.dtype), is to stay in single precision as well
            dtype = func(*args)
            return torch.float32 if dtype in HALF else dtype
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if not _writes(name) and name not in ("__get__", "to", "float", "type"):
            args, kwargs = tree_map_only((Tensor, Jet), _single, (args, kwargs))
        return func(*args, **kwargs)


def _writes(name: str) -> bool:
    return name in ("__setitem__", "__set__") or (name.endswith("_") and not name.endswith("__")) or name[:3] == "__i"


def _single(x: Any) -> Any:
    return x.float() if _DTYPE(x.value if isinstance(x, Jet) else x) in HALF else x
