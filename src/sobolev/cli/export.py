"""`sobolev export`: a checkpoint's network and its derivatives in one file for places without autograd."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from sobolev.cli.audit import Configured, configured, joined
from sobolev.cli.inputs_option import read_points
from sobolev.cli.models import load_model, load_weights
from sobolev.export import Export, export
from sobolev.export.signature import Operator

_USAGE = """sobolev export --ckpt_path FILE --output FILE [--operator NAME] [--order N] [options of validate]
       sobolev export MODULE:MODEL --inputs INPUTS --output FILE [--state_dict FILE] [--operator NAME] [--order N]"""

_DESCRIPTION = """\
Write a network and its derivatives to one file, .onnx or .pt2, that runs without sobolev. Before it gets its name it
is run on batches of 1, 2, 7 and 4,096 rows and compared with nested reverse mode in float64.

The first form takes a checkpoint, whose data give the names, units and ranges; the second takes somebody else's model,
as `sobolev audit` does."""

_POINTS = 4096


def run(arguments: Sequence[str]) -> None:
    """Write the file, print its errors.

    Raises:
        SystemExit: help was asked for, or an option is wrong.
        ValueError: a model, a file, weights or points cannot be had; an operation cannot be exported.
        UntrustworthyDerivativeError: the file was wrong.
    """
    foreign = bool(arguments) and not arguments[0].startswith("-")
    parser = make_parser()
    options, rest = parser.parse_known_args(joined(arguments[1:] if foreign else arguments))
    if foreign and rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    with contextlib.redirect_stdout(sys.stderr):  # what the user's code prints is no part of the outcome
        written = _of_model(arguments[0], options, parser) if foreign else _of_checkpoint(options, rest, parser)
    sys.stdout.write(f"{written}\n")


def _of_model(target: str, options: argparse.Namespace, parser: argparse.ArgumentParser) -> Export:
    if options.inputs is None:
        parser.error("--inputs is missing: what goes into the model? --inputs 64,3 or --inputs points.csv")
    model = load_model(target)
    if options.state_dict or options.ckpt_path:
        load_weights(model, options.state_dict or options.ckpt_path)
    points = read_points(options.inputs, _POINTS)
    return _written(model, options, points[0].numel(), inputs=points)


def _of_checkpoint(options: argparse.Namespace, rest: list[str], parser: argparse.ArgumentParser) -> Export:
    if options.ckpt_path is None:
        parser.error("--ckpt_path is missing: the .ckpt file of a training; or name a model, MODULE:MODEL")
    if options.inputs or options.state_dict:
        parser.error("--inputs and --state_dict go with a model: sobolev export MODULE:MODEL --inputs ...")
    found = configured([*rest, "--ckpt_path", options.ckpt_path])
    about = _about(found)
    return _written(found.model, options, found.points[0].numel(), **about)


def _about(found: Configured) -> dict[str, Any]:
    """Names, units and ranges: those of the checkpoint, or as far as the data know them."""
    data, said = found.data, found.description
    if said is None:
        said = data.description() if hasattr(data, "description") else None
    if said is None:
        return {"inputs": found.points}
    variables = [*said["inputs"], *said["outputs"]]
    outputs = [variable["name"] for variable in said["outputs"]]
    usual = ["y"] if len(outputs) == 1 else [f"y{k + 1}" for k in range(len(outputs))]
    return {
        "inputs": _inputs(said["inputs"], found),
        "names": dict(zip(usual, outputs, strict=True)) | dict(getattr(data, "derivative_names", {})),
        "units": {variable["name"]: variable["unit"] for variable in variables if variable["unit"]},
    }


def _inputs(variables: Sequence[dict[str, Any]], found: Configured) -> dict[str, tuple[float, float]]:
    """The range of each input in the training data; where that is nothing, in the points at hand."""
    lows, highs = found.points.amin(0).tolist(), found.points.amax(0).tolist()
    ranges = {}
    for variable, low, high in zip(variables, lows, highs, strict=True):
        low, high = variable["range"] or (low, high)
        ranges[variable["name"]] = (low, high) if low < high else (low - 1, high + 1)
    return ranges


def _written(model: Any, options: argparse.Namespace, count: int, **about: Any) -> Export:
    operator = options.operator or ("derivatives" if count == 1 else "hessian")
    dtype = torch.float64 if options.float64 else torch.float32
    return export(model, options.output, operator, options.order, dtype=dtype, compiled=options.compiled, **about)


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="sobolev export", usage=_USAGE, description=_DESCRIPTION, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--output", required=True, type=Path, metavar="FILE", help="the new file: .onnx, or .pt2 for torch.export")
    add("--operator", choices=get_args(Operator), help="left out: derivatives of one input, hessian of several")
    add("--order", type=int, default=2, metavar="N", help="the highest order of `derivatives` (default: 2)")
    add("--float64", action="store_true", help="compute in float64 where nine digits are worth it")
    add("--compiled", action="store_true", help="a .pt2 compiled by AOTInductor for this machine's processor")
    add("--ckpt_path", metavar="FILE", help="a Lightning checkpoint with the weights")
    ours = parser.add_argument_group("somebody else's model")
    add = ours.add_argument
    add("--inputs", metavar="INPUTS", help="points: a shape, 64,3; a range per input, 0:1,-50:50; or a file of rows")
    add("--state_dict", metavar="FILE", help="the weights, as torch.save(model.state_dict()) wrote them")
    return parser
