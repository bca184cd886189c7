"""One engine in a process of its own: prepares cases and times rounds as it is told, by lines of JSON.

So each library is measured as its users meet it: not among the others' compiled code, patches and freed memory.
"""

import argparse
import json
import logging
import os
import platform
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import timing
from benchmarks.cases import CASES, Case
from benchmarks.check import TOLERANCE, reference, relative_error
from benchmarks.jobs import Run, prepared
from benchmarks.peers import PEERS, NotOffered

BLOCKS = "the forward in blocks"
"""What stands for an engine where the plain forward is to be done in blocks of rows."""

ROWS = (250, 500, 1000, 2000, 4000)
"""Of a block; the quickest counts."""

SLOW = 120.0
"""Seconds that importing, compiling, checking and a first call may take together."""


class Engine:
    """What is timed, and the plain forward beside it.

    Args:
        name: of a peer, or `BLOCKS`.
        mode: eager or compiled.
        device: cpu or cuda.
    """

    def __init__(self, name: str, mode: str, device: str) -> None:
        self.name, self.mode, self.device = name, mode, device

    def prepare(self, case: Case) -> dict[str, Any]:
        """Whether the case can be timed, or why not; and how often a call is repeated in a round."""
        torch.compiler.reset()
        network, x = case.network().to(self.device), case.batch().to(self.device)
        self.forward = _forward(network, x)
        if self.name == BLOCKS:
            outcome, run = {}, _blocks(network, x)
        else:
            outcome, run = self._examine(case, network, x)
        if run is not None:
            self.run = run
            self.repeats = timing.repeats(self.forward), timing.repeats(run)
            outcome["repeats"] = self.repeats[1]
        return outcome

    def round(self) -> dict[str, float]:
        """Seconds of the plain forward and, right after it, of the engine."""
        plain = timing.seconds(self.forward, self.repeats[0])
        return {"plain": plain, "mine": timing.seconds(self.run, self.repeats[1])}

    def _examine(self, case: Case, network: nn.Module, x: Tensor) -> tuple[dict[str, Any], Run | None]:
        """What the check says, and the run to time if it may be timed."""
        peer = PEERS[self.name]
        try:
            if case.order > peer.highest_order:
                raise NotOffered(f"not timed at order {case.order}: what nests takes tens of seconds")
            with timing.time_limit(SLOW):
                run = prepared(peer, case, network, x, compiled=self.mode == "compiled")
                first = timing.seconds(run)
                error = relative_error(run(), reference(case, network, x), case.job == "training")
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


def main() -> None:
    """Answer each line on standard input by one on standard output; a first line says that all is ready."""
    options = _options()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print as they please
    warnings.simplefilter("ignore")
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    engine = Engine(options.engine, options.mode, options.device)
    print(json.dumps({"python": platform.python_version()}), file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        answer = engine.prepare(CASES[question["case"]]) if "case" in question else engine.round()
        print(json.dumps(answer), file=answers, flush=True)


def _one_line(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return re.sub(r"\S*[/\\]\S+", "…", f"{type(error).__name__}: {first}")[:120]  # no path of this machine


def _forward(network: nn.Module, x: Tensor) -> Callable[[], object]:
    def run() -> Tensor:
        with torch.no_grad():
            return network(x)

    return run


def _blocks(network: nn.Module, x: Tensor) -> Callable[[], object] | None:
    """The plain forward in blocks of the quickest size; none where there are too few rows."""

    def blocked(rows: int) -> Callable[[], object]:
        def run() -> Tensor:
            with torch.no_grad():
                return torch.cat([network(block) for block in x.split(rows)])

        return run

    runs = [blocked(rows) for rows in ROWS if rows < len(x)]
    return min(runs, key=lambda run: timing.seconds(run, timing.repeats(run)), default=None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--mode", choices=("eager", "compiled"), default="eager")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
