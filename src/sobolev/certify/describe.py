"""A network in plain numbers, for a certificate that somebody else checks."""

from typing import Any

import numpy as np
import torch
from torch import nn

_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Softplus: "softplus",
}


def describe(network: Any, low: np.ndarray, high: np.ndarray) -> list[dict[str, Any]] | None:
    """The layers of a chain: linear ones, activations, standardisation; None for anything else.

    Args:
        network: maps (batch, inputs) to (batch, outputs).
        low: a corner of the domain, (inputs,).
        high: the other; there and in the middle the layers must give what the network gives.
    """
    layers = _layers(network)
    if layers is None:
        return None
    x = np.stack([low, high, 0.3 * low + 0.7 * high])
    like = next(network.parameters(), torch.zeros(0))
    with torch.no_grad():
        truth = network(torch.as_tensor(x).to(like)).double().cpu().numpy()
    found = _value(layers, x)
    near = 1e-3 * (1 + np.abs(truth))
    return layers if found.shape == truth.shape and np.all(np.abs(found - truth) <= near) else None


def _value(layers: list[dict[str, Any]], x: np.ndarray) -> np.ndarray:
    for layer in layers:
        if "weight" in layer:
            x = x @ np.array(layer["weight"]).T + np.array(layer["bias"])
        elif "activation" in layer:
            x = getattr(torch.nn.functional, layer["activation"])(torch.as_tensor(x)).numpy()
        elif layer["divide"]:
            x = (x - layer["shift"]) / layer["scale"]
        else:
            x = x * layer["scale"] + layer["shift"]
    return x


def _layers(network: Any) -> list[dict[str, Any]] | None:
    if isinstance(network, nn.Sequential):
        parts = [_layers(layer) for layer in network]
        return None if any(part is None for part in parts) else [layer for part in parts for layer in part or []]
    if type(network) is nn.Linear:
        weight = network.weight.detach().double()
        bias = [0.0] * len(weight) if network.bias is None else network.bias.detach().double().tolist()
        return [{"weight": weight.tolist(), "bias": bias}]
    if type(network) in _ACTIVATIONS and not _changed(network):
        return [{"activation": _ACTIVATIONS[type(network)]}]
    if isinstance(network, nn.Module) and hasattr(network, "output_scale") and hasattr(network, "network"):
        return _standardized(network)
    inner = getattr(network, "network", None)
    return _layers(inner) if isinstance(inner, nn.Module) and isinstance(network, nn.Module) else None


def _standardized(network: Any) -> list[dict[str, Any]] | None:
    inner = _layers(network.network)
    if not inner:
        return None
    first, last = inner[0].get("weight"), inner[-1].get("weight")
    if first is None or last is None:
        return None
    ends = []
    for side, count in (("input", len(first[0])), ("output", len(last))):
        scale, shift = (getattr(network, f"{side}_{part}").double().cpu().numpy() for part in ("scale", "mean"))
        values = (np.broadcast_to(part, (count,)).tolist() for part in (scale, shift))
        ends.append({**dict(zip(("scale", "shift"), values, strict=True)), "divide": side == "input"})
    return [ends[0], *inner, ends[1]]


def _changed(activation: nn.Module) -> bool:
    """A softplus with another beta."""
    return getattr(activation, "beta", 1) != 1
