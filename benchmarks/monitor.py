"""What a `DerivativeMonitor` costs: trainings with and without it in turn, and the default job's own account."""

import json
import logging
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger

from benchmarks.machine import sentence
from benchmarks.whole_job import OURS, ROOT, environment
from sobolev import MLP, DerivativeMonitor, FunctionData, Regressor

LIMIT = 0.05
"""The share of an ordinary training's time that is promised."""

ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """A training in batches of 250 rows, validated after every epoch."""

    name: str
    function: str
    domain: tuple[float, float]
    hidden: tuple[int, ...]
    samples: int
    epochs: int


_TEN = "+".join(f"sin({name})" for name in "abcdfghjkl")
CASES = (
    Case("1-64-64-1, 60 epochs of 40 steps", "sin(x)", (-3, 3), (64, 64), 10_000, 60),
    Case("10-256-256-1, 40 epochs of 40 steps", _TEN, (-1, 1), (256, 256), 10_000, 40),
    Case("1-64-64-1, 8 epochs of 400 steps", "sin(x)", (-3, 3), (64, 64), 100_000, 8),
)
DEFAULT_JOB = "the default job (100 epochs of 40 steps, with a readout)"


class _Clock(Callback):
    """From the start of the training to what callbacks do at its end."""

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.start = time.perf_counter()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.seconds = time.perf_counter() - self.start


def run(quick: bool) -> dict:
    """Seconds of every case: `with` and `without` the monitor, and what the `monitor` has counted itself."""
    with _quiet():
        for case in CASES:
            _fit(case, DerivativeMonitor(), epochs=2)
        rows = {case.name: [_one(case) for _ in range(1 if quick else ROUNDS)] for case in CASES}
    rows[DEFAULT_JOB] = [_default_job() for _ in range(1 if quick else ROUNDS)]
    return {"rows": rows}


def document(data: dict) -> str:
    """The table in Markdown: medians of the rounds, shares taken round by round."""
    head = "| training | without the monitor | with it | more | the monitor's own count | points |"
    lines = [head, "|---" * 6 + "|", *(_line(name, rounds) for name, rounds in data["rows"].items())]
    words = "Seconds of `fit` with and without the monitor in turn, medians; shares of the time of everything else.\n\n"
    return words + "\n".join(lines) + f"\n\nMachine: {sentence(data['machine'])}.\n"


def shortfalls(data: dict) -> list[str]:
    """The trainings of which the monitor takes more than it should."""
    shares = {name: median(map(share, rounds)) for name, rounds in data["rows"].items()}
    return [f"{name}: {found:.1%}, promised {LIMIT:.0%}" for name, found in shares.items() if found > LIMIT]


def share(one: dict[str, float]) -> float:
    """What the monitor has counted itself, as a share of the rest of the time."""
    return one["monitor"] / (one["with"] - one["monitor"])


def _line(name: str, rounds: list[dict[str, float]]) -> str:
    without, with_, points = (median(one[key] for one in rounds) for key in ("without", "with", "points"))
    more = median(one["with"] / one["without"] - 1 for one in rounds)
    return f"| {name} | {without:.2f} | {with_:.2f} | {more:.1%} | {median(map(share, rounds)):.1%} | {points:.0f} |"


def _one(case: Case) -> dict[str, float]:
    monitor = DerivativeMonitor()
    seconds = _fit(case, monitor)
    return {"with": seconds, "without": _fit(case), "monitor": monitor.seconds, "points": monitor.points}


def _fit(case: Case, *callbacks: Callback, epochs: int | None = None) -> float:
    seed_everything(0, verbose=False)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            max_epochs=epochs or case.epochs,
            callbacks=[clock, *callbacks],
            logger=TensorBoardLogger(folder, default_hp_metric=False),
            log_every_n_steps=40,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        data = FunctionData(case.function, case.domain, samples=case.samples, batch_size=250)
        inputs = len(data.input_names)
        trainer.fit(Regressor(MLP(inputs=inputs, hidden=case.hidden)), datamodule=data)
    return clock.seconds


def _default_job() -> dict[str, float]:
    """As report.json says: without the monitor there is no report."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--trainer.logger.init_args.save_dir", folder, "--trainer.enable_progress_bar", "false"]
        subprocess.run([*OURS, *options], cwd=ROOT, env=environment(), check=True, capture_output=True)
        report = json.loads(next(Path(folder).rglob("report.json")).read_text(encoding="utf-8"))
    seconds = report["seconds"]
    without = seconds["fit"] - seconds["monitor"]
    return {"with": seconds["fit"], "without": without, "monitor": seconds["monitor"], "points": report["points"]}


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
