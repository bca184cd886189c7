"""The command line: LightningCLI with a default job and errors a person can read."""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from typing_extensions import override

from sobolev.callbacks.predictions import PredictionWriter
from sobolev.callbacks.run_directory import SaveConfig
from sobolev.data.module import TensorDataModule
from sobolev.errors import UntrustworthyDerivativeError
from sobolev.regressor import refused_checkpoint

PACKAGE = Path(__file__).parent

CONFIGS = next(path for path in (PACKAGE / "configs", PACKAGE.parents[1] / "configs") if path.is_dir())
"""The configurations: inside an installed package, or at the top of the repository."""

SUBCOMMANDS = ("fit", "validate", "test", "predict")


class SobolevCLI(LightningCLI):
    """LightningCLI for any LightningModule and data module, `configs/square.yaml` below everything."""

    def __init__(self) -> None:
        defaults = {name: {"default_config_files": [str(CONFIGS / "square.yaml")]} for name in SUBCOMMANDS}
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            auto_configure_optimizers=False,
            parser_kwargs=defaults,
        )

    @override
    def before_instantiate_classes(self) -> None:
        """An MLP of one input and one output, the default, takes the sizes of the data instead."""
        config = self.config[str(self.subcommand)]
        network = config.model.init_args.get("network")
        if network is None or network.class_path != "sobolev.MLP" or not config.get("data"):
            return
        inputs, outputs = _sizes(config.data)
        for name, size in (("inputs", inputs), ("outputs", outputs)):
            if network.init_args[name] not in (1, size):
                raise ValueError(f"model.network.{name} is {network.init_args[name]}, but the data have {size}")
            network.init_args[name] = size

    def before_predict(self) -> None:
        """`predict` writes a table, unless the configuration brings a writer of its own."""
        callbacks: list[Callback] = self.trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        if not any(isinstance(callback, PredictionWriter) for callback in callbacks):
            callbacks.append(PredictionWriter())

    @override
    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """`predict` keeps no batch in memory."""
        arguments = super()._prepare_subcommand_kwargs(subcommand)
        return {**arguments, "return_predictions": False} if subcommand == "predict" else arguments

    @override
    def _parse_ckpt_path(self) -> None:
        """Lightning rebuilds the model as the checkpoint describes it: say so where that is not what was asked for."""
        asked = self._model_config()
        super()._parse_ckpt_path()
        for key, found in self._model_config().items():
            if key in asked and asked[key] != found:
                rank_zero_warn(f"--ckpt_path wins: model.{key} is {found!r}, as in the checkpoint, not {asked[key]!r}")

    def _model_config(self) -> dict[str, Any]:
        model = self.config[self.config.subcommand].get("model") or Namespace()
        return vars(model.get("init_args", Namespace()).clone())


def _sizes(data: Namespace) -> tuple[int, int]:
    """Number of inputs and outputs of the data."""
    module, _, name = data.class_path.rpartition(".")
    kind = getattr(import_module(module), name)
    if not issubclass(kind, TensorDataModule):
        return 1, 1
    made = kind(**data.init_args.as_dict())
    return len(made.input_names), len(made.output_names)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `sobolev`; without a subcommand it is `fit`, and `configs/square.yaml` gives the default of everything.

    Args:
        arguments: those of the command line; `sys.argv` if left out. The exit status is 1 after an error.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given = ["fit", *given]
        rank_zero_info(f"sobolev {' '.join(given)}: the default job of configs/square.yaml")
    _hush()
    sys.argv[1:] = given  # LightningCLI reads it, and so do the processes that a strategy starts
    try:
        SobolevCLI()
    except Exception as error:
        if os.environ.get("SOBOLEV_TRACEBACK") or not _is_for_the_user(error):
            raise
        sys.exit(f"error: {_sentence(error)}\n(SOBOLEV_TRACEBACK=1 shows where this was found)")


def _hush() -> None:
    """No advertisements, and no deprecations that are for Lightning's authors."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)


def _is_for_the_user(error: Exception) -> bool:
    """Whether the message says enough: raised by sobolev itself, or about files and settings."""
    if isinstance(error, MisconfigurationException | OSError | UnpicklingError):
        return True
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return isinstance(error, ValueError | TypeError | UntrustworthyDerivativeError) and PACKAGE in raised_in.parents


def _sentence(error: Exception) -> str:
    return refused_checkpoint("the checkpoint") if isinstance(error, UnpicklingError) else str(error)
