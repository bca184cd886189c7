"""Estimated beside actual errors of derivatives, where the network knows nothing but values.

What `sobolev fit` takes for a table (`evidence`), and networks trained by Adam as `configs/table.yaml` does, learn rows
of published test functions; a tenth of the rows is held out and a tenth is left alone. Estimates are compared with the
truth at random points inside. `python -m benchmarks calibration` sets up an environment with the functions and measures
in it as much as its time allows of all cases, in an order drawn before.
"""

import json
import logging
import random
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product, takewhile
from time import monotonic
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything

from benchmarks.environments import ROOT, laid_over
from benchmarks.machine import sentence
from benchmarks.test_functions import NAMES, Array, Sample, TestFunction, test_function
from sobolev import MLP, DerivativeEstimate, EvidenceRegressor, Regressor
from sobolev.cli.profiler import NoProfiler
from sobolev.data.loader import BatchLoader, EpochBatches
from sobolev.estimates.verdict import USELESS
from sobolev.readout import solve_readout

PACKAGES = ("scikit-learn", "uqtestfuns")
POINTS, EPOCHS, BATCH = 200, 200, 100
SEEDS, NOISES = (1, 2, 3), (0.0, 0.02, 0.1)
MINUTES = 6
"""After so many no case is begun any more."""
MANY_EVERY = 10
"""One case in so many has 3,000 rows; of the others each is as likely as the next."""
EVIDENCE = "evidence"
HIDDEN = {"default": (64, 64), "wide": (64, 512)}
BAND = 1.645
"""Standard deviations of a normal distribution that nine of ten cases lie within."""
GAUSSIAN_ROWS, GAUSSIAN_POINTS = 500, 20
PROMISES = {"within 2": 0.8, "within 4": 0.97, "flagged": 0.9, "false alarms": 0.03}


Part = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Case:
    """What is learnt, from how much, by which network."""

    function: str
    rows: int
    noise: float
    network: str
    seed: int


def cases(quick: bool) -> list[Case]:
    """All of few rows in random order, and after every ninth one of many rows, the wide network left out there."""
    if quick:
        return [Case(name, 100, noise, EVIDENCE, 1) for name, noise in product(NAMES[::4], (0.0, 0.1))]
    few = [Case(*case) for case in product(NAMES, (100, 300), NOISES, (EVIDENCE, *HIDDEN), SEEDS)]
    many = [Case(*case) for case in product(NAMES, (3000,), NOISES, (EVIDENCE, "default"), SEEDS)]
    for part in (few, many):
        random.Random(0).shuffle(part)
    for place, case in enumerate(many[: len(few) // (MANY_EVERY - 1)], start=1):
        few.insert(MANY_EVERY * place - 1, case)
    return few


def run(quick: bool) -> dict:
    """A row for each case, with numbers for each order, measured in an environment that has the functions."""
    command = [laid_over("calibration", PACKAGES), "-m", "benchmarks.calibration", *["--quick"] * quick]
    found = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("{"):
                found.append(json.loads(line))
                print(line, end="", flush=True)  # so that a run that is killed leaves what it found
    if process.returncode:
        raise SystemExit("the estimates could not be measured; the reason stands above")
    return {"rows": found}


def rows(chosen: Iterable[Case]) -> Iterator[dict]:
    """Train, estimate, compare, until the time is over."""
    end = monotonic() + 60 * MINUTES
    for case in takewhile(lambda _: monotonic() < end, chosen):
        function = test_function(case.function)
        learnt = function.latin_hypercube(case.rows, case.seed, case.noise)
        inside = function.random(POINTS, 1000 + case.seed)
        tenth = max(5, case.rows // 10)
        held_out, training = _tensors(learnt, slice(tenth)), _tensors(learnt, slice(2 * tenth, None))
        module = _trained(case, training, held_out)
        estimate = DerivativeEstimate.fit(module, training, held_out)
        row = {**vars(case), "inputs": function.inputs, "orders": _compared(estimate, module, function, inside)}
        row["noise_found"] = float(estimate.noise[0] / estimate.spread[0])
        if case.network == "default" and case.rows <= GAUSSIAN_ROWS:
            row["gaussian process"] = _gaussian_process(training, function)
        yield row


def document(data: dict) -> str:
    """Shares over all cases, and of each size and noise."""
    rows = data["rows"]
    text = [
        f"{len(rows)} networks, {len({r['function'] for r in rows})} functions: the first of all cases in random order "
        f"that {MINUTES} minutes allowed, every tenth of 3,000 rows. Estimated / actual RMSE at {POINTS} "
        "random points inside; coverage of bands of ± 1.645 standard deviations; useless: the verdict where the actual "
        "error is above half of the derivative's size, false alarms: the same verdict where it is below a tenth; "
        "outside: how often the mean band a third of the domain beyond its end is wider than inside.\n",
        "| cases | order | within 1/2..2 | within 1/4..4 | median | coverage | useless | false alarms | outside |",
        "|---" * 9 + "|",
    ]
    for label, chosen in _groups(rows):
        for k in range(3):
            text.append(f"| {label} | {k} | {' | '.join(_cells(_shares(chosen, k)))} |")
    text += ["", "scikit-learn's Gaussian process, of its own gradient and Hessian diagonal, on the same rows:\n"]
    text += ["| cases | order | within 1/2..2 | within 1/4..4 | coverage |", "|---" * 5 + "|"]
    for label, chosen in (("no noise", False), ("noise", True)):
        found = [r["gaussian process"] for r in rows if "gaussian process" in r and (r["noise"] > 0) == chosen]
        for k in range(3) if found else ():
            ratios = np.array([f[k]["ratio"] for f in found])
            cover = np.mean([f[k]["coverage"] for f in found])
            text.append(f"| {label} | {k} | {_within(ratios, 2):.0%} | {_within(ratios, 4):.0%} | {cover:.0%} |")
    return "\n".join(text) + f"\n\nMachine: {sentence(data['machine'])}.\n"


def shortfalls(data: dict) -> list[str]:
    """The promises that were not kept."""
    found = []
    for k in range(3):
        shares = _shares(data["rows"], k)
        for name, promise in PROMISES.items():
            value = shares[name]
            if value is not None and (value > promise if name == "false alarms" else value < promise):
                found.append(f"order {k}: {name} {value:.0%}, promised {promise:.0%}")
        for noisy in (False, True):
            chosen = [r for r in data["rows"] if (r["noise"] > 0) == noisy]
            if chosen and not 0.8 <= (value := _shares(chosen, k)["coverage"]) <= 0.97:
                found.append(f"order {k}, {'noise' if noisy else 'no noise'}: coverage {value:.0%}")
    return found


def _tensors(sample: Sample, part: slice) -> Part:
    return torch.from_numpy(sample.x[part]), torch.from_numpy(sample.y[part, None])


def _trained(case: Case, training: Part, held_out: Part) -> LightningModule:
    """By the evidence; or by Adam, and the last layer by least squares."""
    seed_everything(case.seed, verbose=False)
    if case.network == EVIDENCE:
        module = EvidenceRegressor()
        _fit(module, training, case.seed)
        return module
    module = Regressor(MLP(training[0].shape[1], 1, HIDDEN[case.network]))
    _fit(module, tuple(part.float() for part in training), case.seed)
    solve_readout(module.double(), lambda: [training], lambda: [held_out])
    return module


def _fit(module: LightningModule, training: Part, seed: int) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    batches = EpochBatches(len(training[0]), BATCH, True, seed, 0, 1)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=EPOCHS, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder, profiler=NoProfiler(),
        )  # fmt: skip
        trainer.fit(module, BatchLoader(list(training), batches, 0))


def _compared(
    estimate: DerivativeEstimate, module: LightningModule, function: TestFunction, inside: Sample
) -> list[dict]:
    """For each order: ratio, coverage, relative errors, and whether bands grow outside."""
    x = torch.from_numpy(inside.x)
    expected, found = estimate.errors(module, x), estimate.at(module, x)
    beyond = estimate.at(module, torch.from_numpy(_outside(function, inside.x)))
    truth = (inside.y[:, None], inside.gradient, inside.hessian.reshape(len(x), -1))
    orders = []
    for k, exact in enumerate(truth):
        error = found.derivatives[k].reshape(exact.shape).numpy() - exact
        bars = found.deviations[k].reshape(exact.shape).numpy()
        actual, size = _rms(error), _rms(exact)
        orders.append(
            {
                "ratio": expected[k].rmse / max(actual, 1e-300),
                "coverage": float((np.abs(error) <= BAND * bars).mean()),
                "actual": actual / max(size, 1e-300),
                "estimated": expected[k].relative,
                "outside": bool(beyond.deviations[k].mean() > found.deviations[k].mean()),
            }
        )
    return orders


def _outside(function: TestFunction, inside: Array) -> Array:
    """Points moved along one input to a third of the domain beyond its end."""
    moved, axes = inside[:50].copy(), np.arange(50) % function.inputs
    moved[np.arange(len(moved)), axes[: len(moved)]] = (function.high + (function.high - function.low) / 3)[axes]
    return moved


def _gaussian_process(training: Part, function: TestFunction) -> list[dict]:
    """How its posterior of value, gradient and Hessian diagonal fits the truth, by differences of it."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    x, y = (part.numpy() for part in training)
    mean, scale = x.mean(0), x.std(0)
    kernel = ConstantKernel() * RBF(np.ones(x.shape[1]), (1e-2, 1e3)) + WhiteKernel(1e-3, (1e-12, 10))
    process = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.fit((x - mean) / scale, y[:, 0])
    noise = np.exp(process.kernel_.theta[-1]) * np.var(y)
    lengths = np.exp(process.kernel_.theta[1:-1])
    inside = function.random(GAUSSIAN_POINTS, 77)
    found: list[list[tuple[float, float]]] = [[], [], []]
    for point, value, slope, bend in zip(inside.x, inside.y, inside.gradient, inside.hessian, strict=True):
        for axis, h in enumerate(0.05 * lengths):
            step = h * np.eye(len(lengths))[axis]
            stencil = (point - mean) / scale + np.array([-1, 0, 1])[:, None] * step
            values, covariance = process.predict(stencil, return_cov=True)
            covariance = covariance - noise * np.eye(3)
            unit = h * scale[axis]
            weights = np.array([[0, 1, 0], [-0.5, 0, 0.5], [1, -2, 1]]) / unit ** np.arange(3)[:, None]
            exact = value, slope[axis], bend[axis, axis]
            for k, w in enumerate(weights):
                found[k].append((w @ values - exact[k], np.sqrt(max(w @ covariance @ w, 0.0))))
    return [_fits(np.array(pairs)) for pairs in found]


def _fits(pairs: Array) -> dict:
    error, bars = pairs.T
    return {"ratio": _rms(bars) / max(_rms(error), 1e-300), "coverage": float((np.abs(error) <= BAND * bars).mean())}


def _groups(rows: list[dict]) -> Iterator[tuple[str, list[dict]]]:
    yield "all", rows
    for noisy, label in ((False, "no noise"), (True, "noise")):
        yield label, [r for r in rows if (r["noise"] > 0) == noisy]
    for size in sorted({r["rows"] for r in rows}):
        yield f"{size} rows", [r for r in rows if r["rows"] == size]
    for network in (EVIDENCE, *HIDDEN):
        if chosen := [r for r in rows if r["network"] == network]:
            yield f"{network} network", chosen


def _shares(rows: list[dict], order: int) -> dict[str, Any]:
    found = [r["orders"][order] for r in rows]
    ratios = np.array([f["ratio"] for f in found])
    useless = [f["estimated"] >= USELESS for f in found if f["actual"] > 0.5]
    false = [f["estimated"] >= USELESS for f in found if f["actual"] < 0.1]
    return {
        "within 2": _within(ratios, 2),
        "within 4": _within(ratios, 4),
        "median": float(np.median(ratios)) if len(ratios) else None,
        "coverage": float(np.mean([f["coverage"] for f in found])) if found else None,
        "flagged": float(np.mean(useless)) if useless else None,
        "false alarms": float(np.mean(false)) if false else None,
        "outside": float(np.mean([f["outside"] for f in found])) if found else None,
    }


def _cells(shares: dict[str, Any]) -> list[str]:
    return ["–" if v is None else f"{v:.2f}" if name == "median" else f"{v:.0%}" for name, v in shares.items()]


def _within(ratios: Array, factor: float) -> float:
    return float(np.mean((ratios >= 1 / factor) & (ratios <= factor))) if len(ratios) else 0.0


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    torch.set_num_threads(1)
    networks = [argument for argument in sys.argv[1:] if not argument.startswith("--")] or [EVIDENCE, *HIDDEN]
    for measured in rows(case for case in cases("--quick" in sys.argv) if case.network in networks):
        print(json.dumps(measured), flush=True)
