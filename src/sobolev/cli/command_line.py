"""The programme `sobolev`: which subcommand is meant, and errors a person can read."""

import errno
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch

from sobolev import __version__
from sobolev.cli.arguments import as_parsed
from sobolev.cli.mistakes import UsageError, nearest
from sobolev.cli.shipped import with_shipped_configs
from sobolev.errors import UntrustworthyDerivativeError

PACKAGE = Path(__file__).parents[1]

OWN_COMMANDS = ("audit", "certify", "readout", "export", "completion")
"""Beside Lightning's: a module each, whose `run` takes the words behind and may return an exit status."""

COMMANDS = ("fit", "validate", "test", "predict", *OWN_COMMANDS)

_NOT_WRITTEN = {
    errno.EACCES: "there is no permission to",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of disk space is used up",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `sobolev`; without a subcommand it is `fit`, and `configs/square.yaml` gives the default of everything.

    Args:
        arguments: those of the command line; `sys.argv` if left out. The exit status is 1 after an error, 2 where an
            option, a subcommand or a configuration is not understood; of `audit` and `certify`, 1 says that the
            derivatives cannot be trusted, or something could not be proved, and 2 that no outcome could be had.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] in (["-V"], ["--version"]):
        sys.stdout.write(f"sobolev {__version__}\n")
        return
    if given[:1] in (["-h"], ["--help"]):
        import_module("sobolev.cli.help").print_overview()
        return
    if not given or given[0].startswith("-"):
        given = ["fit", *given]
        _say_default(given)
    try:
        _run(given)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(130)  # as shells say of what Ctrl-C has ended
    except Exception as error:
        sentence = _explained(error)
        if os.environ.get("SOBOLEV_TRACEBACK") or sentence is None:
            raise
        if isinstance(error, UsageError):
            sys.stderr.write(f"error: {sentence}\n")
            sys.exit(2)
        message = f"error: {sentence}"
        if not _of_what_was_given(error):
            message += "\n(SOBOLEV_TRACEBACK=1 shows where this was found)"
        if given[0] in ("audit", "certify"):  # of which 1 is an outcome
            sys.stderr.write(f"{message}\n")
            sys.exit(2)
        sys.exit(message)


def _run(given: list[str]) -> None:
    if given[0] not in COMMANDS:
        found = nearest(given[0], COMMANDS)
        meant = f"did you mean `sobolev {found}`?" if found else f"they are {', '.join(COMMANDS)}"
        raise UsageError(f"sobolev has no subcommand {given[0]!r}; {meant}")
    if given[0] != "completion":
        _hush()
        given = with_shipped_configs(given)
    if given[0] not in OWN_COMMANDS and given[-1] in ("-h", "--help") and len(given) > 1:
        import_module("sobolev.cli.help").print_help(given[0], given[1:-1])
        return
    given = as_parsed(given)
    if given[0] in OWN_COMMANDS:
        status = import_module(f"sobolev.cli.{given[0]}").run(given[1:])
        if status is not None:
            sys.exit(status)
    else:
        sys.path.append(str(Path.cwd()))  # modules of one's own, as `python -m sobolev` finds them
        if given[-2:] in (["--help", "all"], ["-h", "all"]):
            given = given[:-1]
        sys.argv[1:] = given  # LightningCLI reads it, and so do the processes that a strategy starts
        from sobolev.cli.lightning_cli import SobolevCLI

        SobolevCLI()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # gloo's threads may abort an interpreter that ends without it


def _say_default(given: list[str]) -> None:
    from lightning.pytorch.utilities import rank_zero_info

    rank_zero_info(f"sobolev {' '.join(given)}: the default job of configs/square.yaml")


def _hush() -> None:
    """No advertisements, and no deprecations that are for Lightning's authors."""
    import_module("lightning.pytorch")  # has rules of its own for warnings, and takes longer than the shortest answers
    idle = {
        "utilities.rank_zero": "Tip:",
        "trainer.connectors.checkpoint_connector": "`weights_only` was not set",
    }
    for module, words in idle.items():
        logging.getLogger(f"lightning.pytorch.{module}").addFilter(
            lambda record, words=words: words not in record.getMessage()
        )
    warnings.filterwarnings("ignore", "The number of training batches")  # small tables are no mistake
    warnings.filterwarnings("ignore", "The dirpath has changed")  # of a checkpoint that is read by another run
    alone = r"(?s)Be aware that when using `ckpt_path`.*callbacks: \[.ModelCheckpoint\{[^}]*\}.\]"
    warnings.filterwarnings("ignore", alone)  # all but fit write no checkpoints, and need not know of them
    warnings.formatwarning = _as_a_sentence
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)


def _as_a_sentence(message: Warning | str, *_: object, **__: object) -> str:
    """A warning as it is read in a terminal, without the line of the source that gave it."""
    return f"warning: {' '.join(str(message).split())}\n"


def _explained(error: BaseException | None) -> str | None:
    """What to tell the user: an error raised by sobolev itself or about files and settings, or caused by such a one."""
    if error is None:
        return None
    if isinstance(error, RuntimeError) and "loading state_dict" in str(error):
        return f"the checkpoint is of another network. {error}"
    if isinstance(error, OSError) and (said := _not_written(error)):
        return said
    if isinstance(error, UsageError):
        return str(error)
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    if isinstance(error, MisconfigurationException | OSError) or _raised_here(error) or _raised_by_a_callback(error):
        return str(error)
    return _explained(error.__cause__)


def _of_what_was_given(error: BaseException) -> bool:
    """Whether a file or an option is the matter, so that no place in the source says more."""
    file = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return isinstance(error, OSError) or any(PACKAGE / room in file.parents for room in ("cli", "data", "functions"))


def _raised_by_a_callback(error: BaseException) -> bool:
    """Lightning's EarlyStopping and the like say in such an error which metric they miss."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, RuntimeError) and Path(frames[-1].filename).match("lightning/pytorch/callbacks/*.py")


def _not_written(error: OSError) -> str | None:
    """What to do where nothing can be written; None for other errors."""
    where = str(error.filename2 or error.filename or "the run's files")
    if error.errno not in _NOT_WRITTEN or (error.errno == errno.EACCES and Path(where).is_file()):
        return None
    return f"cannot write {where}: {_NOT_WRITTEN[error.errno]}; write elsewhere by --trainer.default_root_dir FOLDER"


def _raised_here(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    here = bool(frames) and PACKAGE in Path(frames[-1].filename).parents
    return here and isinstance(error, ValueError | TypeError | UntrustworthyDerivativeError)
