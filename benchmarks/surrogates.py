"""Surrogates of published functions beside Gaussian processes.

`python -m benchmarks surrogates` sets up an environment with the peers and measures in it. One seed; one thread.
"""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import torch
from torch import Tensor

import sobolev
from benchmarks.environments import ROOT, laid_over
from benchmarks.machine import sentence
from benchmarks.test_functions import NAMES, Sample, TestFunction, test_function
from sobolev.evidence.search import network, search
from sobolev.networks.surrogate import Surrogate

Mean = Callable[[Tensor], Tensor]
"""What a surrogate predicts, (points, inputs) to (points, 1), as torch operations: sobolev differentiates all alike."""

PACKAGES = ("smt", "scikit-learn", "uqtestfuns")
ROWS, POINTS = 300, 500
NOISES = (0.0, 0.1)
QUICK = ("Franke1", "Ishigami", "OTLCircuit")
ERRORS = ("value", "gradient", "Hessian")
WORSE = 1.5
"""An error so many times that of a peer is no matter of chance."""


def ours(sample: Sample, noise: float) -> Mean:
    """What `EvidenceRegressor` does, without the trainer."""
    x, y = _tensor(sample.x), _tensor(sample.y)[:, None]
    made = sobolev.Standardized(Surrogate()).double().fit(x, y)
    *_, last = search((x - made.input_mean) / made.input_scale, (y - made.output_mean) / made.output_scale)
    made.network = network(last.fits)
    return made


def gaussian_process(sample: Sample, noise: float) -> Mean:
    """scikit-learn's, squared exponential with a length for each input, and white noise."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    low, high = sample.x.min(0), sample.x.max(0)
    kernel = ConstantKernel(1.0, (1e-3, 1e7)) * RBF(np.full(len(low), 0.5), (1e-2, 1e3))
    kernel = kernel + WhiteKernel(1e-6, (1e-13, 1.0))
    fitted = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2, alpha=1e-12, random_state=0)
    fitted.fit((sample.x - low) / (high - low), sample.y)
    found = fitted.kernel_.k1
    length, weights = _tensor(found.k2.length_scale), _tensor(fitted.alpha_)[:, None] * found.k1.constant_value
    centres, mean, spread = _tensor(fitted.X_train_) / length, fitted._y_train_mean, fitted._y_train_std

    def predict(x: Tensor) -> Tensor:
        return _bumps((x - _tensor(low)) / _tensor(high - low) / length, centres, 0.5) @ weights * spread + mean

    return predict


def kriging(sample: Sample, noise: float) -> Mean:
    """SMT's, its defaults."""
    from smt.surrogate_models import KRG

    options = {"eval_noise": True} if noise else {}
    fitted = KRG(print_global=False, theta0=[1e-2] * sample.x.shape[1], **options)
    fitted.set_training_values(sample.x, sample.y)
    fitted.train()
    root = _tensor(fitted.optimal_theta).sqrt()
    beta, gamma = (_tensor(fitted.optimal_par[name]) for name in ("beta", "gamma"))
    centres = _tensor(fitted.X_norma) * root

    def predict(x: Tensor) -> Tensor:
        here = (x - _tensor(fitted.X_offset)) / _tensor(fitted.X_scale) * root
        return (beta.reshape(1, -1) + _bumps(here, centres, 1.0) @ gamma) * fitted.y_std[0] + fitted.y_mean[0]

    return predict


SURROGATES = {"sobolev": ours, "scikit-learn GP": gaussian_process, "SMT KRG": kriging}


def measure(function: TestFunction, fit: Callable[[Sample, float], Mean], rows: int, noise: float) -> dict[str, float]:
    """Relative errors of the centred value, the gradient and the Hessian at random points, and seconds of one core."""
    start = time.process_time()
    mean = fit(function.latin_hypercube(rows, 0, noise), noise)
    seconds = time.process_time() - start
    points = function.random(POINTS, 1000)
    with torch.no_grad():
        y, J, H = (t[:, 0].numpy() for t in sobolev.hessian(mean, _tensor(points.x)))
    errors = {
        "value": y - points.y - (y - points.y).mean(),
        "gradient": J - points.gradient,
        "Hessian": H - points.hessian,
    }
    truths = {"value": points.y - points.y.mean(), "gradient": points.gradient, "Hessian": points.hessian}
    relative = {name: float(np.linalg.norm(errors[name]) / np.linalg.norm(truths[name])) for name in errors}
    return {**relative, "seconds": round(seconds, 1)}


def _tensor(array: object) -> Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float64)


def _bumps(here: Tensor, centres: Tensor, rate: float) -> Tensor:
    squares = (here * here).sum(1, keepdim=True) + (centres * centres).sum(1) - 2 * here @ centres.T
    return torch.exp(-rate * squares)


def rows(quick: bool) -> Iterator[dict]:
    """A row for each function and surrogate; the functions have one to ten inputs."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name, noise in product(QUICK if quick else NAMES, (0.0,) if quick else NOISES):
        for surrogate, fit in SURROGATES.items():
            found = measure(test_function(name), fit, ROWS, noise)
            yield {"function": name, "noise": noise, "surrogate": surrogate, **found}


def run(quick: bool) -> dict:
    """The rows, measured in an environment that has the peers."""
    command = [laid_over("surrogates", PACKAGES), "-m", "benchmarks.surrogates", *["--quick"] * quick]
    found = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("{"):
                found.append(json.loads(line))
                print(*found[-1].values(), flush=True)
    if process.returncode:
        raise SystemExit("the surrogates could not be measured; the reason stands above")
    return {"rows": found}


def document(data: dict) -> str:
    """The results as a table."""
    lines = [
        f"Relative errors of the centred value, the gradient and the Hessian at {POINTS} random points, after {ROWS} "
        "rows of a published function; noise in standard deviations of the values; seconds of one core. One seed.\n",
        "| function | noise | surrogate | value | gradient | Hessian | core seconds |",
        "|---" * 7 + "|",
    ]
    for row in data["rows"]:
        errors = " | ".join(f"{row[name]:.1e}" for name in ERRORS)
        label = f"{row['function']} | {row['noise']:g} | {row['surrogate']}"
        lines.append(f"| {label} | {errors} | {row['seconds']} |")
    return "\n".join(lines) + f"\n\nMachine: {sentence(data['machine'])}.\n"


def shortfalls(data: dict) -> list[str]:
    """Where a peer's derivatives are clearly nearer to the truth."""
    found = []
    own = {(row["function"], row["noise"]): row for row in data["rows"] if row["surrogate"] == "sobolev"}
    for row in data["rows"]:
        ours = own[row["function"], row["noise"]]
        found += [
            f"{row['function']}, noise {row['noise']:g}: {name} {ours[name]:.1e}, of {row['surrogate']} {row[name]:.1e}"
            for name in ERRORS[1:]
            if ours[name] > WORSE * row[name]
        ]
    return found


if __name__ == "__main__":
    for measured in rows(quick="--quick" in sys.argv):
        print(json.dumps(measured), flush=True)
