"""What the short ways through a chain of layers may take for granted of each of them."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from sobolev.autodiff.rules.elementwise.activations import GELU, GELU_TANH, MISH, SILU
from sobolev.autodiff.rules.elementwise.chain import Elementwise
from sobolev.autodiff.rules.elementwise.riccati import SIGMOID, TANH
from sobolev.autodiff.taylor.registry import RULES

Layers = tuple[Sequence[Any], Sequence[Elementwise | None]]
"""[weight, bias, weight, bias, ...] and the activation behind each layer."""

_ACTIVATIONS = {
    nn.Tanh: (TANH, torch.tanh),
    nn.Sigmoid: (SIGMOID, torch.sigmoid),
    nn.SiLU: (SILU, functional.silu),
    nn.Mish: (MISH, functional.mish),
    nn.GELU: (GELU, functional.gelu),
}
_RULES = {f: RULES[f] for f in (functional.linear, *(f for _, f in _ACTIVATIONS.values()))}
"""Ours: who registers a rule of his own gets it."""

_PLAIN = (nn.Parameter, Tensor)
_FORWARD = nn.Sequential.forward


def activation(layer: nn.Module) -> Elementwise | None:
    """The function of a layer that applies one to every element and writes to nobody's tensor, else None."""
    function, called = _ACTIVATIONS.get(type(layer), (None, None))
    if function is None or RULES[called] is not _RULES[called] or layer.__dict__.get("inplace"):
        return None
    return GELU_TANH if function is GELU and layer.approximate != "none" else function


def is_linear(layer: nn.Module) -> bool:
    """Whether the layer is a plain `torch.nn.Linear`."""
    return type(layer) is nn.Linear and RULES[functional.linear] is _RULES[functional.linear]


def is_plain(module: Any) -> TypeGuard[nn.Sequential]:
    """Whether a call of the module does nothing but call one layer after the other."""
    return isinstance(module, nn.Sequential) and type(module).forward is _FORWARD and unhooked(module)


def unhooked(module: nn.Module) -> bool:
    """Whether a call of the module is the forward of its class and nothing else: no hooks, not compiled."""
    return not (_hooked_everywhere() or _does_more(vars(module)))


def _hooked_everywhere() -> bool:
    everywhere = nn.modules.module
    return bool(everywhere._global_forward_pre_hooks or everywhere._global_forward_hooks)


def _does_more(attributes: dict[str, Any]) -> bool:
    return bool(
        attributes["_forward_pre_hooks"]
        or attributes["_forward_hooks"]
        or attributes.get("_compiled_call_impl")
        or "forward" in attributes
    )


def perceptron(module: nn.Sequential, x: Tensor) -> Layers | None:
    """The weights and activations of a perceptron.

    Args:
        module: linear layers, an activation after each but the last, after which there may be one.
        x: what goes in: (batch, inputs), of the dtype that the weights are to have.

    Returns:
        None, if the module is no such chain, or a call of it does something besides.
    """
    if x.dim() != 2 or x.dtype not in (torch.float32, torch.float64):
        return None
    weights: list[Any] = []
    functions: list[Elementwise | None] = []
    for layer in module._modules.values():
        attributes = layer.__dict__  # read here, since nn.Module looks attributes up by far more slowly
        if layer is None or _does_more(attributes):
            return None
        if not is_linear(layer):
            if not functions or functions[-1] is not None or (function := activation(layer)) is None:
                return None
            functions[-1] = function
            continue
        weight, bias = map(attributes["_parameters"].get, ("weight", "bias"))
        if (functions and functions[-1] is None) or type(weight) not in _PLAIN or weight.dtype != x.dtype:
            return None
        weights += weight, bias
        functions.append(None)
    return (weights, functions) if any(functions) and not _hooked_everywhere() else None
