"""What distinguishes one run from another, for the table of hyper-parameters in TensorBoard."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from sobolev.networks import MLP
from sobolev.optimizers.quasi_newton import QuasiNewton

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

_OF_DATA = ("model", "samples", "noise", "sampling", "seed")
_PLAIN = (bool, int, float, str)
_MOST = 12
"""Settings of a module of somebody else's."""


def settings_of(trainer: "Trainer", model: "LightningModule") -> dict[str, bool | int | float | str]:
    """Data, network, optimiser and length of a training, each under a short name."""
    data: Any = getattr(trainer, "datamodule", None)
    found: dict[str, Any] = {name: value for name in _OF_DATA if (value := _said(data, name)) is not None}
    if (name := _name(data)) is not None:
        found["data"] = name
    if not found.get("samples") and (training := getattr(data, "training", None)) is not None:
        found["samples"] = len(training.inputs)
    found |= _network(model) | _steps(trainer, data)
    ours = type(model).__module__.startswith("sobolev.")  # whose other settings hardly ever change
    plain = {k: v for k, v in model.hparams.items() if isinstance(v, _PLAIN) and not k.startswith("_")}
    found |= {} if ours else dict(list(plain.items())[:_MOST])
    return found | {"module": type(model).__name__}


def _name(data: Any) -> str | None:
    """What is learnt: the equations, the table, or the function."""
    if (problem := getattr(data, "problem", None)) is not None:
        return "; ".join(problem.equations)
    return _said(data, "path") or _said(data, "function") or _said(data, "reference")


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


def _steps(trainer: "Trainer", data: Any) -> dict[str, Any]:
    """Optimiser, learning rate, batch and epochs, where weights are learnt by steps of an optimiser."""
    optimizer: Any = trainer.optimizers[0] if trainer.optimizers else None
    defaults: Mapping[str, Any] = getattr(optimizer, "defaults", {})
    rate: Any = defaults.get("lr")
    if optimizer is None or rate == 0:
        return {}
    rows = getattr(data, "training_batch_size", getattr(data, "batch_size", None))
    told = {"batch_size": rows, "epochs": trainer.max_epochs or -1, "optimizer": type(optimizer).__name__}
    has_rate = isinstance(rate, int | float) and not isinstance(optimizer, QuasiNewton)
    told["learning_rate"] = float(rate) if has_rate else None
    return {name: value for name, value in told.items() if value is not None}
