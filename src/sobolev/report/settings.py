"""What distinguishes one run from another, for the table of hyper-parameters in TensorBoard."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from sobolev.networks import MLP

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

_OF_DATA = ("function", "path", "equations", "model", "samples", "noise", "sampling", "seed")
_PLAIN = (bool, int, float, str)
_MOST = 12
"""Settings of a module of somebody else's."""


def settings_of(trainer: "Trainer", model: "LightningModule") -> dict[str, bool | int | float | str]:
    """Data, network, optimiser and length of a training, each under a short name."""
    data: Any = getattr(trainer, "datamodule", None)
    found: dict[str, Any] = {name: value for name in _OF_DATA if (value := _said(data, name)) is not None}
    reference, training = getattr(data, "reference", None), getattr(data, "training", None)
    if "function" not in found and reference is not None:
        found["function"] = str(getattr(reference, "name", reference))
    if "samples" not in found and training is not None:
        found["samples"] = len(training.inputs)
    rows = getattr(data, "training_batch_size", getattr(data, "batch_size", None))
    found |= {} if rows is None else {"batch_size": rows}
    found |= _network(model) | _optimiser(trainer)
    ours = type(model).__module__.startswith("sobolev.")  # whose other settings hardly ever change
    plain = {k: v for k, v in model.hparams.items() if isinstance(v, _PLAIN) and not k.startswith("_")}
    found |= {} if ours else dict(list(plain.items())[:_MOST])
    return found | {"epochs": trainer.max_epochs or -1, "module": type(model).__name__}


def _said(data: Any, name: str) -> Any:
    """A plain value, a name, or a text."""
    value = getattr(data, name, None)
    if value is None or isinstance(value, _PLAIN):
        return value
    return str(getattr(value, "name", value))


def _network(model: nn.Module) -> dict[str, Any]:
    """Width and activation of a perceptron, and how many weights there are."""
    weights = sum(parameter.numel() for parameter in model.parameters())
    perceptron = next((module for module in model.modules() if isinstance(module, MLP)), None)
    if perceptron is None:
        return {"weights": weights}
    layers = [module for module in perceptron.modules() if isinstance(module, nn.Linear)]
    others = [type(m).__name__ for m in perceptron.modules() if not isinstance(m, nn.Linear | MLP | nn.Sequential)]
    hidden = " × ".join(str(layer.out_features) for layer in layers[:-1])
    return {"weights": weights, "hidden": hidden, **({"activation": others[0]} if others else {})}


def _optimiser(trainer: "Trainer") -> dict[str, Any]:
    if not trainer.optimizers:
        return {}
    optimizer = trainer.optimizers[0]
    defaults: Mapping[str, Any] = getattr(optimizer, "defaults", {})
    rate = {"learning_rate": float(defaults["lr"])} if isinstance(defaults.get("lr"), int | float) else {}
    return {"optimizer": type(optimizer).__name__, **rate}
