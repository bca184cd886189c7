"""`sobolev readout`: the least-squares readout by hand, on a checkpoint."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from rich.console import Console
from typing_extensions import override

from sobolev.cli.lightning_cli import SobolevCLI
from sobolev.readout.callback import LeastSquaresReadout
from sobolev.report.run_directory import free_path


class ReadoutOfCheckpoint(LeastSquaresReadout):
    """Solves before a validation instead of at the end of a training, and writes a checkpoint with the new weights.

    Args:
        checkpoint: the file that was loaded; everything but the weights is taken from it.
        output: the new file.
        precision: as in `LeastSquaresReadout`.
    """

    def __init__(self, checkpoint: Path, output: Path, precision: str) -> None:
        super().__init__(precision)  # pyright: ignore[reportArgumentType]
        self.checkpoint, self.output = checkpoint, output

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.solve_or_raise(trainer, pl_module)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            contents = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            self.output.parent.mkdir(parents=True, exist_ok=True)
            torch.save(contents | {"state_dict": pl_module.state_dict()}, self.output)

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().teardown(trainer, pl_module, stage)
        if trainer.is_global_zero and self.output.exists():
            Console(soft_wrap=True).print(str(self.output), markup=False, highlight=False)


class ReadoutCLI(SobolevCLI):
    """`sobolev validate` with a readout before it.

    Args:
        options: what `readout` has of its own.
        others: all other arguments.
    """

    does = "readout"

    def __init__(self, options: argparse.Namespace, others: Sequence[str]) -> None:
        self.options = options
        self.words = ["validate", "--ckpt_path", str(options.ckpt_path), *others]
        super().__init__(str(options.ckpt_path))

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        given = sys.argv[1:]  # the processes that a strategy starts run the same command again
        sys.argv[1:] = self.words
        try:
            super().parse_arguments(parser, args)
        finally:
            sys.argv[1:] = given

    def before_validate(self) -> None:
        """The readout by hand takes the place of the one that is configured."""
        callbacks: list[Callback] = self.trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        configured = [c for c in callbacks if isinstance(c, LeastSquaresReadout)]
        precision = self.options.precision or (configured[0].precision if configured else "network")
        by_hand = ReadoutOfCheckpoint(self.options.ckpt_path, self.options.output, precision)
        callbacks[:] = [by_hand, *(c for c in callbacks if c not in configured)]


def run(arguments: Sequence[str]) -> None:
    """Load a checkpoint, solve its readout, validate it and write it to a new file.

    Args:
        arguments: of the command line, behind `readout`: `--ckpt_path`, `--output`, `--precision`, and all of
            `sobolev validate`.

    Raises:
        ValueError: there is no such checkpoint; the new file exists already.
    """
    options, others = make_parser().parse_known_args(arguments)
    if not options.ckpt_path.is_file():
        raise ValueError(f"there is no checkpoint {options.ckpt_path}; --ckpt_path takes the .ckpt file of a training")
    beside = options.ckpt_path.with_stem(f"{options.ckpt_path.stem}-readout")
    options.output = options.output or free_path(beside)
    if options.output.exists():
        raise ValueError(f"{options.output} exists already; nothing is overwritten, give --output another name")
    ReadoutCLI(options, others)


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="sobolev readout",
        description="Solve the last linear layer of a checkpoint's network by least squares and write a new checkpoint "
        "of it; then as `sobolev validate`, whose options (--data, --config, --trainer, ...) are taken as well.",
    )
    parser.add_argument("--ckpt_path", required=True, type=Path, help="the checkpoint; it is not changed")
    parser.add_argument("--output", type=Path, help="the new file; left out: its name with -readout, beside it")
    parser.add_argument(
        "--precision", choices=("network", "float64"), help="of the new weights; left out: as configured, or network"
    )
    return parser
