"""Where a run writes: a folder of its own, whatever logger there is, and never over an earlier run."""

from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from typing_extensions import override

_directories: WeakKeyDictionary[Trainer, Path] = WeakKeyDictionary()


def run_directory(trainer: Trainer) -> Path:
    """The logger's folder, or without a logger the first free `logs/run_N`. To be called by all processes."""
    if trainer not in _directories:
        directory = trainer.log_dir if trainer.loggers else None
        path = Path(trainer.strategy.broadcast(str(directory or _free(Path(trainer.default_root_dir, "logs")))))
        path.mkdir(parents=True, exist_ok=True)
        _directories[trainer] = path
    return _directories[trainer]


def _free(parent: Path) -> Path:
    return next(path for n in count() if not (path := parent / f"run_{n}").exists())


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


def free_path(path: Path) -> Path:
    """The path itself, or where a file stands already, the same name with the first free number."""
    candidates = (path if n == 0 else path.with_stem(f"{path.stem}_{n}") for n in count())
    return next(candidate for candidate in candidates if not candidate.exists())
