"""Rules of in-place forms, made from those of the functions they are named after; imported after all others."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.rules.memory.writing import Links, link, overwrite
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import constant
from sobolev.autodiff.taylor.new_tensors import OrdinaryTensorError
from sobolev.autodiff.taylor.registry import RULES, rule

_OPERATORS = {"iadd": "add", "isub": "sub", "imul": "mul", "itruediv": "div", "idiv": "div", "ipow": "pow",
              "imod": "remainder"}  # fmt: skip
_RESHAPING = ("unsqueeze_", "squeeze_", "transpose_", "t_", "swapaxes_", "swapdims_")
_VIEWS = ("reshape", "view", "reshape_as", "view_as", "flatten", "ravel", "unflatten", "squeeze", "unsqueeze",
          "permute", "transpose", "swapaxes", "swapdims", "t", "adjoint", "movedim", "moveaxis", "expand",
          "broadcast_to", "expand_as", "split", "chunk", "unbind", "contiguous", "narrow", "select", "diagonal",
          "unfold", "detach", "to", "float", "double", "view_as_real", "view_as_complex", "tensor_split",
          "split_with_sizes", "hsplit", "vsplit", "dsplit", "type_as", "type")  # fmt: skip


def in_place(apply: Callable, name: str) -> Callable:
    """The rule that puts the result of another rule into its first argument."""

    def write(x: Any, *args: Any, **kwargs: Any) -> Jet:
        if not isinstance(x, Jet):
            raise OrdinaryTensorError(
                f"Taylor mode cannot write derivatives into an ordinary tensor ({name}): write y = y + ... instead "
                "of y += ..., or start from torch.zeros_like(x)"
            )
        result = apply(x, *args, **kwargs)
        return overwrite(x, result if isinstance(result, Jet) else constant(x, result.to(x.value.dtype)))

    return write


def viewing(apply: Callable) -> Callable:
    """A rule whose results share memory with its first argument."""

    def view(x: Any, *args: Any, **kwargs: Any) -> Any:
        result = apply(x, *args, **kwargs)
        return link(result, x) if isinstance(x, Jet) else result

    return view


@rule(Tensor.copy_)
def copy(x: Any, source: Any, non_blocking: bool = False) -> Jet:  # noqa: ARG001
    """X gets the elements of another tensor."""
    return in_place(lambda x, source: x * 0 + source, "copy_")(x, source)


@rule(Tensor.fill_, Tensor.zero_)
def fill(x: Any, value: float = 0.0) -> Jet:
    """X gets one number everywhere."""
    filled = torch.full_like(x.value, value)
    return overwrite(x, Jet(x.space, filled, filled.new_zeros(0, *filled.shape)))


@rule(Tensor.fill_diagonal_)
def fill_diagonal(x: Any, value: float, wrap: bool = False) -> Jet:
    """X gets one number on its diagonal."""
    diagonal = torch.zeros(x.shape, dtype=torch.bool, device=x.device).fill_diagonal_(True, wrap)
    return in_place(lambda x: torch.where(diagonal, value, x), "fill_diagonal_")(x)


def reshaping(apply: Callable) -> Callable:
    """The rule that gives x another shape. What it was a part of is written to through it no more."""

    def reshape(x: Jet, *args: Any, **kwargs: Any) -> Jet:
        result = apply(x, *args, **kwargs)
        x.value, x.higher, x.rows, x.squared = result.value, result.higher, None, None
        x.rows_first = x.followed = False
        x.links = x.links and Links(x.links.family)
        return x

    return reshape


def register() -> None:
    """Register the in-place forms of all functions that have rules, and which rules give views."""
    for home in (torch, functional, Tensor):
        for name in dir(home):
            plain = getattr(home, name[:-1], None) if name.endswith("_") and not name.endswith("__") else None
            function = getattr(home, name)
            if plain is not None and plain in RULES and function not in RULES:
                apply = RULES[plain]
                rule(function)(reshaping(apply) if name in _RESHAPING else in_place(apply, name))
    for name, plain in _OPERATORS.items():
        rule(getattr(Tensor, f"__{name}__"))(in_place(RULES[getattr(torch, plain)], f"__{name}__"))
    for name in _VIEWS:
        for home in (torch, Tensor):
            function = getattr(home, name, None)
            if function is not None and function in RULES:
                rule(function)(viewing(RULES[function]))
    for attribute in ("T", "mT", "H", "mH", "data", "real", "imag"):
        if (getter := getattr(Tensor, attribute).__get__) in RULES:
            rule(getter)(viewing(RULES[getter]))
    rule(Tensor.__iter__)(lambda x: iter(link(RULES[Tensor.unbind](x), x)))
