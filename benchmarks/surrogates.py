"""Surrogates of published functions beside Gaussian processes and radial basis functions.

`python -m benchmarks.surrogates [--rows 300] [--noise 0] [--functions Franke1 ...]`, in an environment that has smt,
scikit-learn, scipy and uqtestfuns besides sobolev. One seed; one thread.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import sobolev
from benchmarks.test_functions import NAMES, Sample, TestFunction, test_function
from sobolev.evidence.search import network, search
from sobolev.networks.surrogate import Surrogate

Mean = Callable[[Tensor], Tensor]
"""What a surrogate predicts, (points, inputs) to (points, 1), as torch operations: sobolev differentiates all alike."""

RESULTS = Path(__file__).parent / "results" / "surrogates.json"


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
    """Relative errors of the centred value, the gradient and the Hessian at 500 points, and seconds of one core."""
    start = time.process_time()
    mean = fit(function.latin_hypercube(rows, 0, noise), noise)
    seconds = time.process_time() - start
    points = function.random(500, 1000)
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


def document(known: dict[str, dict[str, float]]) -> str:
    """The results as a table; how they were made stands above it."""
    lines = ["# Surrogates beside each other", "", *(__doc__ or "").strip().splitlines(), ""]
    lines += ["Relative errors of the centred value, the gradient and the Hessian at 500 random points.", ""]
    lines += [
        "| function, rows, noise, surrogate | value | gradient | Hessian | core seconds |",
        "|---|---|---|---|---|",
    ]
    for key, found in known.items():
        numbers = " | ".join(f"{found[name]:.1e}" for name in ("value", "gradient", "Hessian"))
        lines.append(f"| {key} | {numbers} | {found['seconds']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is asked for, add it to the results, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--functions", nargs="*", default=list(NAMES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in options.functions:
        for surrogate, fit in SURROGATES.items():
            key = f"{name}, {options.rows} rows, noise {options.noise:g}, {surrogate}"
            if key in known and surrogate != "sobolev":
                continue
            known[key] = measure(test_function(name), fit, options.rows, options.noise)
            print(key, known[key], flush=True)
            RESULTS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            RESULTS.with_suffix(".md").write_text(document(known), encoding="utf-8")


if __name__ == "__main__":
    main()
