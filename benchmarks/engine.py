"""The derivative engines: each in a process of its own, in turn, for every environment and device."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from benchmarks import timing
from benchmarks.cases import CASES
from benchmarks.environments import Environment, environments
from benchmarks.peers import PEERS
from benchmarks.table import OURS, document, shortfalls
from benchmarks.turns import Process, interleaved
from benchmarks.worker import BLOCKS

__all__ = ["document", "run", "shortfalls"]


def run(quick: bool) -> dict:
    """Time every case in every environment, on the CPU and, where there is one, on the GPU."""
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    found = environments(quick)
    runs = [_compare(environment, device, quick) for device in devices for environment in found if environment.python]
    missing = dict.fromkeys(PEERS, "its environment is not set up by a quick run")
    for environment in found:
        missing |= environment.failures
        missing = {name: why for name, why in missing.items() if name not in environment.peers}
    return {"quick": quick, "missing": missing, "runs": runs}


def _compare(environment: Environment, device: str, quick: bool) -> dict:
    print(f"{environment.name} on {device}: {', '.join(environment.peers)}", flush=True)
    keys = [key for key, case in CASES.items() if case.quick or not quick]
    assert environment.python is not None
    with ExitStack() as stack:
        engines = _engines(environment.python, environment.peers, device, quick)
        for engine in engines.values():
            stack.enter_context(engine)
        report = {"environment": environment.name, "device": device, "python": engines[BLOCKS].python()}
        return report | {"results": {key: _measure(key, engines, 0.1 if quick else 1.0) for key in keys}}


def _engines(python: Path, peers: list[str], device: str, quick: bool) -> dict[str, Process]:
    """One for each peer and mode; the forward in blocks first."""
    found = {BLOCKS: Process(python, "--engine", BLOCKS, "--device", device)}
    for name in peers:
        for mode in ("eager", "compiled") if PEERS[name].compiles and not quick else ("eager",):
            found[f"{name}, {mode}"] = Process(python, "--engine", name, "--mode", mode, "--device", device)
    return found


def _measure(key: str, engines: dict[str, Process], budget: float) -> dict[str, Any]:
    """Every engine that can do the case, right ones timed, the others with the reason.

    All are divided by the plain forward of one process, ours, in the same round: what is freed in a process, and what
    its allocator keeps, changes the plain forward of large batches there.
    """
    print(f"  {CASES[key].title}", flush=True)
    outcomes = {name: engine.ask(case=key) for name, engine in engines.items()}
    repeats = {name: outcome.pop("repeats") for name, outcome in outcomes.items() if "repeats" in outcome}
    rounds = interleaved({name: engines[name] for name in repeats}, repeats, budget)
    plain = [plain for _, plain in rounds.get(f"{OURS}, eager") or next(iter(rounds.values()))]
    pairs = {name: [(mine, p) for (mine, _), p in zip(found, plain, strict=False)] for name, found in rounds.items()}
    figures = {name: timing.summary(found) for name, found in pairs.items() if found}
    blocks = min(1.0, figures.pop(BLOCKS, {"ratio": 1.0})["ratio"])
    del outcomes[BLOCKS]
    for name in repeats.keys() - figures.keys() - {BLOCKS}:
        outcomes[name]["why"] = "fails: its process ended while it was timed"
    for name, figure in figures.items():
        outcomes[name] |= figure | {"ratio_to_blocks": figure["ratio"] / blocks}
    return {"forward_seconds": timing.median(plain), "blocks_ratio": blocks, "engines": outcomes}
