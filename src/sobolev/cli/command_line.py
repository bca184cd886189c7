"""The programme `sobolev`: which subcommand is meant, and errors a person can read."""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_info

from sobolev.errors import UntrustworthyDerivativeError

PACKAGE = Path(__file__).parents[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `sobolev`; without a subcommand it is `fit`, and `configs/square.yaml` gives the default of everything.

    Args:
        arguments: those of the command line; `sys.argv` if left out. The exit status is 1 after an error; of `audit`
            and `certify`, 1 says that the derivatives cannot be trusted, or something could not be proved, and 2 that
            no outcome could be had.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given = ["fit", *given]
        rank_zero_info(f"sobolev {' '.join(given)}: the default job of configs/square.yaml")
    _hush()
    try:
        _run(given)
    except Exception as error:
        sentence = _explained(error)
        if os.environ.get("SOBOLEV_TRACEBACK") or sentence is None:
            raise
        message = f"error: {sentence}\n(SOBOLEV_TRACEBACK=1 shows where this was found)"
        if given[0] in ("audit", "certify"):  # of which 1 is an outcome
            sys.stderr.write(f"{message}\n")
            sys.exit(2)
        sys.exit(message)


def _run(given: list[str]) -> None:
    if given[0] == "audit":
        from sobolev.cli.audit import run as audit

        sys.exit(audit(given[1:]))
    elif given[0] == "certify":
        from sobolev.cli.certify import run as certify

        sys.exit(certify(given[1:]))
    elif given[0] == "export":
        from sobolev.cli.export import run as export

        export(given[1:])
    elif given[0] == "readout":
        from sobolev.cli.readout import run as readout

        readout(given[1:])
    else:
        sys.argv[1:] = given  # LightningCLI reads it, and so do the processes that a strategy starts
        from sobolev.cli.lightning_cli import SobolevCLI

        SobolevCLI()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # gloo's threads may abort an interpreter that ends without it


def _hush() -> None:
    """No advertisements, and no deprecations that are for Lightning's authors."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)


def _explained(error: BaseException | None) -> str | None:
    """What to tell the user: an error raised by sobolev itself or about files and settings, or caused by such a one."""
    if error is None:
        return None
    if isinstance(error, RuntimeError) and "loading state_dict" in str(error):
        return f"the checkpoint is of another network. {error}"
    if isinstance(error, MisconfigurationException | OSError) or _raised_here(error):
        return str(error)
    return _explained(error.__cause__)


def _raised_here(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    here = bool(frames) and PACKAGE in Path(frames[-1].filename).parents
    return here and isinstance(error, ValueError | TypeError | UntrustworthyDerivativeError)
