"""What the least-squares readout is worth: functions, noise, sample sizes; errors of f, f', f'' before and after it."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor

from benchmarks.machine import sentence
from sobolev import MLP, FunctionData, Regressor
from sobolev.autodiff.operators import derivative_tensors
from sobolev.cli.profiler import NoProfiler
from sobolev.readout import Readout, solve_readout

SEEDS = (1, 2, 3)
STEPS = 4000
"""Of the optimiser in each training, as in configs/square.yaml."""

BLACK_SCHOLES = "S*Phi((log(S/100)+0.05)/0.2) - 100*exp(-0.03)*Phi((log(S/100)+0.01)/0.2)"
"""A call: strike 100, one year, interest 3 %, volatility 20 %."""


@dataclass(frozen=True)
class Job:
    """A function to learn, and the promise for clean data: relative L2 of f, f', f'' (gradient, Hessian)."""

    name: str
    function: str
    domain: Any
    promise: tuple[float, float, float]
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "silu"


JOBS = (
    Job("x²", "x**2", (-50, 50), (1e-11, 1e-10, 1e-9)),
    Job("sin(2πx)", "sin(2*pi*x)", (0, 1), (1e-10, 1e-9, 1e-7)),
    Job("exp(x)", "exp(x)", (-2, 2), (1e-10, 1e-9, 1e-7)),
    Job("1/(1+25x²)", "1/(1+25*x**2)", (-1, 1), (1e-6, 3e-5, 1e-3)),
    Job("Black-Scholes call", BLACK_SCHOLES, (50, 150), (1e-9, 1e-7, 1e-5)),
    Job("sin(x)cos(y)", "sin(x)*cos(y)", (-3, 3), (1e-5, 1e-4, 1e-3), (256, 256)),
    Job("Rosenbrock", "(1-x)**2 + 100*(y-x**2)**2", {"x": (-2, 2), "y": (-1, 3)}, (1e-5, 1e-4, 1e-3), (256, 256)),
)
NOISY = Job("x²", "x**2", (-50, 50), (2e-3, 1.5e-2, 0.1))


def run(quick: bool) -> dict:
    """All cases: errors before and after, of each seed, and what the readout said."""
    rows = []
    for job, samples, noise in _cases(quick):
        runs = [_one(job, samples, noise, seed) for seed in (SEEDS[:1] if quick else SEEDS)]
        rows.append({"function": job.name, "samples": samples, "noise": noise, "hidden": job.hidden, "runs": runs})
        print(_row(rows[-1]), flush=True)
    return {"rows": rows}


def document(data: dict) -> str:
    """The table in Markdown: the worst of the seeds."""
    head = "| function | samples | noise | before: f, f', f'' | after | cast to float32 | kept |\n" + "|---" * 7 + "|\n"
    words = "Relative L2 errors on a dense grid, worst of the seeds; noise in parts of the range of the values.\n\n"
    rows = "\n".join(map(_row, data["rows"]))
    return f"{words}{head}{rows}\n\nMachine: {sentence(data['machine'])}.\n"


def shortfalls(data: dict) -> list[str]:
    """The promises that were not kept."""
    found = []
    for row in data["rows"]:
        for job in (*JOBS, NOISY):
            if (job.name, 10000, 0.01 if job is NOISY else 0) == (row["function"], row["samples"], row["noise"]):
                after = _worst(row, "after")
                if any(error > limit for error, limit in zip(after, job.promise, strict=True)):
                    found.append(f"{job.name}: {_numbers(after)}, promised {_numbers(list(job.promise))}")
    return found


def _cases(quick: bool) -> Iterator[tuple[Job, int, float]]:
    """Clean data and noise, many samples and few."""
    if quick:
        yield from ((job, 10000, 0.0) for job in JOBS[:2])
        yield JOBS[0], 10000, 0.01
        return
    for job in JOBS:
        wide = max(job.hidden) > 64
        cases = product((10000,), (0.0, 0.01)) if wide else product((10000, 300), (0.0, 0.01, 0.1))
        yield from ((job, samples, noise) for samples, noise in cases)


def _one(job: Job, samples: int, noise: float, seed: int) -> dict:
    """Train on values with Adam, then solve the readout."""
    seed_everything(seed, verbose=False)
    data = FunctionData(
        job.function, job.domain, samples=samples, noise=noise, seed=seed, validation_samples=max(samples // 5, 20)
    )
    data.setup()
    inputs, outputs = len(data.input_names), len(data.output_names)
    module = Regressor(MLP(inputs, outputs, job.hidden, job.activation))
    _fit(module, data)
    before = _errors(module, data, torch.float64)
    readout = solve_readout(
        module.double(),
        lambda: [(data.training.inputs, data.training.targets)],
        lambda: [(data.validation.inputs, data.validation.targets)],
    )
    after = _errors(module, data, torch.float64)
    return {
        "before": before,
        "after": after,
        "float32": _errors(module, data, torch.float32),
        "readout": _said(readout),
    }


def _said(readout: Readout) -> dict:
    return {"changed": readout.changed, "strength": readout.strength, "degrees": readout.degrees_of_freedom}


def _fit(module: Regressor, data: FunctionData) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=-1, max_steps=STEPS, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0, default_root_dir=folder,
            profiler=NoProfiler(),
        )  # fmt: skip
        trainer.fit(module, datamodule=data)


def _errors(module: Regressor, data: FunctionData, dtype: torch.dtype) -> list[float]:
    """Relative L2 of value, first and second derivatives on a dense grid."""
    axes = [torch.linspace(low, high, 2001 if len(data.domain) == 1 else 101) for low, high in data.domain.values()]
    points = torch.cartesian_prod(*axes).reshape(-1, len(axes)).to(dtype)
    with torch.no_grad():
        found = derivative_tensors(module.to(dtype), points, 2)
        exact = data.reference.tensors(points.double(), 2)
    return [_relative(a.double(), b) for a, b in zip(found, exact, strict=True)]


def _relative(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def _worst(row: dict, what: str) -> list[float]:
    return [max(errors) for errors in zip(*(run[what] for run in row["runs"]), strict=True)]


def _numbers(errors: list[float]) -> str:
    return " / ".join(f"{error:.1e}" for error in errors)


def _row(row: dict) -> str:
    errors = " | ".join(_numbers(_worst(row, what)) for what in ("before", "after", "float32"))
    kept = sum(not run["readout"]["changed"] for run in row["runs"])
    return f"| {row['function']} | {row['samples']} | {row['noise']:g} | {errors} | {kept} of {len(row['runs'])} |"
