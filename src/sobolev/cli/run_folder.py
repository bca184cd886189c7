"""The folder of a run: what it is called, where it lies, and what becomes of it after an error or Ctrl-C."""

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import yaml
from jsonargparse import Namespace
from lightning.pytorch import Trainer

from sobolev.report.run_directory import run_directory

_DEFAULT = "square"
_UNNAMED = (None, "lightning_logs")
"""What Lightning's loggers call a run that nobody gave a name."""
_WHAT = ("function", "path", "equation")
"""The options of data that say what is learnt."""
_ELSEWHERE = ("--trainer.logger", "--trainer.default_root_dir")
_SIGNS = {"/": "over", "+": "plus", " - ": "minus"}
_LONGEST = 40
"""Letters; a name is cut between words."""
_BEFORE_THE_FIRST_STEP = ("config*.yaml", "hparams.yaml", "events.out.tfevents.*", "metrics.csv")


def name_folder(config: Namespace, subcommand: str, words: Sequence[str]) -> None:
    """Give a logger without a name that of what is run, and let all but `fit` write beside the checkpoint.

    Args:
        config: of the subcommand; changed in place.
        subcommand: such as `fit`; so the folder beside the checkpoint is called.
        words: of the command line.
    """
    checkpoint, asked = config.get("ckpt_path"), any(word.startswith(_ELSEWHERE) for word in words)
    for logger in _loggers(config.trainer):
        if logger.init_args.get("name", "") not in _UNNAMED:
            continue
        logger.init_args.name = _name(config, words)
        folder = _run_of(checkpoint) if subcommand != "fit" and not asked else None
        if folder is not None:
            logger.init_args.save_dir, logger.init_args.name = str(folder), subcommand


def _loggers(trainer: Namespace) -> list[Namespace]:
    loggers = trainer.logger if isinstance(trainer.logger, list) else [trainer.logger]
    return [logger for logger in loggers if isinstance(logger, Namespace) and logger.get("init_args")]


def _run_of(checkpoint: str | None) -> Path | None:
    """The folder of the run that wrote a checkpoint, where it lies in one."""
    folder = Path(checkpoint).parent if checkpoint else None
    return folder.parent if folder is not None and folder.name == "checkpoints" else None


def _name(config: Namespace, words: Sequence[str]) -> str:
    """After what the command line says of the data, else after the last configuration with a model or data."""
    data = config.data.init_args if config.get("data") else Namespace()
    options = {word.partition("=")[0].replace(".init_args", "") for word in words}
    typed = [what for what in _WHAT if f"--data.{what}" in options]
    for what in typed:
        if name := _slug(data.get(what), what):
            return name
    named = [path for path in _configurations(words) if _says_what(path)]
    if named:
        return named[-1].stem
    checkpoint = config.get("ckpt_path")
    if folder := _run_of(checkpoint):
        return folder.parent.name
    return Path(checkpoint).stem if checkpoint else _DEFAULT


def _slug(value: object, what: str) -> str:
    """A formula or the stem of a path, with nothing that a shell minds."""
    text = str(value[0] if isinstance(value, list) and value else value)
    if what == "path":
        text = Path(text).stem
    else:
        text = re.sub(r"^\s*-", "minus ", text.replace("**", ""))
        for sign, word in _SIGNS.items():
            text = text.replace(sign, f" {word} ")
    found = re.sub(r"(?:[^\w.-]|_)+", "_", text).strip("_.-")
    return found if len(found) <= _LONGEST else found[: _LONGEST + 1].rpartition("_")[0] or found[:_LONGEST]


def _configurations(words: Sequence[str]) -> list[Path]:
    """The files behind `--config` and `-c`."""
    found = []
    for word, after in pairwise([*words, ""]):
        option, equals, value = word.partition("=")
        if option in ("--config", "-c"):
            found.append(Path(value if equals else after))
    return found


def _says_what(path: Path) -> bool:
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    return isinstance(content, dict) and not {"model", "data"}.isdisjoint(content)


def discard_if_empty(trainer: Trainer) -> None:
    """Remove the folder of a run that failed before its first step."""
    if trainer.global_step or not trainer.is_global_zero:
        return
    folder = run_directory(trainer)
    files = [path for path in folder.rglob("*") if path.is_file()]
    if all(any(path.match(pattern) for pattern in _BEFORE_THE_FIRST_STEP) for path in files):
        shutil.rmtree(folder, ignore_errors=True)
        for parent in (folder.parent, folder.parent.parent):
            if parent.resolve() != Path.cwd() and parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def how_to_go_on(trainer: Trainer) -> str:
    """What to say after Ctrl-C: where the last checkpoint lies, and the line that goes on from there."""
    epoch, saved = trainer.current_epoch, [_last_of(callback) for callback in trainer.checkpoint_callbacks]
    path = next(filter(None, saved), None)
    if path is None:
        return f"interrupted in epoch {epoch}, before the first checkpoint was written: there is nothing to go on from"
    words = _without_checkpoint(sys.argv[1:])
    line = shlex.join(["sobolev", *words, "--ckpt_path", path])
    return f"interrupted in epoch {epoch}; the last checkpoint is {path}. To go on from there:\n  {line}"


def _last_of(callback: object) -> str:
    return getattr(callback, "last_model_path", "") or getattr(callback, "best_model_path", "")


def _without_checkpoint(words: Sequence[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        if not skip and word.partition("=")[0] != "--ckpt_path":
            kept.append(word)
        skip = word == "--ckpt_path"
    return kept


def finished(checkpoint: str | None, trainer: Trainer) -> str:
    """What to say where a training has nothing left to do, else nothing."""
    if not checkpoint or not Path(checkpoint).is_file():
        return ""
    from sobolev.training.checkpoint import read_checkpoint

    loops = read_checkpoint(checkpoint).get("loops", {})
    done = loops.get("fit_loop", {}).get("epoch_progress", {}).get("current", {}).get("completed", 0)
    if not done or trainer.max_epochs is None or not 0 < trainer.max_epochs <= done:
        return ""
    return (
        f"{checkpoint} is of a training that has finished its {done} epochs: nothing is left to do. "
        f"--trainer.max_epochs {2 * done} goes on; `sobolev validate --ckpt_path {checkpoint}` measures it"
    )
