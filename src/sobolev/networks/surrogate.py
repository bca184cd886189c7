"""A network for few data: features that know their sizes, and a linear layer on top."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.networks.hidden_units import HiddenUnits
from sobolev.networks.kernel_features import KernelFeatures
from sobolev.networks.wave_features import WaveFeatures

Features = ChebyshevFeatures | HiddenUnits | KernelFeatures | WaveFeatures
"""Modules that map (batch, inputs) to (batch, width)."""


class Surrogate(nn.Module):
    """A linear layer on the inputs and on features, (batch, inputs) to (batch, outputs), built by `sobolev.surrogates`.

    Args:
        features: none at the start.
        inputs: of each sample.
        outputs: of each sample.
    """

    def __init__(self, features: Sequence[Features] = (), inputs: int = 1, outputs: int = 1) -> None:
        super().__init__()
        self.features = nn.ModuleList(features)
        width = inputs + sum(module.width for module in features)
        self.last = nn.Linear(width, outputs)
        self.register_load_state_dict_pre_hook(_take_structure)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        return self.last(torch.cat([x, *(module(x) for module in self.features)], 1))


def _take_structure(module: Surrogate, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Let a fresh network load any features: what they are is seen in their tensors."""
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    count = 1 + max((int(name.split(".")[1]) for name in own if name.startswith("features.")), default=-1)
    parts = [{n.split(".", 2)[2]: t for n, t in own.items() if n.startswith(f"features.{i}.")} for i in range(count)]
    features = [_like(part) for part in parts]
    outputs, width = own["last.weight"].shape
    inputs = width - sum(module.width for module in features)
    like = module.last.weight
    fresh = Surrogate(features, inputs, outputs).to(like.device, like.dtype)
    module.features, module.last = fresh.features, fresh.last


def _like(state: dict[str, Tensor]) -> Features:
    """Features whose tensors have these shapes."""
    if "activation" in state:
        return HiddenUnits.like(state)
    if "frequencies" in state:
        within = {name.removeprefix("polynomials."): tensor for name, tensor in state.items()}
        return WaveFeatures(state["frequencies"].clone(), state["size"].clone(), _chebyshev(within))
    if "degrees" in state:
        return _chebyshev(state)
    by = state.get("by")  # of networks that have learnt derivatives
    return KernelFeatures(state["centres"], state["scales"].clone(), len(state["strengths"]), by)


def _chebyshev(state: dict[str, Tensor]) -> ChebyshevFeatures:
    return ChebyshevFeatures(state["degrees"], state["sizes"], -state["radius"], state["radius"])
