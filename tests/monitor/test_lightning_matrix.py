"""The monitor under the conditions of Lightning: forms of batches and outputs, precisions, strategies, loggers.

The truth is nested reverse mode in float64, by hand, on a copy of the weights.
"""

import dataclasses
import importlib
import json
import random
import subprocess
import sys
from collections import UserDict, namedtuple

import lightning.pytorch
import numpy as np
import pytest
import pytorch_lightning
import torch
from cases import environment
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import sobolev
from sobolev import DerivativeMonitor, Report

PACKAGES = {"lightning": lightning.pytorch, "pytorch_lightning": pytorch_lightning}

pytestmark = [
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:Starting from v1.9.0, `tensorboardX` has been removed"),
    pytest.mark.filterwarnings("ignore:.*(amp|autocast|Using 16bit Automatic Mixed Precision)"),
    pytest.mark.filterwarnings("ignore:Swapping scheduler"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
]

ROWS = 12


class Loader:
    """Batches as they are."""

    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


def module_of(package, forward):
    """A LightningModule of either package with a forward of its own: price = net(x, t) (1 + embedding(ids))."""

    class Somebodys(package.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))
            self.embedding = nn.Embedding(3, 1)

        def price(self, x, t, ids=None):
            price = self.net(torch.cat([x, t], dim=1))
            return price if ids is None else price * (1 + self.embedding(ids))

        def training_step(self, batch, batch_idx):
            return sum(p.square().sum() for p in self.parameters())

        def validation_step(self, batch, batch_idx):
            pass

        def test_step(self, batch, batch_idx):
            pass

        def predict_step(self, batch, batch_idx):
            return torch.zeros(1)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    Somebodys.forward = forward
    return Somebodys()


def trainer_of(package, folder, *callbacks, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    options = {**quiet, "logger": False, "max_epochs": 1, "accelerator": "cpu", "devices": 1, **options}
    return package.Trainer(default_root_dir=folder, callbacks=list(callbacks), **options)


def plain_tower(price, columns, with_respect_to):
    """Root mean square of value, gradient and Hessian of `price(*columns)` by some of the columns, in float64."""
    columns = [c.double() if c.is_floating_point() else c for c in columns]
    gradients, hessians, values = [], [], []
    for row in range(ROWS):

        def of(*chosen, row=row):
            one = [c[row : row + 1] for c in columns]
            for position, value in zip(with_respect_to, chosen, strict=True):
                one[position] = value.reshape(1, 1)
            return price(*one).reshape(())

        chosen = tuple(columns[p][row].clone() for p in with_respect_to)
        values.append(of(*chosen).detach().reshape(1))
        gradients.append(torch.stack(torch.autograd.functional.jacobian(of, chosen)).flatten())
        blocks = torch.autograd.functional.hessian(of, chosen)
        hessians.append(torch.stack([torch.stack(row) for row in blocks]).flatten())
    return [torch.stack(d).square().mean().sqrt().item() for d in (values, gradients, hessians)]


def sizes(monitor):
    return [entry.get("rms", entry.get("rmse")) for entry in monitor.errors]


def data():
    generator = torch.Generator().manual_seed(5)
    x, t = torch.randn(ROWS, 1, generator=generator), torch.rand(ROWS, 1, generator=generator)
    return x, t, torch.arange(ROWS) % 3, torch.zeros(ROWS, 1)


Named = namedtuple("Named", "x t y")


@dataclasses.dataclass
class Data:
    x: torch.Tensor
    t: torch.Tensor
    y: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Result:
    loss: float | None
    logits: torch.Tensor


def by_x_and_t(self, x, t):
    return self.price(x, t)


def with_ids(self, x, t, ids):
    return self.price(x, t, ids)


def of_batch(self, batch):
    return self.price(batch["x"], batch["t"])


def of_keywords(self, **batch):
    return {"price": self.price(batch["x"], batch["t"]), "x": batch["x"]}


def of_list(self, inputs):
    return [self.price(*inputs)]


def any_number(self, *inputs):
    return self.price(*inputs), torch.zeros(())


def result(self, x, t):
    return Result(None, self.price(x, t))


def dictionary(**entries):
    return entries


x, t, ids, y = data()
FORMS = {
    "tuple": (by_x_and_t, (x, t, y), {}, (0, 1)),
    "list": (by_x_and_t, [x, t, y], {}, (0, 1)),
    "namedtuple": (by_x_and_t, Named(x, t, y), {}, (0, 1)),
    "dataclass": (by_x_and_t, Data(x, t, y), {}, (0, 1)),
    "dict": (by_x_and_t, {"t": t, "x": x, "y": y}, {"inputs": ["x", "t"]}, (0, 1)),
    "another mapping": (by_x_and_t, UserDict(x=x, t=t, y=y), {}, (0, 1)),
    "one of two": (by_x_and_t, {"x": x, "t": t, "y": y}, {"inputs": "t"}, (1,)),
    "position": (by_x_and_t, (x, t, y), {"inputs": 0}, (0,)),
    "ids held fixed": (with_ids, (x, t, ids, y), {}, (0, 1)),
    "ids by name": (with_ids, {"ids": ids, "x": x, "t": t, "y": y}, {"inputs": "x"}, (0,)),
    "the whole batch": (of_batch, {"x": x, "t": t, "y": y}, {"inputs": ["x", "t"]}, (0, 1)),
    "keywords, dict": (of_keywords, {"x": x, "t": t, "y": y}, {"inputs": ["x", "t"], "output": "price"}, (0, 1)),
    "nested": (by_x_and_t, ((x, t), y), {}, (0, 1)),
    "nested dict": (by_x_and_t, ({"x": x, "t": t}, y), {"inputs": "0.x"}, (0,)),
    "a list as input": (of_list, ([x, t], y), {}, (0, 1)),
    "any number": (any_number, (x, t, y), {"inputs": [0, 1], "output": 0}, (0, 1)),
    "output a dataclass": (result, (x, t, y), {}, (0, 1)),
    "path": (by_x_and_t, {"in": {"x": x, "t": t}, "y": y}, {"inputs": ["in.x", "in.t"]}, (0, 1)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("package", PACKAGES)
def test_every_form_against_nested_reverse_mode(tmp_path, form, package):
    """Two batches, of which the second has its rows in another order."""
    forward, batch, options, by = FORMS[form]
    module = module_of(PACKAGES[package], forward)
    monitor = DerivativeMonitor(targets=[None], on_finding="ignore", **options)
    trainer = trainer_of(PACKAGES[package], tmp_path, monitor)
    trainer.validate(module, Loader(batch, flipped(batch)), verbose=False)
    columns = [x, t, ids] if forward is with_ids else [x, t]
    assert sizes(monitor) == pytest.approx(plain_tower(module.double().price, columns, by), rel=2e-5)
    assert monitor.points == 2 * ROWS and len(monitor.errors[1]["at"]) == len(by)


def flipped(batch):
    from sobolev.monitor.batch import mapped

    return mapped(lambda tensor: tensor.flip(0), batch)


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true"])
def test_every_precision_with_a_dict_batch_and_fixed_ids(tmp_path, package, precision):
    module = module_of(PACKAGES[package], with_ids)
    batch = {"x": x, "t": t, "ids": ids, "y": y}
    monitor = DerivativeMonitor(inputs=["x", "t"], targets=[None])
    trainer = trainer_of(PACKAGES[package], tmp_path, monitor, precision=precision)
    trainer.fit(module, Loader(batch), Loader(batch))
    rounded = {"bf16-true": torch.bfloat16, "16-true": torch.float16}.get(precision, torch.float64)
    columns = [c.to(rounded) if c.is_floating_point() else c for c in (x, t, ids)]
    assert sizes(monitor) == pytest.approx(plain_tower(module.double().price, columns, (0, 1)), rel=2e-5)
    assert monitor.points == ROWS


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("logger", ["none", "CSVLogger", "TensorBoardLogger"])
def test_loggers_verbs_and_accumulation(tmp_path, package, logger, monkeypatch):
    """fit with a sanity check, validate, test, predict by one trainer and one monitor."""
    monkeypatch.setattr("sobolev.report.report._write_figure", lambda *_: tmp_path)  # drawing takes its time
    reports = [Report()] if logger == "TensorBoardLogger" else []
    loggers = importlib.import_module(f"{PACKAGES[package].__name__}.loggers")
    chosen = getattr(loggers, logger)(tmp_path) if logger != "none" else False
    module, batch = module_of(PACKAGES[package], by_x_and_t), (x, t, y)
    monitor, other = DerivativeMonitor(), DerivativeMonitor(1, name="other", points={"x": [0, 1, 5], "t": [0, 1, 3]})
    trainer = trainer_of(
        PACKAGES[package], tmp_path, monitor, other, *reports,
        logger=chosen, max_epochs=2, accumulate_grad_batches=3, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(module, Loader(*[batch] * 4), Loader(batch))
    assert {"val/d2_rms", "val/other/d1_rms"} < set(trainer.callback_metrics)
    assert monitor.points == ROWS and other.points == 15
    (validated,) = trainer.validate(module, Loader(batch), verbose=False)
    (tested,) = trainer.test(module, Loader(batch), verbose=False)
    assert tested["test/d2_rms"] == validated["val/d2_rms"] == pytest.approx(monitor.errors[2]["rms"])
    trainer.predict(module, Loader(batch))
    written = {path.name.split(".")[0] for path in tmp_path.rglob("*") if path.is_file()}
    assert {"none": set(), "CSVLogger": {"metrics"}, "TensorBoardLogger": {"events", "report"}}[logger] <= written


def digest(trainer, module):
    optimizers = [[v for s in o.state_dict()["state"].values() for v in s.values()] for o in trainer.optimizers]
    tensors = [*module.parameters(), *module.buffers(), *(torch.as_tensor(v) for o in optimizers for v in o)]
    return (
        [tensor.detach().double().sum().item() for tensor in tensors],
        [None if p.grad is None else p.grad.double().sum().item() for p in module.parameters()],
        [p.requires_grad for p in module.parameters()],
        [m.training for m in module.modules()],
        list(module.state_dict()),
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
    )


def recorder(package, seen):
    """A callback that takes a digest in every hook."""

    def hook(name):
        def record(self, trainer, pl_module, *_, **__):
            seen.append((name, digest(trainer, pl_module)))

        return record

    names = [
        "on_fit_start", "on_train_batch_start", "on_before_zero_grad", "on_before_optimizer_step", "on_train_batch_end",
        "on_train_epoch_end", "on_validation_start", "on_validation_batch_end", "on_validation_epoch_end",
        "on_validation_end", "on_train_end", "on_fit_end",
    ]  # fmt: skip
    return type("Recorder", (package.Callback,), {name: hook(name) for name in names})()


class Unruly(nn.Module):
    """Batch normalisation, dropout, a counter, random numbers of three generators even in eval mode, a frozen layer."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 1))
        self.frozen = nn.Linear(1, 1).requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        noise = torch.randn(()) + random.random() + np.random.rand()  # noqa: NPY002
        return self.frozen(self.layers(x)) + 1e-9 * noise


@pytest.mark.filterwarnings("ignore:.*(differ|sample|random|calls|f is)")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("sanity", [0, 2])
def test_the_training_is_the_same_to_the_last_bit_in_every_hook(tmp_path, precision, sanity):
    """Audit at the start and at the end, measurement at each validation, and once more at the end."""
    package, digests = lightning.pytorch, []
    for watched in (False, True):
        torch.manual_seed(3), random.seed(3), np.random.seed(3)  # noqa: NPY002
        module = module_of(package, lambda self, batch: self.net(torch.cat([batch["x"], batch["t"]], 1)))
        module.net = Unruly()
        module.net.layers[3].eval()
        module.training_step = lambda batch, _, module=module: module(batch).square().mean()
        seen = []
        monitors = [
            DerivativeMonitor(3, inputs=["x", "t"]),
            DerivativeMonitor(1, inputs="x", name="b", every_n_epochs=2),
        ]
        callbacks = [*(monitors if watched else []), recorder(package, seen)]
        trainer = trainer_of(
            package, tmp_path, *callbacks, max_epochs=3, precision=precision, num_sanity_val_steps=sanity,
            accumulate_grad_batches=2, val_check_interval=0.5,
        )  # fmt: skip
        batch = {"x": x, "t": t, "y": y}
        with pytest.warns(UserWarning):
            trainer.fit(module, Loader(*[batch] * 4), Loader(batch, batch))
        digests.append(seen)
    alone, watched = digests
    assert [name for name, _ in alone] == [name for name, _ in watched]
    for (name, before), (_, after) in zip(alone, watched, strict=True):
        assert repr(before) == repr(after), name
    assert monitors[0].errors and monitors[1].errors


AVERAGES = ["EMAWeightAveraging", "WeightAveraging", "StochasticWeightAveraging", None]


@pytest.mark.parametrize("monitor_first", [True, False])
@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("package", PACKAGES)
def test_the_report_is_about_the_final_weights(tmp_path, package, average, monitor_first, capsys, monkeypatch):
    """Averages of Lightning's in either order of callbacks, and validations that end before the training does."""
    monkeypatch.setattr("sobolev.report.report._write_figure", lambda *_: tmp_path)  # drawing takes its time
    callbacks = importlib.import_module(f"{PACKAGES[package].__name__}.callbacks")
    makers = {
        "StochasticWeightAveraging": {"swa_lrs": 1e-2, "swa_epoch_start": 1},
        "EMAWeightAveraging": {"decay": 0.5},
    }
    averaging = [getattr(callbacks, average)(**makers.get(average, {}))] if average else []
    monitor = DerivativeMonitor(order=1, targets=[None])
    order = [monitor, Report(), *averaging] if monitor_first else [*averaging, Report(), monitor]
    module = module_of(PACKAGES[package], by_x_and_t)
    trainer = trainer_of(PACKAGES[package], tmp_path, *order, max_epochs=3, check_val_every_n_epoch=2)
    trainer.fit(module, Loader((x, t, y)), Loader((x, t, y)))
    report = json.loads(next(tmp_path.rglob("report.json")).read_text())
    assert report["derivatives"][0]["rms"] == pytest.approx(module(x, t).square().mean().sqrt().item(), rel=1e-5)
    assert report["weights"] == monitor.weights == (f"average of {average}" if average else "as trained")
    assert (f"average of {average}" in capsys.readouterr().out) == bool(average)


def test_during_a_training_the_average_is_measured(tmp_path):
    """As Lightning validates it, whatever the order of the callbacks."""
    from lightning.pytorch.callbacks import EMAWeightAveraging

    logged = []
    for monitor_first in (True, False):
        torch.manual_seed(0)
        monitor, average = DerivativeMonitor(order=1, targets=[None]), EMAWeightAveraging(decay=0.5)
        order = [monitor, average] if monitor_first else [average, monitor]
        trainer = trainer_of(lightning.pytorch, tmp_path, *order, max_epochs=2)
        trainer.fit(module_of(lightning.pytorch, by_x_and_t), Loader((x, t, y)), Loader((x, t, y)))
        logged.append(trainer.callback_metrics["val/d1_rms"].item())
        assert logged[-1] == pytest.approx(monitor.errors[1]["rms"], rel=1e-6)  # the average is what is kept
    assert logged[0] == logged[1]


def test_measure_is_for_whoever_changes_the_weights(tmp_path):
    monitor = DerivativeMonitor(order=1, targets=[None])

    class Readout(lightning.pytorch.Callback):
        def on_train_end(self, trainer, pl_module):
            with torch.no_grad():
                pl_module.net[2].bias += 7
            self.errors = monitor.measure(trainer, pl_module)

    readout, module = Readout(), module_of(lightning.pytorch, by_x_and_t)
    trainer = trainer_of(lightning.pytorch, tmp_path, monitor, readout)
    trainer.fit(module, Loader((x, t, y)), Loader((x, t, y)))
    assert readout.errors[0]["rms"] == pytest.approx(module(x, t).square().mean().sqrt().item(), rel=1e-5)
    assert readout.errors == monitor.errors


def test_no_tensor_and_no_file_stays_behind_over_200_epochs(tmp_path):
    """With ids held fixed, an output chosen, and the truth of a reference kept."""
    import gc

    class Count(lightning.pytorch.Callback):
        tensors = ()

        def on_validation_end(self, trainer, pl_module):
            if trainer.current_epoch % 60 == 19:
                gc.collect()
                self.tensors += (sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()),)

    count, module = Count(), module_of(lightning.pytorch, with_ids)
    monitor = DerivativeMonitor(inputs=["x", "t"], reference="x*t", on_finding="ignore")
    trainer = trainer_of(lightning.pytorch, tmp_path, monitor, count, max_epochs=200)
    batch = {"x": x, "t": t, "ids": ids, "y": y}
    trainer.fit(module, Loader(batch), Loader(batch))
    assert len(count.tensors) == 4 and max(count.tensors) <= count.tensors[0]
    assert not any("monitor" in name or "lent" in name for name in module.state_dict())


SCRIPT = """
import os, sys, warnings
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
import lightning.pytorch as pl
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.fsdp import fully_shard
import sobolev

warnings.simplefilter("ignore")
kind, x = "", torch.linspace(-1, 1, 64)[:, None]


class Nothing(IterableDataset):
    '''No batch for one of the processes.'''

    def __init__(self, rank):
        self.rank = rank

    def __iter__(self):
        batches = [] if int(os.environ["LOCAL_RANK"]) == self.rank else x.split(16)
        return iter([(part, part**2) for part in batches])


class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(1, 8), nn.ReLU() if "relu" in kind else nn.Tanh(), nn.Linear(8, 1))

    def configure_model(self):
        if "fsdp" in kind and not hasattr(self, "sharded"):
            self.sharded, mesh = True, self.device_mesh["data_parallel"]
            for part in (self.network[0], self.network[2], self.network):
                fully_shard(part, mesh=mesh)

    def forward(self, x):
        return self.network(x)

    def training_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def run(folder):
    torch.manual_seed(0)
    training = DataLoader(TensorDataset(x, x**2), batch_size=16)
    validation = DataLoader(Nothing(int(kind[-1])), batch_size=None) if "nothing" in kind else training
    monitor = sobolev.DerivativeMonitor(
        reference="x**2", points={"x": [-1, 1, 21]} if "grid" in kind else None,
        on_finding="raise" if "relu" in kind else "warn",
    )
    fsdp = ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1, process_group_backend="gloo")
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy=fsdp if "fsdp" in kind else "ddp", logger=False, max_epochs=2,
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False, default_root_dir=folder,
        callbacks=[monitor, sobolev.Report()], num_sanity_val_steps=0 if "unchecked" in kind else 2,
        precision="bf16-true" if "bf16" in kind else "32-true",
    )
    try:
        trainer.fit(Module(), training, validation)
        outcome = " ".join(str(entry["rmse"]) for entry in monitor.errors) + f" {monitor.points}"
    except sobolev.UntrustworthyDerivativeError:
        outcome = "raised"
    sys.stdout.write(f"{kind}|{trainer.global_rank}|{outcome}\\n")  # in one piece: two processes share the pipe
    sys.stdout.flush()


if __name__ == "__main__":
    for kind in sys.argv[2:]:
        run(sys.argv[1])
"""

KINDS = [
    "ddp", "ddp nothing 0", "ddp nothing 1", "ddp grid", "ddp grid nothing 0", "ddp relu", "ddp relu unchecked",
    "fsdp", "fsdp unchecked", "fsdp grid", "fsdp bf16", "fsdp relu",
]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over localhost is not set up everywhere on Windows")
def test_two_processes_under_ddp_and_fsdp2_with_and_without_batches(tmp_path):
    """All in one pair of processes, which a hang would keep from ending."""
    (script := tmp_path / "two.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, tmp_path, *KINDS], env=environment(), capture_output=True, text=True, timeout=240
    )
    lines = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2]
    outcomes = {kind: {rank: outcome for k, rank, outcome in lines if k == kind} for kind in KINDS}
    assert all(set(by_rank) == {"0", "1"} for by_rank in outcomes.values()), (outcomes, done.stderr[-3000:])
    assert all(by_rank["0"] == by_rank["1"] for by_rank in outcomes.values()), outcomes
    results = {kind: by_rank["0"] for kind, by_rank in outcomes.items()}
    assert {kind for kind, result in results.items() if result == "raised"} == {k for k in KINDS if "relu" in k}
    numbers = {kind: [float(n) for n in result.split()] for kind, result in results.items() if result != "raised"}
    for kind in ("ddp nothing 0", "ddp nothing 1", "fsdp", "fsdp unchecked"):
        assert numbers[kind] == pytest.approx(numbers["ddp"], rel=1e-4), kind
    assert numbers["fsdp grid"] == pytest.approx(numbers["ddp grid"], rel=1e-4)
    assert numbers["ddp grid nothing 0"] == pytest.approx(numbers["ddp grid"], rel=1e-4)
    assert numbers["fsdp bf16"] == pytest.approx(numbers["fsdp"], rel=2e-2)
    assert numbers["ddp"][-1] == 64 and numbers["ddp grid"][-1] == 21


def test_a_single_callback_is_taken_by_either_package(tmp_path):
    for package in PACKAGES.values():
        options = {"logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
        assert package.Trainer(callbacks=DerivativeMonitor(), default_root_dir=tmp_path, **options).callbacks


def test_a_batch_of_one_form_in_training_and_another_in_validation(tmp_path):
    """The audit before the first step passes over a training batch that the monitor cannot use."""
    module = module_of(lightning.pytorch, by_x_and_t)
    monitor = DerivativeMonitor(inputs=["x", "t"], targets=[None])
    trainer = trainer_of(lightning.pytorch, tmp_path, monitor, num_sanity_val_steps=0)
    trainer.fit(module, Loader([ids]), Loader({"x": x, "t": t}))
    assert monitor.points == ROWS


def test_a_training_without_validation_at_points_of_its_own(tmp_path):
    module = module_of(lightning.pytorch, with_ids)
    monitor = DerivativeMonitor(inputs=["x", "t"], points=lambda: torch.rand(5, 2), on_finding="ignore")
    trainer = trainer_of(lightning.pytorch, tmp_path, monitor, limit_val_batches=0)
    trainer.fit(module, Loader({"x": x, "t": t, "ids": ids}))
    assert monitor.points == 5 and "val/d2_rms" in trainer.callback_metrics


def test_points_of_a_file_are_a_table_of_the_inputs(tmp_path):
    rows = "".join(f"{b},{a},9\n" for a, b in zip(x.flatten().tolist(), t.flatten().tolist(), strict=True))
    (tmp_path / "points.csv").write_text("t,x,other\n" + rows)
    module = module_of(lightning.pytorch, by_x_and_t)
    monitor = DerivativeMonitor(inputs=["x", "t"], points=str(tmp_path / "points.csv"), on_finding="ignore")
    trainer_of(lightning.pytorch, tmp_path, monitor).validate(
        module,
        Loader(dict(x=x[:3], t=t[:3])),  # noqa: C408
        verbose=False,
    )
    assert sizes(monitor) == pytest.approx(plain_tower(module.double().price, [x, t], (0, 1)), rel=2e-5)


def test_a_budget_draws_evenly(tmp_path):
    """Points along a line, sorted: of 1000, a hundred are measured, and they reach from end to end."""
    line = torch.linspace(0, 1, 1000)[:, None]
    module = module_of(lightning.pytorch, by_x_and_t)
    monitor = DerivativeMonitor(max_points=100, on_finding="ignore")
    batches = DataLoader(TensorDataset(line, line, line), batch_size=32)
    trainer_of(lightning.pytorch, tmp_path, monitor).validate(module, batches, verbose=False)
    points = monitor.measurement.figure_data()[0][:, 0]
    assert 90 <= monitor.points <= 100 and points[0] == 0 and points[-1] > 0.98
    assert points.diff().max() < 0.02


@pytest.mark.parametrize(
    ("forward", "options", "reason"),
    [
        (of_keywords, {}, r"`output: price`.*`DerivativeMonitor\(output='price'\)`"),
        (of_keywords, {"inputs": "x"}, r"`output: price`.*`DerivativeMonitor\(output='price'\)`"),
        (of_keywords, {"inputs": "x", "output": "prize"}, "no 'prize'"),
        (by_x_and_t, {"inputs": "z"}, "no entry 'z'; it is a dict with x: float32"),
        (with_ids, {"inputs": "ids"}, "cannot differentiate by 'ids'"),
        (by_x_and_t, {"targets": "z"}, "no target 'z'"),
        (by_x_and_t, {"points": {"x": [0, 1, 4]}}, "1 columns, .* by 2 inputs"),
        (by_x_and_t, {"points": "nowhere.points"}, "nor the import path of a function"),
        (by_x_and_t, {"points": "nowhere.csv"}, "there is no file nowhere.csv"),
    ],
)
def test_what_cannot_be_guessed_is_asked_for_with_an_example(tmp_path, forward, options, reason):
    module, batch = module_of(lightning.pytorch, forward), {"x": x, "t": t, "ids": ids, "y": y}
    trainer = trainer_of(lightning.pytorch, tmp_path, DerivativeMonitor(**options))
    with pytest.raises((TypeError, ValueError), match=reason):
        trainer.validate(module, Loader(batch), verbose=False)
    if set(options) - {"inputs"} or options.get("inputs") in (
        "z",
        "ids",
    ):  # a mistake in an option ends a training, too
        with pytest.raises(ValueError, match=reason):
            trainer.fit(module, Loader(batch), Loader(batch))


def test_both_methods_can_be_overridden(tmp_path):
    class Mine(DerivativeMonitor):
        def inputs_of(self, batch):
            return torch.cat([batch["x"], batch["t"]], dim=1)

        def outputs_at(self, model, batch, x):
            return model.price(x[:, :1], x[:, 1:], batch["ids"])

    module = module_of(lightning.pytorch, lambda self, anything: None)
    monitor = Mine(on_finding="warn")
    trainer_of(lightning.pytorch, tmp_path, monitor).validate(
        module, Loader({"x": x, "t": t, "ids": ids}), verbose=False
    )
    assert sizes(monitor) == pytest.approx(plain_tower(module.double().price, [x, t, ids], (0, 1)), rel=2e-5)


def test_targets_are_labels_of_each_order(tmp_path):
    module = module_of(lightning.pytorch, by_x_and_t)
    y, J, H = sobolev.hessian(lambda p: module.price(p[:, :1], p[:, 1:]), torch.cat([x, t], 1))
    batch = {"x": x, "t": t, "price": y.detach() + 1, "greeks": J.detach() + 2, "gamma": H.detach()}
    monitor = DerivativeMonitor(targets=["price", "greeks", "gamma"])
    trainer_of(lightning.pytorch, tmp_path, monitor).validate(module, Loader(batch), verbose=False)
    assert [e["rmse"] for e in monitor.errors] == pytest.approx([1, 2, 0], abs=1e-5)


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_raise_ignore_and_warn(tmp_path, stage):
    for on_finding in ("raise", "ignore", "warn"):
        module = module_of(lightning.pytorch, by_x_and_t)
        module.net[1] = nn.ReLU()
        monitor = DerivativeMonitor(on_finding=on_finding)
        trainer = trainer_of(lightning.pytorch, tmp_path, monitor)
        arguments = [Loader((x, t, y))] * (2 if stage == "fit" else 1)
        if on_finding == "ignore":
            getattr(trainer, stage)(module, *arguments)
        elif on_finding == "raise":
            with pytest.raises(sobolev.UntrustworthyDerivativeError, match="piecewise linear"):
                getattr(trainer, stage)(module, *arguments)
        else:
            with pytest.warns(UserWarning, match="piecewise linear") as warned:
                getattr(trainer, stage)(module, *arguments)
            assert sum("piecewise linear" in str(w.message) for w in warned) == 1
