"""The derivative engines: one process per environment and device, the results side by side."""

import json
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.cases import CASES
from benchmarks.environments import ROOT, Environment, environments
from benchmarks.peers import PEERS
from benchmarks.table import document, shortfalls

__all__ = ["document", "run", "shortfalls"]


def run(quick: bool) -> dict:
    """Time every case in every environment, on the CPU and, where there is one, on the GPU."""
    keys = [key for key, case in CASES.items() if case.quick or not quick]
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    found = environments(quick)
    runs = [_worker(environment, device, keys, quick) for device in devices for environment in found]
    missing = dict.fromkeys(PEERS, "its environment is not set up by a quick run")
    for environment in found:
        missing |= environment.failures
        missing = {name: why for name, why in missing.items() if name not in environment.peers}
    return {"quick": quick, "missing": missing, "runs": [report for report in runs if report]}


def _worker(environment: Environment, device: str, keys: list[str], quick: bool) -> dict | None:
    if environment.python is None:
        return None
    print(f"{environment.name} on {device}: {', '.join(environment.peers)}", flush=True)
    with TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        command = [environment.python, "-m", "benchmarks.worker", "--environment", environment.name]
        command += ["--device", device, "--out", out, "--cases", *keys, "--peers", *environment.peers]
        command += ["--budget", "0.1", "--eager"] if quick else []
        subprocess.run(command, cwd=ROOT, env=_variables(), check=True)
        return json.loads(out.read_text())


def _variables() -> dict[str, str]:
    """One thread; this tree's sobolev, whatever is installed."""
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "DDE_BACKEND": "pytorch"}
