"""Values on either way to Lightning: what is found in metrics, progress bar and loggers is the same."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import lightning.pytorch
import pytest
import pytorch_lightning
import torch
from cases import Plain, loader, quiet_trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sobolev import DerivativeMonitor
from sobolev.monitor.scalars import Scalars, digits, estimated_orders

pytestmark = [
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:Starting from v1.9.0, `tensorboardX` has been removed"),
]

QUIET = {"on_finding": "ignore", "figure_every_n_epochs": None}
METRICS = ("callback_metrics", "logged_metrics", "progress_bar_metrics")
X = torch.linspace(-1, 1, 64)[:, None]


class Logging(Plain):
    """Logs a value of its own at each validation."""

    def validation_step(self, batch, batch_idx):
        self.log("val/own", self(batch[0]).mean())


class Seen(Callback):
    """The metrics after each validation, and how often `log` was called for one of the monitor's values."""

    def __init__(self):
        self.metrics, self.calls = [], 0

    def on_fit_start(self, trainer, pl_module):
        log = pl_module.log

        def counted(name, *arguments, **options):
            self.calls += name.startswith("val/d")
            log(name, *arguments, **options)

        pl_module.log = counted

    def on_validation_end(self, trainer, pl_module):
        self.metrics.append({name: dict(getattr(trainer, name)) for name in METRICS})


def fitted(folder, logger, **options):
    torch.manual_seed(0)
    seen, module = Seen(), Logging()
    options = {"logger": logger, "max_epochs": 3, "log_every_n_steps": 1, "num_sanity_val_steps": 0, **options}
    trainer = quiet_trainer(folder, DerivativeMonitor(reference="x**3", **QUIET), seen, **options)
    trainer.fit(module, loader(X, X**3), loader(X, X**3))
    return seen, trainer


def points(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.parametrize(
    "options", [{}, {"accumulate_grad_batches": 3}, {"val_check_interval": 0.5}, {"num_sanity_val_steps": 2}]
)
def test_both_ways_lead_to_the_same(tmp_path, monkeypatch, options):
    """Names, values, types and steps: straight, and by `log`."""
    straight, _ = fitted(tmp_path, TensorBoardLogger(tmp_path, "straight"), **options)
    monkeypatch.setattr("sobolev.monitor.scalars._are_kept", lambda trainer: False)
    logged, _ = fitted(tmp_path, TensorBoardLogger(tmp_path, "logged"), **options)
    assert straight.calls == 0 and logged.calls == 9 * len(logged.metrics)
    assert straight.metrics == logged.metrics
    for name in ("callback_metrics", "logged_metrics"):
        value, other = (seen.metrics[-1][name]["val/d2_rmse"] for seen in (straight, logged))
        assert value.dtype == other.dtype and value.shape == other.shape == ()
    assert set(straight.metrics[-1]["progress_bar_metrics"]) == {"val/d1_rmse", "val/d2_rmse"}
    assert points(tmp_path / "straight/version_0") == points(tmp_path / "logged/version_0")


def test_a_line_of_a_csv_file_holds_all_of_a_validation(tmp_path):
    seen, trainer = fitted(tmp_path, CSVLogger(tmp_path))
    rows = list(csv.DictReader(Path(trainer.log_dir, "metrics.csv").read_text().splitlines()))
    rows = [row for row in rows if row["val/d2_rmse"]]
    assert seen.calls == 27 and len(rows) == 3 and all(row["val/own"] and row["epoch"] for row in rows)


def test_without_a_logger_nothing_needs_log(tmp_path):
    seen, trainer = fitted(tmp_path, False)
    assert seen.calls == 0 and trainer.callback_metrics["val/d2_rmse"] > 0


@pytest.mark.parametrize("package", [lightning.pytorch, pytorch_lightning])
def test_manual_optimization_validate_and_test_go_by_log(tmp_path, package):
    class Manual(package.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
            self.automatic_optimization = False

        def forward(self, x):
            return self.network(x)

        def training_step(self, batch, batch_idx):
            for optimizer in self.optimizers():
                optimizer.step()

        def validation_step(self, batch, batch_idx):
            pass

        def configure_optimizers(self):
            return [torch.optim.SGD(self.parameters()), torch.optim.SGD(self.parameters())]

    seen = type("Seen", (package.Callback,), dict(vars(Seen)))()
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = package.Trainer(
        callbacks=[DerivativeMonitor(**QUIET), seen], default_root_dir=tmp_path, logger=False, max_epochs=1,
        num_sanity_val_steps=0, accelerator="cpu", devices=1, **quiet,
    )  # fmt: skip
    trainer.fit(module := Manual(), loader(X, X), loader(X, X))
    assert seen.calls == 7 + 6 and "val/d2_estimated_rmse" in trainer.callback_metrics
    del module.log
    (validated,) = trainer.validate(module, loader(X, X), verbose=False)
    assert validated["val/d2_rms"] > 0


def test_a_monitors_name_stands_in_its_tags():
    errors = [{"order": 1, "rms": 2.0, "at": [0.0]}]
    assert Scalars().of("val", errors) == {"val/d1_rms": 2.0}
    assert Scalars("fine").of("test", errors) == {"test/fine/d1_rms": 2.0}


SEVERAL_PROCESSES = """
import json, sys
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader, TensorDataset

from cases import Plain
from sobolev import MLP, DerivativeMonitor, FunctionData, Regressor


class Still(Plain):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def validation_step(self, batch, batch_idx):
        pass

    test_step = validation_step


def main():
    devices, folder = int(sys.argv[1]), sys.argv[2]
    x = torch.linspace(-1, 1, 44, dtype=torch.float64)[torch.randperm(44, generator=torch.Generator().manual_seed(1))]
    data = TensorDataset(x[:, None], torch.sin(3 * x)[:, None])
    found = {}
    for verb in ("fit csv", "fit tensorboard", "validate", "test"):
        kind = TensorBoardLogger if "tensorboard" in verb else CSVLogger
        options = {"devices": devices, "strategy": "ddp" if devices > 1 else "auto", "max_epochs": 2}
        trainer = Trainer(
            accelerator="cpu", logger=kind(folder, verb.replace(" ", "_")), enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0, log_every_n_steps=1,
            callbacks=[DerivativeMonitor(reference="sin(3*x)"), DerivativeMonitor(name="own")], **options,
        )
        seed_everything(1, verbose=False)
        module, loaded = Still().double(), DataLoader(data, batch_size=11)
        if verb.startswith("fit"):
            trainer.fit(module, loaded, loaded)
        else:
            getattr(trainer, verb)(module, loaded, verbose=False)
        found[verb] = {name: float(value) for name, value in trainer.callback_metrics.items()}
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, precision="64-true", **options,
    )
    seed_everything(1, verbose=False)
    data = FunctionData("sin(3*x)", domain=(-1, 1), samples=40, validation_samples=45)  # two have 22 and 23 of them
    (found["loss"],) = trainer.validate(Regressor(MLP(hidden=(4,))), data, verbose=False)
    with open(f"{folder}/{devices}-{trainer.global_rank}.json", "w") as file:
        json.dump(found, file)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # gloo's threads may abort an interpreter that ends without it


if __name__ == "__main__":
    main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over localhost is not set up everywhere on Windows")
@pytest.mark.parametrize("hash_seeds", [("1", "2"), ("3", "14")])
def test_two_processes_log_what_one_logs_under_any_hash_seeds(tmp_path, hash_seeds):
    """No scalar depends on the order in which a process walks over a set of strings."""
    (tmp_path / "script.py").write_text(SEVERAL_PROCESSES)
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-W", "ignore", str(tmp_path / "script.py")]
    processes = [
        subprocess.Popen(
            [*command, "2", str(tmp_path)],
            env={**environment, "LOCAL_RANK": str(rank), "NODE_RANK": "0", "PYTHONHASHSEED": seed},
            stderr=subprocess.PIPE, text=True,
        )
        for rank, seed in enumerate(hash_seeds)
    ]  # fmt: skip
    alone = subprocess.run([*command, "1", str(tmp_path)], env=environment, capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    one, *two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1"))
    loss = one.pop("loss")
    assert all(found["loss"] == pytest.approx(loss, rel=1e-9) for found in two) and set(loss) == {"val/loss"}
    for verb, expected in one.items():
        measured = [name for name in expected if name.rpartition("/")[2].startswith("d")]
        estimated = [name for name in measured if "estimated" in name]
        assert len(measured) - len(estimated) == 9 + 3 + 2 * 2, measured
        assert verb != "fit" or len(estimated) == 2 * 3, estimated
        for found in two:
            assert found[verb] == pytest.approx(expected, rel=1e-9), verb


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def test_digits_of_a_value_whose_labels_have_noise_are_those_of_the_estimate():
    labelled = {"order": 0, "rmse": 0.1, "relative_l2": 0.1, "estimated_relative_l2": 1e-3}
    slope = {"order": 1, "estimated_relative_l2": 1e-2}
    assert digits([labelled, slope]) == pytest.approx({0: 3.0, 1: 2.0})
    assert estimated_orders([labelled, slope]) == [0, 1]


def test_digits_are_measured_where_there_is_a_truth():
    errors = [{"order": k, "relative_l2": 1e-4, "estimated_relative_l2": 1e-3} for k in range(3)]
    assert digits(errors) == pytest.approx({0: 4.0, 1: 4.0, 2: 4.0})
    assert estimated_orders(errors) == []
