"""Surrogates of published functions beside Gaussian processes, splines, polynomial chaos.

`python -m benchmarks surrogates` sets up an environment with the peers and measures in it, for hours; what was measured
is kept in `.venv-bench/surrogates.jsonl`, so that a run can be broken off and goes on; parts can be measured first
by `benchmarks.surrogates` in that environment, see `main`. Ctrl-C writes the tables of all that is kept there, of our
own numbers those of the present source. One thread.
"""

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import resource
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import torch

from benchmarks.environments import HOME, ROOT, laid_over
from benchmarks.machine import sentence
from benchmarks.surrogate_fits import METHODS, OURS, Predictor, Problem, suitable
from benchmarks.test_functions import NAMES, Sample, test_function

PACKAGES = ("smt", "scikit-learn", "scipy", "openturns", "jenn", "uqtestfuns")
MODULES = ("smt.surrogate_models", "sklearn.gaussian_process", "scipy.interpolate", "openturns", "jenn")
CACHE = HOME / "surrogates.jsonl"
KEY = ("function", "rows", "noise", "seed", "surrogate", "state")
POINTS = 500
SEEDS = (0,)
SETTINGS = (*product((100, 300, 3000), (0.0, 0.02, 0.1)), (10_000, 0.0))
"""Rows, and noise in standard deviations of the values."""
GRADIENT_ROWS = 100
"""With labels of gradients; without noise."""
QUICK = ("Franke1", "Ishigami", "OTLCircuit")
ERRORS = ("value", "gradient", "Hessian")
LIMIT = 600.0
"""Seconds that a method may take on a core to itself."""
PATIENCE = 3600.0
"""Seconds on a machine where others work, too."""
FLOOR = 1e-9
"""Errors below this one are no better than it: float64 leaves as much of a Hessian."""
NEARER = 1.05
"""From this ratio on a peer is said to be the better one."""
WORSE = 1.5
"""An error so many times that of a peer is no matter of chance."""


def relative_errors(predict: Predictor, points: Sample) -> dict[str, float]:
    """Of the centred value, the gradient and the Hessian, over all entries."""
    y, J, H = predict(points.x)
    errors = {
        "value": y - points.y - (y - points.y).mean(),
        "gradient": J - points.gradient,
        "Hessian": H - points.hessian,
    }
    truths = {"value": points.y - points.y.mean(), "gradient": points.gradient, "Hessian": points.hessian}
    return {name: float(np.linalg.norm(errors[name]) / np.linalg.norm(truths[name])) for name in errors}


def measured(name: str, rows: int, noise: float, seed: int, surrogate: str, limit: float = LIMIT) -> dict:
    """Errors at random points, seconds of one core, megabytes beyond those at the start; in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=_measure, args=(sender, name, rows, noise, seed, surrogate, limit)
    )
    process.start()
    sender.close()
    try:
        found = receiver.recv() if receiver.poll(PATIENCE) else {"failed": "never came back"}
    except EOFError:  # the system ended it, for its limit or for want of memory
        found = {"failed": f"over {limit:g} s, or too large"}
    process.kill()
    process.join()
    return found


def _measure(sender: object, name: str, rows: int, noise: float, seed: int, surrogate: str, limit: float) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit)))
    function = test_function(name)
    problem = Problem(function.latin_hypercube(rows, seed, noise), function.low, function.high, noise)
    points, before, start = function.random(POINTS, 1000 + seed), _megabytes(), time.process_time()
    try:
        predict = METHODS[surrogate].fit(problem)
        spent = {"seconds": round(time.process_time() - start, 1), "megabytes": round(_megabytes() - before)}
        found = relative_errors(predict, points) | spent
    except Exception as error:  # a peer may fail in any way; the table says that it did
        found = {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"}
    sender.send(found)  # pyright: ignore[reportAttributeAccessIssue]
    os._exit(0)


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def plan(names: Sequence[str], settings: Sequence[tuple[int, float]], seeds: Sequence[int]) -> Iterator[dict]:
    """What is to be measured: the small problems first."""
    for seed, (rows, noise), name in product(seeds, settings, names):
        inputs = test_function(name).inputs
        gradients = (False, True) if rows == GRADIENT_ROWS and not noise else (False,)
        for surrogate in (one for labels in gradients for one in suitable(labels, inputs, rows)):
            state = _state() if OURS in surrogate else ""
            values = name, rows, noise, seed, surrogate, state
            yield dict(zip(KEY, values, strict=True))


def _state() -> str:
    """Changes with the source that our own numbers come from."""
    folder = ROOT / "src" / "sobolev"
    files = [*sorted((folder / "surrogates").glob("*.py")), *sorted((folder / "networks").glob("*_features.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]


def _known() -> dict[tuple, dict]:
    lines = CACHE.read_text(encoding="utf-8").splitlines() if CACHE.exists() else ()
    return {tuple(row[name] for name in KEY): row for row in map(json.loads, lines)}


def _measure_all(planned: Sequence[dict], limit: float) -> None:
    """Print a row for each, measured now or before."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for module in (*MODULES, "lightning.pytorch"):  # once, and not on anybody's time
        importlib.import_module(module)
    known = _known()
    for task in planned:
        key = tuple(task[name] for name in KEY)
        if key not in known:
            known[key] = task | measured(*key[:5], limit)
            with CACHE.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known[key]) + "\n")
        print(json.dumps(known[key]), flush=True)


def run(quick: bool) -> dict:
    """The rows, measured in an environment that has the peers."""
    command = [laid_over("surrogates", PACKAGES), "-m", "benchmarks.surrogates", *["--quick"] * quick]
    found = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout or ():
                found.append(json.loads(line))
                print(*found[-1].values(), flush=True)
        except KeyboardInterrupt:
            return {"rows": [row for row in _known().values() if row["state"] in ("", _state())]}
    if process.returncode:
        raise SystemExit("the surrogates could not be measured; the reason stands above")
    return {"rows": found}


def document(data: dict) -> str:
    """The ratios of each setting, who is better where, and all errors."""
    settings = _settings(data)
    parts = [
        f"Relative errors of the centred value, the gradient and the Hessian at {POINTS} random points, after n rows "
        "of published functions of one to ten inputs; noise in standard deviations of the values. Seeds of the rows: "
        f"{', '.join(map(str, sorted({row['seed'] for row in data['rows']})))}.",
        f"Our error as a part of the best peer's, errors below {FLOOR:g} counted as that: geometric mean over the "
        "functions, and the worst function.",
        _summary(settings),
        "Where a peer is more accurate by over 5 %, in any of the three:",
        "\n".join(line for setting, rows in settings.items() for line in _behind(setting, rows)) or "nowhere.",
        *(_errors_table(setting, rows) for setting, rows in settings.items()),
        f"Machine: {sentence(data['machine'])}.",
    ]
    return "\n\n".join(parts) + "\n"


Setting = tuple[int, float, bool]
"""Rows, noise, whether gradients are learnt."""


def _settings(data: dict) -> dict[Setting, list[dict]]:
    """The rows of each setting."""
    found: dict[Setting, list[dict]] = {}
    for row in data["rows"]:
        setting = row["rows"], row["noise"], METHODS[row["surrogate"]].gradients
        found.setdefault(setting, []).append(row)
    return dict(sorted(found.items(), key=lambda item: (item[0][2], *item[0][:2])))


def ratios(rows: Sequence[dict]) -> dict[str, dict[str, tuple[float, str]]]:
    """{error: {function: (ours / the best peer's, that peer)}}, the geometric mean of the seeds."""
    found: dict[str, dict[str, tuple[float, str]]] = {kind: {} for kind in ERRORS}
    for kind, name in product(ERRORS, dict.fromkeys(row["function"] for row in rows)):
        means = {
            surrogate: float(np.exp(np.mean([np.log(max(row[kind], FLOOR)) for row in own])))
            for surrogate in dict.fromkeys(row["surrogate"] for row in rows)
            if (own := [r for r in rows if (r["function"], r["surrogate"]) == (name, surrogate) and kind in r])
        }
        mine = next((means.pop(surrogate) for surrogate in list(means) if OURS in surrogate), None)
        if mine is not None and means:
            best = min(means, key=lambda surrogate: means[surrogate])
            found[kind][name] = mine / means[best], best
    return found


def _summary(settings: dict[Setting, list[dict]]) -> str:
    head = ["n", "noise", "labels", "functions", *(f"{kind}: mean, worst" for kind in ERRORS), "our seconds, most"]
    lines = [head, ["---"] * len(head)]
    for (size, noise, gradients), rows in settings.items():
        found = ratios(rows)
        seconds = [row["seconds"] for row in rows if OURS in row["surrogate"] and "seconds" in row]
        spent = f"{np.mean(seconds):.1f}, {max(seconds):.1f}" if seconds else "–"
        labels = "gradients" if gradients else "values"
        cells = [_mean_and_worst(found[kind]) for kind in ERRORS]
        lines.append([str(size), f"{noise:g}", labels, str(len(found["value"])), *cells, spent])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _mean_and_worst(found: dict[str, tuple[float, str]]) -> str:
    if not found:
        return "–"
    mean = np.exp(np.mean([np.log(ratio) for ratio, _ in found.values()]))
    worst = max(found, key=lambda name: found[name][0])
    return f"**{mean:.2g}**, {found[worst][0]:.2g} ({worst})"


def _behind(setting: Setting, rows: Sequence[dict]) -> Iterator[str]:
    """One line for each function on which a peer is better."""
    found = ratios(rows)
    for name in found["value"]:
        worse = [f"{kind} {found[kind][name][0]:.2g} ({found[kind][name][1]})" for kind in ERRORS]
        worse = [words for words, kind in zip(worse, ERRORS, strict=True) if found[kind][name][0] > NEARER]
        if worse:
            yield f"* {_words(setting)}, {name}: {', '.join(worse)}"


def _words(setting: Setting) -> str:
    rows, noise, gradients = setting
    return f"n = {rows}, " + (f"noise {noise:g}" if noise else "no noise") + ", gradients" * gradients


def _errors_table(setting: Setting, rows: Sequence[dict]) -> str:
    """A line for each function: the errors of all, the first seed's."""
    names = [name for name in METHODS if any(row["surrogate"] == name for row in rows)]
    lines = [f"{_words(setting)[0].upper()}{_words(setting)[1:]}; value / gradient / Hessian (seconds of one core):\n"]
    lines += ["| function | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for function in dict.fromkeys(row["function"] for row in rows):
        own = [row for row in rows if row["function"] == function]
        cells = [_cell([row for row in own if row["surrogate"] == name]) for name in names]
        lines.append(f"| {function} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(rows: Sequence[dict]) -> str:
    if not rows:
        return "–"
    row = min(rows, key=lambda row: row["seed"])
    if "failed" in row:
        return row["failed"].split(":")[0]
    return " / ".join(f"{row[kind]:.1e}" for kind in ERRORS) + f" ({row['seconds']:g})"


def shortfalls(data: dict) -> list[str]:
    """Where a peer's derivatives are clearly nearer to the truth."""
    return [
        f"{_words(setting)}, {name}: {kind} {ratio:.1f} times that of {peer}"
        for setting, rows in _settings(data).items()
        for kind, found in ratios(rows).items()
        for name, (ratio, peer) in found.items()
        if kind != "value" and ratio > WORSE
    ]


def main() -> None:
    """Measure what is asked for; a line of JSON for each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--functions", nargs="*", default=NAMES)
    parser.add_argument("--rows", nargs="*", type=int)
    parser.add_argument("--noise", nargs="*", type=float)
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS)
    parser.add_argument("--surrogates", nargs="*", default=tuple(METHODS))
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds that a method may take")
    options = parser.parse_args()
    settings = [(300, 0.0)] if options.quick else SETTINGS
    settings = [
        (rows, noise)
        for rows, noise in settings
        if rows in (options.rows or [rows]) and noise in (options.noise or [noise])
    ]
    planned = plan(QUICK if options.quick else options.functions, settings, options.seeds)
    _measure_all([task for task in planned if task["surrogate"] in options.surrogates], options.limit)


if __name__ == "__main__":
    main()
