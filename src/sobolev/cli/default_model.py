"""Which model the default job takes: a model that nobody named follows the data."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from sobolev.data.module import Split, TensorDataModule
from sobolev.surrogates.labels import Labels

EVIDENCE = "sobolev.EvidenceRegressor"

SIZES = ("network.init_args.inputs", "network.init_args.outputs")
"""Arguments that follow the data."""

_BFGS = "sobolev.optimizers.SelfScaledBFGS"
_NETWORK_OF_EQUATION = Namespace(hidden=[32, 32], activation="tanh")
"""Small enough for steps by all points at once; smooth, as its derivatives are what is learnt."""

_MOST_ROWS = 10_000
_MOST_LABELS = 20_000
"""Of an output, values and derivatives."""
_MOST_INPUTS = 10
"""With which the evidence looks for more features for many rows."""
_MANY_ROWS = 200
"""Of a function of one input: enough for a network trained by Adam, unless it oscillates."""
_FEW_TURNS = 8
"""Maxima and minima of a function of one input that a network of 64 units learns well."""


def follow_data(config: Namespace, default: Namespace) -> None:
    """Where the configuration has the model of the default job, take the one that suits the data better.

    Args:
        config: of `fit`; changed in place. With a checkpoint, its model is that of the checkpoint, and stays.
        default: the model of the default job.
    """
    named = any(argument.startswith("--model") for argument in sys.argv[1:])
    if named or not config.get("data") or config.model != _of_sizes(default, config.model):
        return
    data = _made(config.data)
    if data is None:
        return
    training = _training(data)
    if training is None or _is_large(training):
        if len(data.input_names) <= _MOST_INPUTS:
            _add_evidence(config.trainer.callbacks)
        return
    reason = _reason(training)
    if reason is None or config.get("ckpt_path"):
        return
    config.model = Namespace(class_path=EVIDENCE, init_args=Namespace(seed=0, derivative_order=None))
    if isinstance(config.trainer.callbacks, list):
        config.trainer.callbacks = [
            c for c in config.trainer.callbacks if not c.class_path.endswith("LeastSquaresReadout")
        ]
        for callback in config.trainer.callbacks:
            if callback.class_path.endswith("ModelCheckpoint"):
                callback.init_args.every_n_epochs = 1
    rank_zero_info(f"model: {EVIDENCE}, as the data have {reason}; --model sobolev.Regressor trains a network by Adam")


def _of_sizes(default: Namespace, model: Namespace) -> Namespace:
    """The default with the inputs and outputs of a model: those of a checkpoint are known."""
    like = default.clone()
    for name in SIZES:
        if like.get(f"init_args.{name}") and (size := model.get(f"init_args.{name}")):
            like[f"init_args.{name}"] = size
    return like


def follow_equation(config: Namespace, default: Namespace) -> None:
    """Where an equation is to be learnt by the default job's Adam, which nobody named, take what reaches its solution.

    Args:
        config: of `fit`; changed in place.
        default: the model of the default job.
    """
    settings, by_itself = config.model.init_args, default.init_args
    if not config.model.class_path.endswith("ResidualRegressor") or config.get("ckpt_path"):
        return
    if settings.get("optimizer") != by_itself.optimizer or _names("optimizer"):
        return
    settings.optimizer = Namespace(class_path=_BFGS, init_args=Namespace())
    on = ""
    if settings.get("network") == by_itself.network:
        settings.network.init_args.update(_NETWORK_OF_EQUATION)
        on = "for a network of two layers of 32 units with tanh, "
    config.trainer.precision = config.trainer.precision or "64-true"
    rank_zero_info(
        f"optimizer: {_BFGS} in {config.trainer.precision}, {on}as an equation is to be learnt; "
        "--model.optimizer torch.optim.Adam takes another"
    )


def _names(setting: str) -> bool:
    """Whether the command line, or a configuration on it, says something of a setting of the model."""
    words = sys.argv[1:]
    if any(word.startswith((f"--model.{setting}", f"--model.init_args.{setting}")) for word in words):
        return True
    paths = (Path(word.partition("=")[2] or word) for word in words if word.endswith((".yaml", ".yml", ".json")))
    texts = (path.read_text(encoding="utf-8") for path in paths if path.is_file())
    return any(setting in _settings(yaml.safe_load(text)) for text in texts)


def _settings(configuration: Any) -> Any:
    """The arguments of the model in a configuration."""
    for key in ("model", "init_args"):
        configuration = configuration.get(key) if isinstance(configuration, dict) else None
    return configuration or {}


def _add_evidence(callbacks: Any) -> None:
    """Many rows are learnt by Adam, and then the readout looks for more features."""
    for callback in callbacks if isinstance(callbacks, list) else []:
        if callback.class_path.endswith("LeastSquaresReadout"):
            callback.init_args.evidence = True


def _made(data: Namespace) -> TensorDataModule | None:
    """A data module of sobolev."""
    module, _, name = data.class_path.rpartition(".")
    kind: Any = getattr(import_module(module), name)
    return kind(**data.init_args.as_dict()) if issubclass(kind, TensorDataModule) else None


def _training(data: TensorDataModule) -> Split | None:
    """The training rows, if they are few enough."""
    if data.exceeds(_MOST_ROWS):
        return None
    with _silent():
        data.setup("fit")
    return getattr(data, "training", None)


def _is_large(training: Split) -> bool:
    return len(training.inputs) > _MOST_ROWS or int(_labels(training).sum()) > _MOST_LABELS


def _labels(training: Split) -> Tensor:
    return Labels(training.inputs, (training.targets, *training.labels)).counts()


@contextmanager
def _silent() -> Iterator[None]:
    """What there is to say of the data is said when they are read for the training."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(training: Split) -> str | None:
    """Why the evidence suits these data, or None where Adam does."""
    rows, inputs = training.inputs.shape
    with_labels = " with derivatives" if training.labels else ""
    if inputs > 1:
        return f"{rows} rows of {inputs} inputs{with_labels}"
    if rows < _MANY_ROWS:
        return f"{rows} rows{with_labels}"
    turns = _turns(training.inputs[:, 0], training.targets)
    return f"{turns} maxima and minima" if turns > _FEW_TURNS else None


def _turns(x: Tensor, y: Tensor) -> int:
    """How often the values turn from rising to falling or back, the most of all outputs."""
    slopes = y[x.argsort()].diff(dim=0).sign()
    return int(((slopes[1:] * slopes[:-1]) < 0).sum(0).max()) if len(x) > 2 else 0
