"""`sobolev certify`: how wrong can the derivatives of this model be anywhere? The exit status says it to a script."""

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from torch import nn

from sobolev.certify import Certificate, certify
from sobolev.cli.audit import configured
from sobolev.cli.models import load_model, load_weights
from sobolev.report.certificate import certify_on

_USAGE = """sobolev certify [--config FILE] [--ckpt_path FILE] [--at_most BOUNDS] [--json] [options of validate]
       sobolev certify MODULE:MODEL --domain DOMAIN [--function FORMULA] [--state_dict FILE] [--at_most BOUNDS] ..."""

_DESCRIPTION = """\
Proves how wrong a network and its derivatives can be, for every point of a domain, not for samples. Prints a table: a
bound that is exceeded nowhere, a value that is attained, and where.

The first form takes network, function and domain from a configuration (by default configs/square.yaml), for a
differential equation the equation and its conditions; it takes all options of `sobolev validate`. The second takes
somebody else's network: MODULE:MODEL is a path to import, package.module:name or file.py:name."""

_EPILOG = """\
exit status: 0: proved, and not above --at_most; 1: it was not; 2: no proof goes through this network or function."""


def run(arguments: Sequence[str]) -> int:
    """Prove what the arguments of the command line say, print the outcome.

    Returns:
        The exit status: 0 where it was proved.

    Raises:
        SystemExit: help was asked for, or an option is wrong.
        ValueError: a model, a file, weights or a domain cannot be had.
        TypeError: no proof goes through the network or the function.
    """
    foreign = bool(arguments) and not arguments[0].startswith("-")
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments[1:] if foreign else arguments)
    if foreign and rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    most = _numbers(options.at_most, parser)
    with contextlib.redirect_stdout(sys.stderr):  # what the user's code prints is no part of the outcome
        outcome = _of_model(arguments[0], options, parser) if foreign else _of_configuration(options, rest, parser)
    if len(most) > len(outcome.upper):
        parser.error(f"--at_most has {len(most)} numbers; there are {len(outcome.upper)} bounds")
    if options.output:
        outcome.save(options.output)
    if options.picture:
        outcome.picture(options.picture)
    text = json.dumps(outcome.to_dict(), indent=2, allow_nan=False) if options.json else str(outcome)
    sys.stdout.write(f"{text}\n")
    return 0 if _proved(outcome, most) else 1


def _proved(outcome: Certificate, most: list[float]) -> bool:
    """Whether no bound is above its limit; without limits, whether all are as near as was asked for."""
    return all(bound <= limit for bound, limit in zip(outcome.upper, most, strict=False)) if most else outcome.complete


def _of_model(target: str, options: argparse.Namespace, parser: argparse.ArgumentParser) -> Certificate:
    if options.domain is None:
        parser.error("--domain is missing: where is it to be proved? --domain x=-50:50 or --domain x=0:1,t=0:2")
    model = load_model(target)
    if options.state_dict or options.ckpt_path:
        _double(model)
        load_weights(model, options.state_dict or options.ckpt_path)
    if isinstance(model, nn.Module):
        model.eval()
    domain, about = _domain(options.domain, parser), {"rounding": options.rounding}
    return certify(model, options.function, domain, options.order, options.tolerance, options.seconds, **about)


def _of_configuration(options: argparse.Namespace, rest: list[str], parser: argparse.ArgumentParser) -> Certificate:
    for name in ("function", "state_dict"):
        if getattr(options, name):
            parser.error(f"--{name} goes with a model: sobolev certify MODULE:MODEL --{name} ...")
    weights = ["--ckpt_path", options.ckpt_path] if options.ckpt_path else []
    found = configured([*rest, *weights])
    model, data = found.model, found.data
    if options.ckpt_path:
        _double(model)  # so that weights in float64 keep their digits
        load_weights(model, options.ckpt_path)
    model.eval()
    domain = _domain(options.domain, parser) if options.domain else None
    return certify_on(model, data, domain, options.order, options.tolerance, options.seconds, options.rounding)


def _double(model: Any) -> None:
    if isinstance(model, nn.Module):
        model.double()


def _domain(text: str, parser: argparse.ArgumentParser) -> dict[str, tuple[float, float]]:
    """`x=-50:50,t=0:1` as a dictionary of intervals."""
    found = {}
    for part in text.split(","):
        name, _, ends = part.partition("=")
        low, _, high = ends.partition(":")
        try:
            found[name.strip()] = (float(low), float(high))
        except ValueError:
            parser.error(f"--domain is {text!r}; write the interval of each input: x=-50:50,t=0:1")
    return found


def _numbers(text: str | None, parser: argparse.ArgumentParser) -> list[float]:
    try:
        return [float(number) for number in text.split(",")] if text else []
    except ValueError:
        parser.error(f"--at_most is {text!r}; write a limit for each order: 1e-8,1e-7,1e-6")


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="sobolev certify", usage=_USAGE, description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--order", type=int, default=2, metavar="N", help="the highest derivative (default: 2)")
    add("--tolerance", type=float, default=0.02, metavar="T", help="how near bounds should come (default: 0.02)")
    add("--seconds", type=float, default=60, metavar="S", help="then print what is proved so far (default: 60)")
    add("--at_most", metavar="BOUNDS", help="limits for each order, or equation and condition: 1e-8,1e-7,1e-6")
    add("--domain", metavar="DOMAIN", help="the interval of each input: x=-50:50,t=0:1 (default: that of the data)")
    add("--rounding", choices=("float32", "float64"), help="count the rounding of a forward in this precision, order 0")
    add("--json", action="store_true", help="print JSON in place of the table")
    add("--output", metavar="FILE", help="write the certificate with its cells as JSON")
    add("--picture", metavar="FILE", help="draw the bounds over the domain")
    add("--ckpt_path", metavar="FILE", help="a Lightning checkpoint with the weights")
    ours = parser.add_argument_group("somebody else's model")
    ours.add_argument(
        "--function", metavar="FORMULA", help="what it should be: x**2 (default: bound the network alone)"
    )
    ours.add_argument("--state_dict", metavar="FILE", help="the weights, as torch.save(model.state_dict()) wrote them")
    return parser
