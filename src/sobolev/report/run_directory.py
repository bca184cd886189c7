"""Where a run writes: a folder of its own, whatever logger there is, and never over an earlier run."""

from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from weakref import WeakKeyDictionary, finalize

from lightning.pytorch import Trainer

_directories: WeakKeyDictionary[Trainer, Path] = WeakKeyDictionary()


def run_directory(trainer: Trainer) -> Path:
    """The logger's folder, or without a logger the first free `logs/run_N`. To be called by all processes.

    That of a `fast_dev_run` goes with its trainer.
    """
    if trainer not in _directories and is_fast_dev_run(trainer):
        _directories[trainer] = Path(mkdtemp(prefix="sobolev-"))
        finalize(trainer, rmtree, _directories[trainer], ignore_errors=True)
    if trainer not in _directories:
        directory = trainer.log_dir if trainer.loggers else None
        path = Path(trainer.strategy.broadcast(str(directory or _free(Path(trainer.default_root_dir, "logs")))))
        path.mkdir(parents=True, exist_ok=True)
        _directories[trainer] = path
    return _directories[trainer]


def is_fast_dev_run(trainer: Trainer) -> bool:
    """Whether the trainer only tries out that everything runs."""
    return bool(getattr(trainer, "fast_dev_run", False))


def _free(parent: Path) -> Path:
    return next(path for n in count() if not (path := parent / f"run_{n}").exists())


def free_path(path: Path) -> Path:
    """The path itself, or where a file stands already, the same name with the first free number."""
    candidates = (path if n == 0 else path.with_stem(f"{path.stem}_{n}") for n in count())
    return next(candidate for candidate in candidates if not candidate.exists())


def as_typed(path: Path) -> Path:
    """Relative to the current folder, where it lies in there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
