"""LightningCLI with a default job below everything, for any LightningModule and data module."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from typing_extensions import override

from sobolev.cli.default_model import SIZES, follow_data, follow_equation
from sobolev.cli.mistakes import UsageError, explained, refused_setting
from sobolev.cli.own_defaults import own_defaults
from sobolev.cli.run_folder import discard_if_empty, finished, how_to_go_on, name_folder
from sobolev.cli.shipped import CONFIGS, with_shipped_tables
from sobolev.cli.trained_data import check_named, checkpoint_named, configuration, description_of
from sobolev.data.description import check_same
from sobolev.data.module import TensorDataModule
from sobolev.data.tables.text import check_file
from sobolev.monitor.monitor import DerivativeMonitor
from sobolev.readout.callback import LeastSquaresReadout
from sobolev.report.predictions import PredictionWriter
from sobolev.report.report import Report
from sobolev.report.run_directory import free_path, run_directory
from sobolev.training.checkpoint import read_checkpoint

MLP_PATHS = ("sobolev.MLP", "sobolev.networks.MLP")

_SWITCHES = {
    "monitor": "the errors of derivatives at each validation",
    "readout": "least squares for the last layer",
    "report": "report.json, table and figure at the end",
}
"""Parts of the default job that can be switched off."""

_INTERRUPTED = 130
"""The exit status that shells give to what Ctrl-C has ended."""

SUBCOMMANDS = ("fit", "validate", "test", "predict")


class Parser(LightningArgumentParser):
    """Says what is wrong in a sentence, in place of the usage of two hundred options, and takes no part of a name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    @override
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # one of several attempts at a value
            super().error(message, ex)
        asked = getattr(ex, "subcommand_parser", None) or self
        options = [name for action in asked._actions for name in action.option_strings]
        sys.stderr.write(f"error: {explained(message, options)}\n")
        self.exit(2)


class SaveConfig(SaveConfigCallback):
    """Saves the configuration to the run's folder, where checkpoints lie as well; a second one gets a number."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "save_to_log_dir": False})

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        folder = run_directory(trainer)  # a collective call, so on every process
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and not (trainer.loggers or callback.dirpath):
                callback.dirpath = str(folder / "checkpoints")
        super().setup(trainer, pl_module, stage)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """However rarely checkpoints are written, the last one holds the last weights."""
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.save_last and callback.last_model_path:
                trainer.save_checkpoint(callback.last_model_path)

    @override
    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called on one process only."""
        path = free_path(run_directory(trainer) / self.config_filename)
        self.parser.save(self.config, path, skip_none=False)


class SobolevCLI(LightningCLI):
    """LightningCLI for any LightningModule and data module, `configs/square.yaml` below everything.

    Attributes:
        does: what a folder beside a checkpoint is called, if not after the subcommand of Lightning.
    """

    does: str | None = None

    def __init__(self, checkpoint: str | None = None) -> None:
        self.description = description_of(checkpoint or checkpoint_named(sys.argv[1:]))
        with configuration(self.description) as trained, own_defaults():
            files = [str(CONFIGS / "square.yaml"), *trained]
            super().__init__(
                LightningModule,
                LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=SaveConfig,
                auto_configure_optimizers=False,
                parser_kwargs={
                    "prog": "sobolev",
                    **{name: {"default_config_files": files} for name in SUBCOMMANDS},
                },
                parser_class=Parser,
            )

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name, purpose in _SWITCHES.items():
            parser.add_argument(f"--{name}", type=bool, default=True, help=f"false: without {purpose}")

    @override
    def before_instantiate_classes(self) -> None:
        """The default job yields: its callbacks to switches, its folder to the trainer's, its network to the data."""
        config, default = self.config[str(self.subcommand)], self._parser(self.subcommand).get_defaults()
        if config.get("ckpt_path") in ("best", "last", *(["hpc"] if self.subcommand != "fit" else [])):
            raise UsageError(
                f"--ckpt_path {config.ckpt_path} is of a training in the same process; give the path of the file, "
                "logs/RUN/version_N/checkpoints/last.ckpt"
            )
        with_shipped_tables(config.get("data"))
        replaced = _kinds(default.trainer) - _kinds(config.trainer)
        _drop_callbacks(config)
        _drop_readout_of_equation(config)
        _validate_at_the_end(config.trainer)
        _move_logs(config.trainer, default.trainer)
        path = config.get("ckpt_path")
        there = not path or path in ("hpc", "registry") or ":" in path or Path(path).exists()  # or an address
        if not there:
            check_file(Path(path))
        if path and Path(path).is_file():
            check_named(path, self.description)
        if self.subcommand == "fit":
            follow_data(config, default.model)
            follow_equation(config, default.model)
            _say_callbacks(config.trainer, replaced)
        self._fit_network(config)
        name_folder(config, self.does or str(self.subcommand), sys.argv[1:])

    @override
    def _run_subcommand(self, subcommand: str) -> None:
        """Whoever interrupts a training is told how to go on; a run that fails at once leaves no folder."""
        if subcommand == "fit" and (said := finished(self.config.fit.get("ckpt_path"), self.trainer)):
            if self.trainer.is_global_zero:
                sys.stderr.write(f"{said}\n")
            return
        try:
            super()._run_subcommand(subcommand)
        except SystemExit:
            if subcommand == "fit" and self.trainer.interrupted and self.trainer.is_global_zero:
                sys.stderr.write(f"{how_to_go_on(self.trainer)}\n")
                sys.exit(_INTERRUPTED)
            raise
        except Exception:
            discard_if_empty(self.trainer)
            raise

    @override
    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        try:
            return super()._instantiate_trainer(config, callbacks)
        except (ValueError, TypeError, MisconfigurationException) as error:
            raise refused_setting(error) from error

    def _fit_network(self, config: Namespace) -> None:
        """An MLP of one input and one output, the default, takes the sizes of the data instead."""
        network = config.model.init_args.get("network")
        if network is None or network.class_path not in MLP_PATHS or not config.get("data"):
            return
        names = _column_names(config.data)
        if names and config.get("ckpt_path") and self.description and (said := check_same(self.description, **names)):
            rank_zero_warn(said)
        for name, found in names.items():
            size = network.init_args[name]
            if size != len(found) and (size != 1 or config.get("ckpt_path")):
                where = "the checkpoint's network" if config.get("ckpt_path") else f"model.network.{name}"
                raise ValueError(f"{where} has {size} {name}, but the data have {len(found)} ({', '.join(found)})")
            network.init_args[name] = len(found)

    def _refuse_nan(self) -> None:
        """No run that ends in NaN is a success."""
        metrics = self.trainer.callback_metrics
        bad = sorted(name for name, value in metrics.items() if name.endswith("loss") and not value.isfinite())
        if bad:
            raise ValueError(
                f"{', '.join(bad)} is not finite at the end: look at the warnings above, for outliers in the data, or "
                "lower the learning rate"
            )

    after_fit = after_validate = after_test = _refuse_nan

    def after_predict(self) -> None:
        """As above, for the outputs."""
        callbacks: list[Callback] = self.trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        bad = sum(callback.not_finite for callback in callbacks if isinstance(callback, PredictionWriter))
        if bad:
            raise ValueError(f"{bad} of the outputs in the table of predictions are not finite numbers")

    def before_predict(self) -> None:
        """`predict` writes a table, unless the configuration brings a writer of its own."""
        callbacks: list[Callback] = self.trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        if not any(isinstance(callback, PredictionWriter) for callback in callbacks):
            callbacks.append(PredictionWriter())

    @override
    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """`predict` keeps no batch in memory; no checkpoint may run code."""
        arguments = {**super()._prepare_subcommand_kwargs(subcommand), "weights_only": True}
        if subcommand != "fit" and not arguments.get("ckpt_path"):
            rank_zero_warn(f"{subcommand} without --ckpt_path: the network has the random weights of its start")
        return {**arguments, "return_predictions": False} if subcommand == "predict" else arguments

    @override
    def _parse_ckpt_path(self) -> None:
        """Lightning rebuilds the model as the checkpoint describes it: say so where that is not what was asked for."""
        asked, settings = self._model_arguments(), self.config.get(self.config.get("subcommand") or "")
        path = settings and settings.get("ckpt_path")
        if not path or not Path(path).is_file():  # `best`, `last` and the like
            return
        found = dict(read_checkpoint(path).get("hyper_parameters", {}))
        found.pop("_instantiator", None)
        if not found:
            return
        if "_class_path" in found:
            found = {"class_path": found.pop("_class_path"), "dict_kwargs": found}
        self.config = self.parser.parse_object({self.config.subcommand: {"model": found}}, self.config)
        if not any(argument.startswith(("--model", "--config", "-c")) for argument in sys.argv[1:]):
            return
        for key, found in self._model_arguments().items():
            if key in asked and asked[key] != found and not (asked[key] == 1 and key.endswith(SIZES)):
                rank_zero_warn(f"--ckpt_path wins: model.{key} is {found!r}, as in the checkpoint, not {asked[key]!r}")

    def _model_arguments(self) -> dict[str, Any]:
        """Every single argument of the model, by its path."""
        if not self.config.get("subcommand"):
            return {}
        return vars((self.config[self.config.subcommand].get("model") or Namespace()).clone().as_flat())


def _drop_callbacks(config: Namespace) -> None:
    """Leave out what is switched off."""
    trainer = config.trainer
    checkpoints = False if trainer.fast_dev_run else trainer.enable_checkpointing
    switches = {
        ProgressBar: trainer.enable_progress_bar, ModelCheckpoint: checkpoints,
        DerivativeMonitor: config.monitor, LeastSquaresReadout: config.readout,
        Report: config.report and config.monitor,  # what it reports is measured by the monitor
    }  # fmt: skip
    for kind, enabled in switches.items():
        if enabled is False and isinstance(trainer.callbacks, list):
            trainer.callbacks = [c for c in trainer.callbacks if not issubclass(_imported(c.class_path), kind)]


def _kinds(trainer: Namespace) -> set[str]:
    """The names of the classes of callbacks."""
    callbacks = trainer.callbacks if isinstance(trainer.callbacks, list) else []
    return {callback.class_path.rpartition(".")[2] for callback in callbacks}


def _say_callbacks(trainer: Namespace, replaced: set[str]) -> None:
    """One line about what runs, since a list of callbacks takes the place of all others."""
    names = [c.class_path.rpartition(".")[2] for c in trainer.callbacks or []]
    missing = f"; not {', '.join(sorted(replaced))}: `callbacks+:` adds to those of the default job" if replaced else ""
    rank_zero_info(f"callbacks: {', '.join(names) or 'none'}{missing}")


def _move_logs(trainer: Namespace, default: Namespace) -> None:
    """The trainer's folder is where results go: the default job's logs lie in it."""
    arguments = trainer.logger.get("init_args") if isinstance(trainer.logger, Namespace) else None
    if trainer.default_root_dir and arguments and arguments.get("save_dir") == default.logger.init_args.save_dir:
        arguments.save_dir = str(Path(trainer.default_root_dir, arguments.save_dir))


def _drop_readout_of_equation(config: Namespace) -> None:
    """An equation has no labels to solve a last layer for."""
    callbacks = config.trainer.callbacks
    if isinstance(callbacks, list) and config.model.class_path.rpartition(".")[2] == "ResidualRegressor":
        config.trainer.callbacks = [c for c in callbacks if not c.class_path.endswith("LeastSquaresReadout")]


def _validate_at_the_end(trainer: Namespace) -> None:
    """A training of fewer epochs than lie between two validations has one all the same."""
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    if every and epochs and 0 < epochs < every:
        trainer.check_val_every_n_epoch = epochs


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _column_names(data: Namespace) -> dict[str, Sequence[str]]:
    """The names of inputs and outputs, as far as the data module tells them."""
    kind = _imported(data.class_path)
    if not issubclass(kind, TensorDataModule):
        return {}
    made = kind(**data.init_args.as_dict())
    return {"inputs": made.input_names, "outputs": made.output_names}
