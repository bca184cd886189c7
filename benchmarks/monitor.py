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

import numpy as np
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.machine import sentence
from benchmarks.whole_job import OURS, ROOT, environment
from sobolev import MLP, DerivativeMonitor, FunctionData, Regressor

LIMIT = 0.05
"""Of the time of everything else: what the monitor is to take in all, what is paid once included."""

ROUNDS = 4


@dataclass(frozen=True)
class Case:
    """A training, validated after every epoch.

    Attributes:
        name: in the table.
        function: that is learnt.
        domain: of each input.
        hidden: widths of the layers.
        samples: rows of the training.
        epochs: of the training.
        batch: rows of a step.
        truth: whether the monitor is told the function; else it estimates errors, and a tenth as many rows are held
            out.
    """

    name: str
    function: str
    domain: tuple[float, float]
    hidden: tuple[int, ...]
    samples: int
    epochs: int
    batch: int = 250
    truth: bool = True


_TEN = "+".join(f"sin({name})" for name in "abcdfghjkl")
CASES = (
    Case("1-64-64-1, 60 epochs of 40 steps", "sin(x)", (-3, 3), (64, 64), 10_000, 60),
    Case("10-256-256-1, 40 epochs of 40 steps", _TEN, (-1, 1), (256, 256), 10_000, 40),
    Case("1-64-64-1, 8 epochs of 400 steps", "sin(x)", (-3, 3), (64, 64), 100_000, 8),
    Case("2-64-64-1, 100 epochs of 6 steps, no truth", "sin(2*x)*z", (-1, 1), (64, 64), 300, 100, 50, truth=False),
    Case("3-64-64-1, 200 epochs of 20 steps, no truth", "sin(2*x)*z+y", (-1, 1), (64, 64), 5000, 200, truth=False),
)
DEFAULT_JOB = "the default job (100 epochs of 40 steps, with a readout)"
TABLES = {300: "a table of 300 rows, searched for features, no truth", 3000: "a table of 3,000 rows, likewise"}
"""Rows of tables of two inputs, as `fit` takes them."""


class _Clock(Callback):
    """From the start of the training to what callbacks do at its end."""

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.start = time.process_time()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.seconds = time.process_time() - self.start


def run(quick: bool) -> dict:
    """Seconds of every case: `with` and `without` the monitor, what the `monitor` has counted itself, and what of it
    was spent `once`, at the start and at the end."""
    with _quiet():
        for case in CASES:
            _fit(case, DerivativeMonitor(), epochs=2)
        rows = {case.name: [_one(case) for _ in range(1 if quick else ROUNDS)] for case in CASES}
    rows[DEFAULT_JOB] = [_job() for _ in range(1 if quick else ROUNDS)]
    for count, name in TABLES.items():
        rows[name] = [_table_job(count) for _ in range(1 if quick else ROUNDS)]
    return {"rows": rows}


def document(data: dict) -> str:
    """The table in Markdown: seconds of the fastest rounds, and by them what is more; else medians of the rounds."""
    head = "| training | without | with | more | own count | in its course | once | validations measured | points |"
    lines = [head, "|---" * 9 + "|", *(_line(name, rounds) for name, rounds in data["rows"].items())]
    words = (
        "Seconds of `fit` without and with the monitor in turn, of the fastest of a few rounds each, and what it "
        "takes more; the monitor's own count, a median, of the time of everything else. It is processor time, but "
        "for the default job and tables, whose reports tell the time that has passed and what of it the monitor "
        "took. Once, at the start and at the end, seconds go into two audits, the first measurement, that of all "
        "points, the first estimate and the one that the report is about; the rest is spent in the course of the "
        "training. Imports and pictures are not in it. Where measuring every validation takes too long, some are "
        "left out, and 16 at least "
        "are measured.\n\n"
    )
    return words + "\n".join(lines) + f"\n\nMachine: {sentence(data['machine'])}.\n"


def shortfalls(data: dict) -> list[str]:
    """The trainings of which the monitor takes more than it should."""
    shares = {name: median(map(share, rounds)) for name, rounds in data["rows"].items()}
    return [f"{name}: {found:.1%}, promised {LIMIT:.0%}" for name, found in shares.items() if found > LIMIT]


def share(one: dict[str, float]) -> float:
    """What the monitor has counted itself, as a share of the rest of the time."""
    return one["monitor"] / (one["with"] - one["monitor"])


def in_course(one: dict[str, float]) -> float:
    """The same without what is spent once."""
    return (one["monitor"] - one["once"]) / (one["with"] - one["monitor"])


def _line(name: str, rounds: list[dict[str, float]]) -> str:
    without, with_ = (min(one[key] for one in rounds) for key in ("without", "with"))
    once, measured, points = (median(one[key] for one in rounds) for key in ("once", "measured", "points"))
    own, course = (median(map(each, rounds)) for each in (share, in_course))
    return (
        f"| {name} | {without:.2f} | {with_:.2f} | {with_ / without - 1:.1%} | {own:.1%} | {course:.1%} | {once:.2f} | "
        f"{measured:.0f} | {points:.0f} |"
    )


def _one(case: Case) -> dict[str, float]:
    monitor = DerivativeMonitor()
    monitor._clock = time.process_time
    seconds = _fit(case, monitor)
    own = {"monitor": monitor.seconds, "once": monitor.seconds_once, "points": monitor.points}
    return {"with": seconds, "without": _fit(case), "measured": len(monitor.history), **own}


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
        model, data = _prepared(case)
        trainer.fit(model, **data)
    return clock.seconds


def _prepared(case: Case) -> tuple[Regressor, dict[str, Any]]:
    """A network, and its data in the way they are told to a trainer."""
    held_out = 2000 if case.truth else case.samples // 10
    data = FunctionData(
        case.function, case.domain, samples=case.samples, validation_samples=held_out, batch_size=case.batch
    )
    model = Regressor(MLP(inputs=len(data.input_names), hidden=case.hidden))
    if case.truth:
        return model, {"datamodule": data}
    data.setup()
    splits = (data.training, data.validation)
    training, validation = (TensorDataset(split.inputs.float(), split.targets.float()) for split in splits)
    return model, {
        "train_dataloaders": DataLoader(training, case.batch, shuffle=True),
        "val_dataloaders": DataLoader(validation, case.batch),
    }


def _table_job(rows: int) -> dict[str, float]:
    """What `fit` takes for a table with 2 % of noise."""
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (rows, 2))
    y = np.sin(2 * x[:, 0]) * np.exp(x[:, 1]) + 0.02 * random.normal(size=rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        np.savetxt(path, np.column_stack([x, y]), delimiter=",", header="a,b,y", comments="")
        return _job("fit", "--data", "TableData", "--data.path", str(path))


def _job(*arguments: str) -> dict[str, float]:
    """As report.json says: without the monitor there is no report."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--trainer.logger.init_args.save_dir", folder, "--trainer.enable_progress_bar", "false"]
        subprocess.run([*OURS, *arguments, *options], cwd=ROOT, env=environment(), check=True, capture_output=True)
        report = json.loads(next(Path(folder).rglob("report.json")).read_text(encoding="utf-8"))
    seconds = report["seconds"]
    without = seconds["fit"] - seconds["monitor"]
    own = {"monitor": seconds["monitor"], "once": seconds["monitor_once"], "points": report["points"]}
    return {"with": seconds["fit"], "without": without, "measured": len(report["digits"]["epochs"]), **own}


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
