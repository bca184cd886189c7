"""`sobolev audit`: can the derivatives of this model be trusted? The exit status says it to a script."""

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from typing_extensions import override

from sobolev.audit import Audit, audit
from sobolev.cli.inputs_option import read_points
from sobolev.cli.models import load_model, load_weights, read_tensors
from sobolev.cli.trained_data import points_within
from sobolev.estimates.estimate import KEY

if TYPE_CHECKING:
    from sobolev.cli.lightning_cli import SobolevCLI

_USAGE = """sobolev audit [--config FILE] [--ckpt_path FILE] [--order N] [--points N] [--json] [options of validate]
       sobolev audit MODULE:MODEL --inputs INPUTS [--state_dict FILE] [--order N] [--points N] [--json]"""

_DESCRIPTION = """\
Can the derivatives of a model be trusted? Prints a table: what is wrong, where, how wrong, what to do.

The first form audits the model of a configuration (by default configs/square.yaml) at the validation points of its
data; it takes all options of `sobolev validate`. The second audits somebody else's model: MODULE:MODEL is a path to
import, package.module:name or file.py:name, the name of a torch.nn.Module or LightningModule, of such a class, of a
function of the points, or of a function without arguments that makes the model."""

_EPILOG = """\
exit status: 0: the derivatives can be trusted; 1: an error was found; 2: the audit could not be made."""

_RANDOM = 1000
"""How many points are drawn where the data are gone."""
_BATCHES = 64
"""How many batches of another's data module are looked at."""
_PRECISIONS = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}


def run(arguments: Sequence[str]) -> int:
    """Audit what the arguments of the command line say, print the outcome.

    Returns:
        The exit status: 2 where the model could not be evaluated, 1 where a finding is an error, else 0.

    Raises:
        SystemExit: help was asked for, or an option is wrong.
        ValueError: a model, a file, weights or points cannot be had.
    """
    foreign = bool(arguments) and not arguments[0].startswith("-")
    parser = make_parser()
    options, rest = parser.parse_known_args(joined(arguments[1:] if foreign else arguments))
    if options.order < 1 or options.points < 1:
        parser.error(f"--{'order' if options.order < 1 else 'points'} is a whole number, 1 or more")
    if foreign and rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    with contextlib.redirect_stdout(sys.stderr):  # what the user's code prints is no part of the outcome
        outcome = _of_model(arguments[0], options, parser) if foreign else _of_configuration(options, rest, parser)
    text = json.dumps(outcome.to_dict(), indent=2, allow_nan=False) if options.json else _as_text(outcome, options)
    sys.stdout.write(f"{text}\n")
    return 0 if outcome.trustworthy else 1 if outcome.made else 2


def _as_text(outcome: Audit, options: argparse.Namespace) -> str:
    """The table; a checkpoint that holds an estimate answers how near the derivatives come to the truth."""
    held = read_tensors(options.ckpt_path) if options.ckpt_path else {}
    if not isinstance(held, dict) or KEY not in held:
        return str(outcome)
    return outcome.text(
        f"`sobolev predict --ckpt_path {options.ckpt_path}` writes an estimate of that beside each number; in Python, "
        f"sobolev.DerivativeEstimate.from_checkpoint({options.ckpt_path!r}, model)."
    )


def _of_model(target: str, options: argparse.Namespace, parser: argparse.ArgumentParser) -> Audit:
    if options.inputs is None:
        parser.error("--inputs is missing: where is the model to be audited? --inputs 64,3 or --inputs points.csv")
    if options.state_dict and options.ckpt_path:
        parser.error("give --state_dict or --ckpt_path, not both")
    model = load_model(target)
    if options.state_dict or options.ckpt_path:
        load_weights(model, options.state_dict or options.ckpt_path)
    columns = [name.strip() for name in options.columns.split(",")] if options.columns else []
    outcome = _audited(model, read_points(options.inputs, options.points, columns), options)
    if options.inputs.isdecimal() and not outcome.trustworthy:
        n = options.inputs
        meant = f"{options.points} samples of {n} numbers are --inputs {options.points},{n}"
        sys.stderr.write(f"note: --inputs {n} means {n} samples of one number each; {meant}\n")
    return outcome


def _of_configuration(options: argparse.Namespace, rest: list[str], parser: argparse.ArgumentParser) -> Audit:
    for name in ("inputs", "columns", "state_dict"):
        if getattr(options, name):
            parser.error(f"--{name} goes with a model: sobolev audit MODULE:MODEL --{name} ...")
    found = configured([*rest, *(["--ckpt_path", options.ckpt_path] if options.ckpt_path else [])])
    return _audited(found.model, found.points, options)


def _audited(model: Callable[[Tensor], Any], points: Tensor, options: argparse.Namespace) -> Audit:
    if isinstance(model, nn.Module):
        model.eval()
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    dtype = next((p.dtype for p in weights if p.is_floating_point()), torch.get_default_dtype())
    return audit(model, points.to(dtype), options.order, points=options.points)


class Configured(NamedTuple):
    """The model of a configuration, its validation points, its data, and what its checkpoint says of these."""

    model: nn.Module
    points: Tensor
    data: Any
    description: dict[str, Any] | None


def configured(arguments: list[str]) -> Configured:
    """What the options of `sobolev validate` describe."""
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # the seed, which changes nothing here
    sys.argv[1:] = ["validate", *arguments]
    cli = _cli_without_trainer()
    settings = cli.config.validate
    cli.model.configure_model()
    if settings.get("ckpt_path"):
        load_weights(cli.model, settings.ckpt_path)
    data = cli.datamodule or cli.model
    points = _points(data, cli.description)
    model = cli.model.to(_PRECISIONS.get(str(settings.trainer.precision)))
    return Configured(model, points, data, cli.description)


def _cli_without_trainer() -> "SobolevCLI":
    """Reads what `validate` would, and makes model and data."""
    from lightning.pytorch.utilities import rank_zero_warn

    from sobolev.cli.lightning_cli import SobolevCLI

    class AuditCLI(SobolevCLI):
        @override
        def before_instantiate_classes(self) -> None:
            super().before_instantiate_classes()
            self.config.validate.trainer.callbacks, self.config.validate.trainer.logger = None, False

        @override
        def instantiate_trainer(self, **_: Any) -> Any:
            return None

        @override
        def _run_subcommand(self, subcommand: str) -> None:
            if not self.config.validate.get("ckpt_path"):
                rank_zero_warn("audit without --ckpt_path: the network has the random weights of its start")

    return AuditCLI()


def _points(data: Any, description: dict[str, Any] | None) -> Tensor:
    """The validation points, or where a checkpoint's table is gone, points in the ranges of its inputs."""
    path = getattr(data, "path", None)
    if description is None or path is None or path.exists():
        return _validation_points(data)
    sys.stderr.write(f"note: {path} is not there; the points are uniform in the ranges of the checkpoint's inputs\n")
    return points_within(description, _RANDOM)


def _validation_points(data: Any) -> Tensor:
    """All of them from a data module of ours; of another's, the first tensor of its first batches."""
    data.prepare_data()
    data.setup("validate")
    if hasattr(data, "validation_points"):
        return data.validation_points
    loader = data.val_dataloader()
    loader = loader[0] if isinstance(loader, list | tuple) and loader else loader
    leaves = [[leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)] for batch in islice(loader, _BATCHES)]
    if not leaves or not all(leaves):
        raise ValueError(f"{type(data).__name__}.val_dataloader() gives no batch that begins with a tensor of points")
    return torch.cat([tensors[0] for tensors in leaves])


def joined(arguments: Sequence[str]) -> list[str]:
    """`--inputs -1:1` as `--inputs=-1:1`: argparse takes what begins with a minus for an option."""
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] == "--inputs":
            joined[-1] = f"--inputs={word}"
        else:
            joined.append(word)
    return joined


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="sobolev audit", usage=_USAGE, description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--order", type=int, default=2, metavar="N", help="the highest derivative that is needed (default: 2)")
    add("--points", type=int, default=64, metavar="N", help="how many points are looked at (default: 64)")
    add("--json", action="store_true", help="print JSON in place of the table")
    add("--ckpt_path", metavar="FILE", help="a Lightning checkpoint with the weights")
    ours = parser.add_argument_group("somebody else's model")
    ours.add_argument(
        "--inputs",
        metavar="INPUTS",
        help="the points: a shape, 64,3, uniform in -1 to 1; a range per input, 0:1,-50:50; or a file .csv, .parquet, "
        ".npy, .pt with the points as rows",
    )
    ours.add_argument("--columns", metavar="NAMES", help="the columns of the file that are inputs: x,z (default: all)")
    ours.add_argument("--state_dict", metavar="FILE", help="the weights, as torch.save(model.state_dict()) wrote them")
    return parser
