"""Runs inside one environment: checks its peers, times them beside us and the plain forward, writes JSON."""

import argparse
import json
import logging
import platform
import re
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import timing
from benchmarks.cases import CASES, Case
from benchmarks.check import TOLERANCE, reference, relative_error
from benchmarks.jobs import prepared
from benchmarks.peers import PEERS, NotOffered

BLOCKS = (250, 500, 1000, 2000, 4000)
"""Rows of a block in the forward done in blocks; the quickest counts."""

SLOW = 60.0
"""Seconds that compiling, checking and a first call may take together."""


def main() -> None:
    options = _options()
    warnings.simplefilter("ignore")
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    report = {"environment": options.environment, "device": options.device, "python": platform.python_version()}
    report["results"] = {}
    for key in options.cases:
        print(f"  {CASES[key].title} ({options.device})", flush=True)
        report["results"][key] = measure(CASES[key], options)
        options.out.write_text(json.dumps(report, indent=1))


def measure(case: Case, options: argparse.Namespace) -> dict:
    """Every engine that can do the case, right ones timed, the others with the reason."""
    torch.compiler.reset()  # not between engines: they would all be compiled again while they are timed
    network, x = case.network().to(options.device), case.batch().to(options.device)
    expected = reference(case, network, x)
    forward, runs = _forward(network, x), _blocks(network, x)
    engines: dict[str, dict] = {}
    modes = ("eager",) if options.eager else ("eager", "compiled")
    for name, mode in ((name, mode) for name in options.peers for mode in modes):
        if mode == "compiled" and not PEERS[name].compiles:
            continue
        engine = f"{name}, {mode}"
        engines[engine], run = _examine(name, mode, case, network, x, expected)
        if run is not None:
            runs[engine] = run
    rounds = timing.interleaved(forward, runs, options.budget)
    figures = {name: timing.summary(pairs) for name, pairs in rounds.items()}
    blocks = min([1.0, *(figures[name]["ratio"] for name in figures.keys() - engines.keys())])
    for engine in engines.keys() & figures.keys():
        engines[engine] |= figures[engine] | {"ratio_to_blocks": figures[engine]["ratio"] / blocks}
    plain = timing.median(plain for pairs in rounds.values() for _, plain in pairs)
    return {"forward_seconds": plain, "blocks_ratio": blocks, "engines": engines}


def _examine(name: str, mode: str, case: Case, network: nn.Module, x: Tensor, expected: tuple[Tensor, ...]):
    """What the check says, and the run to time if it may be timed."""
    try:
        if case.order > PEERS[name].highest_order:
            raise NotOffered(f"not timed at order {case.order}: what nests takes tens of seconds")
        with timing.time_limit(SLOW):
            run = prepared(PEERS[name], case, network, x, compiled=mode == "compiled")
            first = timing.seconds(run)
            error = relative_error(run(), expected, case.job == "training")
    except NotOffered as reason:
        return {"why": str(reason)}, None
    except Exception as error:  # a peer may fail in any way; the table says how and the run goes on
        return {"why": f"fails: {_one_line(error)}"}, None
    finally:
        torch.set_default_dtype(torch.float32)  # importing neurodiffeq makes it float64
        warnings.simplefilter("ignore")  # some peers switch them on again
        torch.set_default_device(None)  # and importing deepxde makes it the GPU where there is one
    if not error <= TOLERANCE:
        return {"why": f"wrong numbers: relative error {error:.1e}", "error": error}, None
    return {"error": error, "first_call_seconds": first}, run


def _one_line(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return re.sub(r"\S*[/\\]\S+", "…", f"{type(error).__name__}: {first}")[:120]  # no path of this machine


def _forward(network: nn.Module, x: Tensor):
    def run() -> Tensor:
        with torch.no_grad():
            return network(x)

    return run


def _blocks(network: nn.Module, x: Tensor) -> dict:
    def blocked(rows: int):
        def run() -> Tensor:
            with torch.no_grad():
                return torch.cat([network(block) for block in x.split(rows)])

        return run

    return {f"blocks of {rows}": blocked(rows) for rows in BLOCKS if rows < len(x)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peers", nargs="+", required=True)
    parser.add_argument("--cases", nargs="+", required=True)
    parser.add_argument("--budget", type=float, default=1.0)
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
