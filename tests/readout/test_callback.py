"""The readout at the end of a training: what is measured, reported, saved and loaded is the network after it."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import Plain, environment, loader, quiet_trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, WeightAveraging
from torch import nn

import sobolev
from sobolev import MLP, DerivativeMonitor, FunctionData, LeastSquaresReadout, Regressor, Report

pytestmark = [
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:Found 1 module.s. in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:Starting from v1.9.0, `tensorboardX` has been removed"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used"),
]

QUIET = {"on_finding": "ignore", "figure_every_n_epochs": None}


def data(**options):
    return FunctionData(**{"function": "sin(x)", "domain": (-2, 2), "samples": 300, "validation_samples": 60,
                           "test_samples": 60, "batch_size": 50, **options})  # fmt: skip


def module():
    torch.manual_seed(0)
    return Regressor(MLP(hidden=(16, 16)))


def relative_l2(monitor):
    return [entry["relative_l2"] for entry in monitor.errors]


class Steps(Callback):
    """Where the monitor stood before the end, and how often it has looked."""

    def __init__(self, monitor):
        self.monitor, self.seen = monitor, []

    def on_validation_end(self, trainer, pl_module):
        self.seen.append(relative_l2(self.monitor) if not trainer.sanity_checking else None)


@pytest.mark.parametrize("precision", ["network", "float64"])
def test_the_last_validation_the_report_and_the_checkpoints_show_the_network_after_it(tmp_path, capsys, precision):
    monitor, readout = DerivativeMonitor(**QUIET), LeastSquaresReadout(precision)
    steps = Steps(monitor)
    saved = ModelCheckpoint(tmp_path / "saved", monitor="val/loss", save_last=True)
    # the worst order of callbacks: the readout behind all others
    trainer = quiet_trainer(
        tmp_path, monitor, steps, Report(), saved, readout, max_epochs=3, enable_checkpointing=True, logger=False
    )
    trained, points = module(), data()
    trainer.fit(trained, datamodule=points)
    assert len(steps.seen) == 4, "one sanity check, three validations, none more"
    found = relative_l2(monitor)
    limits = (1e-9, 1e-7, 1e-6) if precision == "float64" else (1e-5, 1e-4, 1e-3)
    assert all(e < limit < before for e, limit, before in zip(found, limits, steps.seen[2], strict=True))
    dtype = torch.float64 if precision == "float64" else torch.float32
    assert {p.dtype for p in trained.parameters()} == {dtype} == {trained.network.input_mean.dtype}
    (report,) = Path(tmp_path).rglob("report.json")
    report = json.loads(report.read_text())
    assert [entry["relative_l2"] for entry in report["derivatives"]] == found
    assert report["readout"]["layer"] == "network.network.4" and report["readout"]["changed"]
    assert report["readout"]["after"] < report["readout"]["before"] and 0 < report["seconds"]["readout"] < 60
    assert not [f for f in report["audit"] if f["severity"] == "error"]
    assert capsys.readouterr().out.count("The last layer (network.network.4) was solved anew") == 1
    for path in (saved.best_model_path, saved.last_model_path):
        loaded = Regressor.load_from_checkpoint(path)
        assert {p.dtype for p in loaded.parameters()} == {dtype}
        for name, value in trained.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value)
        again = DerivativeMonitor(**QUIET)
        quiet_trainer(tmp_path, again).validate(module(), datamodule=data(), ckpt_path=path, verbose=False)
        assert relative_l2(again) == pytest.approx(found, rel=1e-3)
        batches = quiet_trainer(tmp_path).predict(module(), datamodule=data(), ckpt_path=path)
        assert batches[0].dtype == dtype


def test_a_training_goes_on_from_a_float64_checkpoint_and_again_in_the_same_process(tmp_path):
    saved = ModelCheckpoint(tmp_path / "saved", save_last=True)
    trainer = quiet_trainer(tmp_path, saved, LeastSquaresReadout("float64"), max_epochs=2, enable_checkpointing=True)
    trained = module()
    trainer.fit(trained, datamodule=data())
    state = trainer.optimizers[0].state_dict()["state"]
    assert {value.dtype for entry in state.values() for name, value in entry.items() if name != "step"} == {
        torch.float64
    }
    further = quiet_trainer(tmp_path, LeastSquaresReadout("float64"), max_epochs=4)
    resumed = module()
    further.fit(resumed, datamodule=data(), ckpt_path=saved.last_model_path)
    assert further.current_epoch == 4 and resumed.dtype == torch.float64
    trainer.fit_loop.max_epochs = 3
    trainer.fit(trained, datamodule=data())


def test_where_nobody_could_know_the_end_it_measures_and_saves_once_more(tmp_path):
    """Early stopping, and a validation every two epochs only."""
    for options, epochs in (({"max_epochs": 50}, 2), ({"max_epochs": 3, "check_val_every_n_epoch": 2}, 3)):
        monitor, readout = DerivativeMonitor(**QUIET), LeastSquaresReadout("float64")
        stop = EarlyStopping("val/loss", patience=1, min_delta=1e9, check_on_train_epoch_end=False)
        saved = ModelCheckpoint(tmp_path / str(epochs), monitor="val/loss", save_last=True)
        callbacks = [monitor, Report(), saved, readout, *([stop] if epochs == 2 else [])]
        trainer = quiet_trainer(tmp_path, *callbacks, enable_checkpointing=True, **options)
        trained = module()
        trainer.fit(trained, datamodule=data())
        assert trainer.current_epoch == epochs and relative_l2(monitor)[2] < 1e-6
        loaded = Regressor.load_from_checkpoint(saved.last_model_path)
        assert all(torch.equal(loaded.state_dict()[name], value) for name, value in trained.state_dict().items())
        assert float(trainer.callback_metrics["val/loss"]) < 1e-12


def test_in_between_the_optimiser_keeps_its_state_and_forgets_one_momentum(tmp_path):
    class States(Callback):
        """Copies of the optimiser's state."""

        def __init__(self):
            self.copies = []

        def on_validation_start(self, trainer, pl_module):
            if not trainer.sanity_checking:
                self.copies.append(copy.deepcopy(trainer.optimizers[0].state_dict()))

    plain, solved, readout = States(), States(), LeastSquaresReadout(every_n_epochs=1)
    for states, callbacks in ((plain, []), (solved, [readout])):
        quiet_trainer(tmp_path, *callbacks, states, max_epochs=1).fit(module(), datamodule=data())
    assert readout.result.changed
    before, after = plain.copies[0], solved.copies[0]
    assert before["param_groups"] == after["param_groups"]
    for number, entry in before["state"].items():
        for name, value in entry.items():
            found = after["state"][number][name]
            own = number >= 4 and name == "exp_avg"
            assert torch.equal(found, torch.zeros_like(value) if own else value)
    more = quiet_trainer(tmp_path, LeastSquaresReadout(every_n_epochs=2), max_epochs=5)
    more.fit(module(), datamodule=data())


def test_any_module_and_dataloader(tmp_path):
    """Without a data module, with and without validation data, random numbers as they would be without it."""
    x = torch.linspace(-2, 2, 200)[:, None]
    for batches in ([loader(x, x**2, shuffle=True), loader(x, x**2)], [loader(x, x**2, shuffle=True)]):
        torch.manual_seed(0)
        trained, readout = Plain(nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))), LeastSquaresReadout()
        state = torch.get_rng_state()
        quiet_trainer(tmp_path, readout, max_epochs=1).fit(trained, *batches)
        with_readout = torch.get_rng_state()
        assert readout.result.changed and readout.result.rows == (200 if len(batches) == 2 else 160)
        assert float((trained(x) - x**2).detach().square().mean().sqrt()) < 1e-4
        torch.set_rng_state(state)
        torch.manual_seed(0)
        other = Plain(nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)))
        quiet_trainer(tmp_path, max_epochs=1).fit(other, *batches)
        assert torch.equal(torch.get_rng_state(), with_readout)
        assert torch.equal(other.network[0].weight, trained.network[0].weight)


def test_derivative_labels_of_the_data_are_used(tmp_path):
    readout = LeastSquaresReadout("float64")
    trained = module()
    quiet_trainer(tmp_path, readout, max_epochs=1).fit(trained, datamodule=data(derivative_order=2))
    assert readout.result.rows == 900 and len(readout.result.after) == 3
    dense = torch.linspace(-2, 2, 301, dtype=torch.float64)[:, None]
    second = sobolev.derivatives(trained, dense)[2].detach()
    assert float((second + dense.sin()).abs().max()) < 1e-6


def test_batches_of_another_kind_by_overriding_one_method(tmp_path):
    class Dicts(Plain):
        """Batches by name."""

        def training_step(self, batch, batch_idx):
            return super().training_step((batch["x"], batch["y"]), batch_idx)

    class OfDicts(LeastSquaresReadout):
        """Finds them."""

        def samples(self, batch):
            return super().samples((batch["x"], batch["y"]))

    x = torch.linspace(-1, 1, 64)[:, None]
    rows = torch.utils.data.DataLoader([{"x": a, "y": a**2} for a in x], batch_size=16)
    readout = OfDicts()
    quiet_trainer(tmp_path, readout).fit(Dicts(), rows, rows)
    assert readout.result.changed
    with pytest.warns(UserWarning, match=r"will leave .* entries x, y; say .*inputs=\['x'\], targets='y'"):
        quiet_trainer(tmp_path, LeastSquaresReadout()).fit(Dicts(), rows, rows)
    named = LeastSquaresReadout(inputs="x", targets="y")
    quiet_trainer(tmp_path, named).fit(Dicts(), rows, rows)
    assert named.result.changed
    with pytest.warns(UserWarning, match="no entry 'z'; it has x, y"):
        quiet_trainer(tmp_path, LeastSquaresReadout(inputs="z", targets="y")).fit(Dicts(), rows, rows)


class OfTwoInputs(Plain):
    """A wave by its place and time, two arguments of forward."""

    def forward(self, x, t):
        return self.network(torch.cat([x, t[:, None]], 1).to(self.dtype))

    def training_step(self, batch, batch_idx):
        x, t, u = batch.values() if isinstance(batch, dict) else batch
        return (self(x, t) - u).square().mean()

    def validation_step(self, batch, batch_idx):
        pass


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("precision", ["network", "float64"])
def test_a_forward_of_several_inputs(tmp_path, by_name, precision):
    torch.manual_seed(0)
    x, t = torch.rand(400, 1), torch.rand(400)
    rows = list(zip(x, t, torch.sin(x) + t[:, None] ** 2, strict=True))
    items = [dict(zip("xtu", row, strict=True)) for row in rows] if by_name else rows
    batches = torch.utils.data.DataLoader(items, batch_size=100)
    module = OfTwoInputs(nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 1)))
    named = {"inputs": ["x", "t"], "targets": "u"} if by_name else {"inputs": [0, 1]}
    readout = LeastSquaresReadout(precision, **named)
    quiet_trainer(tmp_path, readout).fit(module, batches, batches)
    assert readout.result.changed and readout.result.layer == "network.2"
    assert readout.result.after[0] < 1e-3 < readout.result.before[0]
    apart = module(x, t) - (torch.sin(x) + t[:, None] ** 2)
    assert float(apart.detach().abs().max()) < 1e-2


def test_what_it_cannot_do_is_said_and_the_training_is_as_without_it(tmp_path):
    x = torch.linspace(-1, 1, 64)[:, None]
    batches = loader(x, x**2)
    final = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1), nn.ReLU())
    cases = [
        (Plain(final), (), {}, "activation or a normalisation follows"),
        (Plain(), (WeightAveraging,), {}, "WeightAveraging exchanges the weights"),
        (Plain(), (), {"precision": "float64"}, "does not take inputs of torch.float32"),
    ]
    for trained, callbacks, options, reason in cases:
        other, readout = copy.deepcopy(trained), LeastSquaresReadout(**options)
        with pytest.warns(UserWarning, match=reason):
            quiet_trainer(tmp_path, *(kind() for kind in callbacks), readout).fit(
                trained, loader(x, x**2), loader(x, x**2)
            )
        assert readout.result is None
        quiet_trainer(tmp_path, *(kind() for kind in callbacks)).fit(other, batches, batches)
        for name, value in other.state_dict().items():
            assert torch.equal(trained.state_dict()[name], value) and value.dtype == torch.float32


@pytest.mark.parametrize("options", [{"precision": "double"}, {"every_n_epochs": 0}])
def test_options_that_make_no_sense(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        LeastSquaresReadout(**options)


TWO = """
import sys, torch, warnings
warnings.simplefilter("ignore")
from lightning.pytorch import Trainer
from sobolev import MLP, DerivativeMonitor, FunctionData, LeastSquaresReadout, Regressor

devices, folder = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
readout, monitor = LeastSquaresReadout("float64"), DerivativeMonitor(on_finding="ignore")
module = Regressor(MLP(hidden=(16, 16)), optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
data = FunctionData("sin(x)", (-2, 2), samples=201, validation_samples=43, batch_size=50, derivative_order=1)
strategy = {"strategy": "ddp", "devices": devices} if devices > 1 else {"devices": 1}
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = Trainer(max_epochs=2, accelerator="cpu", callbacks=[monitor, readout], default_root_dir=folder,
                  **quiet, **strategy)
trainer.fit(module, datamodule=data)
torch.save({"weights": module.state_dict(), "rows": readout.result.rows, "errors": monitor.errors},
           f"{folder}/{devices}-{trainer.global_rank}.pt")
if devices > 1:
    torch.distributed.destroy_process_group()  # gloo's threads may abort an interpreter that ends without it
"""


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over localhost is not set up everywhere on Windows")
def test_two_processes_solve_what_one_solves(tmp_path):
    """Uneven numbers of rows, derivative labels too; both processes have the very same weights afterwards."""
    (tmp_path / "two.py").write_text(TWO)
    for devices in (1, 2):
        done = subprocess.run(
            [sys.executable, "two.py", str(devices), str(tmp_path)], cwd=tmp_path, capture_output=True, text=True,
            timeout=200, env=environment(PYTHONPATH=os.environ.get("PYTHONPATH", "")),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    one, first, second = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("1-0", "2-0", "2-1"))
    assert all(torch.equal(first["weights"][name], value) for name, value in second["weights"].items())
    assert one["rows"] == first["rows"] == 402
    network = module().double(), module().double()
    for built, found in zip(network, (one, first), strict=True):
        built.load_state_dict(found["weights"])
    x = torch.linspace(-2, 2, 101, dtype=torch.float64)[:, None]
    for a, b in zip(*(sobolev.derivatives(built, x) for built in network), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)
    assert first["errors"][0]["relative_l2"] < 1e-8
