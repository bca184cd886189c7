"""Estimates beside what is measured, against the truth that the monitor is not told."""

import pytest
import torch
from cases import Plain, loader, quiet_trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sobolev import MLP, DerivativeEstimate, DerivativeMonitor, EvidenceRegressor, FunctionData, Regressor, Report
from sobolev.autodiff.operators import derivative_tensors
from sobolev.monitor.estimation import Estimation, noise_text

QUIET = {"on_finding": "ignore", "figure_every_n_epochs": None}
pytestmark = pytest.mark.filterwarnings("ignore:The number of training batches")


def rows(count, seed=0):
    x = 2 * torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)) - 1
    return x, torch.sin(2 * x[:, :1]) * x[:, 1:]


def exact(x):
    return derivative_tensors(lambda x: torch.sin(2 * x[:, :1]) * x[:, 1:], x, 2)


def fitted(folder, *callbacks, **options):
    torch.manual_seed(0)
    module = Plain(nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1)), lr=0.05)
    trainer = quiet_trainer(folder, *callbacks, max_epochs=10, **options)
    trainer.fit(module, loader(*rows(300)), loader(*rows(60, seed=1)))
    return module, trainer


def test_a_module_of_somebody_else_gets_estimates_of_its_errors(tmp_path):
    monitor = DerivativeMonitor(**QUIET)
    module, trainer = fitted(tmp_path, monitor)
    x = rows(60, seed=1)[0]
    for entry, found, true in zip(monitor.errors, derivative_tensors(module, x, 2), exact(x), strict=True):
        error = float((found - true).detach().square().mean().sqrt())
        assert 0.5 * error < entry["estimated_rmse"] < 2 * error
    for name in ("d0_estimated_rmse", "d1_estimated_relative_l2", "d2_estimated_rmse"):
        assert trainer.callback_metrics[f"val/{name}"] > 0
    assert "val/d1_estimated_rmse" in trainer.progress_bar_metrics
    assert "rms" in monitor.errors[1] and "rmse" not in monitor.errors[1]
    summary = monitor.estimation.summary()
    assert "is estimated to be wrong by" in summary["verdict"]
    assert (summary["rows"], summary["held_out"]) == (300, 60)  # those of the sanity check once


@pytest.mark.parametrize("reported", [False, True])
def test_the_verdict_is_said_once(tmp_path, caplog, capsys, reported):
    monitor = DerivativeMonitor(**QUIET)
    caplog.set_level("INFO")
    fitted(tmp_path, monitor, *[Report()] * reported)
    said = "\n".join([*caplog.messages, capsys.readouterr().out])
    assert said.count(monitor.estimation.summary()["verdict"]) == 1


def test_the_training_is_the_same_without(tmp_path):
    one, other = (fitted(tmp_path, DerivativeMonitor(estimate=when, **QUIET))[0] for when in ("auto", "never"))
    for mine, its in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, its)


@pytest.mark.parametrize(("when", "there"), [("auto", False), ("always", True)])
def test_where_the_truth_is_known_an_estimate_is_made_on_request(tmp_path, when, there):
    monitor = DerivativeMonitor(estimate=when, **QUIET)
    data = FunctionData("sin(x)", (-2, 2), samples=64, validation_samples=20)
    quiet_trainer(tmp_path, monitor).fit(Regressor(MLP(hidden=(8,))), datamodule=data)
    for entry in monitor.errors:
        assert "rmse" in entry and ("estimated_rmse" in entry) == there


def test_the_checkpoint_holds_what_an_estimate_needs(tmp_path):
    monitor = DerivativeMonitor(**QUIET)
    module, trainer = fitted(tmp_path, monitor)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    estimate = DerivativeEstimate.from_checkpoint(tmp_path / "last.ckpt", module)
    few = torch.cat([rows(60, seed=1)[0], estimate.domain.probes])  # others between the rows are looked at, too
    expected = estimate.errors(module, few)
    assert monitor.estimation.points == len(few)
    assert expected[2].rmse == pytest.approx(monitor.errors[2]["estimated_rmse"], rel=1e-3)
    with pytest.raises(ValueError, match="holds no estimate"):
        torch.save({}, tmp_path / "empty.ckpt")
        DerivativeEstimate.from_checkpoint(tmp_path / "empty.ckpt", module)


def test_digits_are_in_tensorboard_and_in_the_history(tmp_path):
    monitor = DerivativeMonitor(**QUIET)
    fitted(tmp_path, monitor, logger=TensorBoardLogger(tmp_path, "digits"))
    events = EventAccumulator(str(tmp_path / "digits/version_0"))
    events.Reload()
    for k in range(3):
        shown = [e.value for e in events.Scalars(f"digits/d{k}")]
        assert shown == pytest.approx([digits[k] for digits in monitor.history.values()], rel=1e-5)
    assert list(monitor.history) == list(range(1, 11))


def test_estimates_that_have_waited_are_made_for_the_epochs_that_had_none(tmp_path):
    """A training of a second is over before an estimate would take little of it."""
    monitor, other = DerivativeMonitor(**QUIET), DerivativeMonitor(**QUIET)
    other._estimates_now = lambda trainer: True
    for each, name in ((monitor, "waits"), (other, "now")):
        fitted(tmp_path, each, logger=TensorBoardLogger(tmp_path, name))
    found = {}
    for name in ("waits", "now"):
        events = EventAccumulator(str(tmp_path / name / "version_0"))
        events.Reload()
        found[name] = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert found["waits"].keys() == found["now"].keys()
    for tag, shown in found["now"].items():
        assert torch.tensor(found["waits"][tag]).numpy() == pytest.approx(torch.tensor(shown).numpy(), rel=1e-6), tag
    for epoch, digits in other.history.items():
        assert monitor.history[epoch] == pytest.approx(digits)


def test_where_a_callback_waits_for_an_estimate_there_is_one_at_every_epoch(tmp_path):
    monitor, stop = DerivativeMonitor(**QUIET), EarlyStopping("val/d2_estimated_rmse", patience=50)
    module = Plain(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), lr=0.01)
    trainer = quiet_trainer(tmp_path, monitor, stop, max_epochs=20)
    trainer.fit(module, loader(*rows(16)), loader(*rows(16, seed=1)))
    assert list(monitor.history) == list(range(1, 21)) and stop.best_score > 0


def test_a_checkpoint_from_before_the_first_estimate_holds_the_rows(tmp_path):
    class Keep(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 2:
                trainer.save_checkpoint(tmp_path / "early.ckpt")

    monitor, keep = DerivativeMonitor(**QUIET), Keep()
    module = Plain(nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1)), lr=0.05)
    trainer = quiet_trainer(tmp_path, monitor, keep, max_epochs=4)
    trainer.fit(module, loader(*rows(300)), loader(*rows(60, seed=1)))
    early = DerivativeEstimate.from_checkpoint(tmp_path / "early.ckpt", module)
    for mine, its in zip(early.errors(module, rows(60, seed=1)[0]), monitor.errors, strict=True):
        assert mine.rmse == pytest.approx(its["estimated_rmse"], rel=0.2)  # variances at other points
    assert len(early.training[0]) == 300 and len(early.held_out[0]) == 60


def test_a_forward_with_more_inputs_says_why_there_is_no_estimate(tmp_path):
    class Two(Plain):
        def forward(self, x, t):
            return self.network(torch.cat([x, t], 1))

        def training_step(self, batch, _):
            return (self(batch["x"], batch["t"]) - batch["y"]).square().mean()

        def validation_step(self, batch, _):
            self(batch["x"], batch["t"])

    x, y = rows(64)
    batches = DataLoader([{"x": a[:1], "t": a[1:], "y": b} for a, b in zip(x, y, strict=True)], batch_size=64)
    monitor = DerivativeMonitor(inputs="x", targets="y", **QUIET)
    module = Two(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), lr=0.01)
    quiet_trainer(tmp_path, monitor).fit(module, batches, batches)
    remark = monitor.estimation.summary()["remark"]
    assert "forward takes more than the inputs" in remark and "sobolev.DerivativeEstimate.fit" in remark


class ByName(Plain):
    def forward(self, x, t):
        return self.network(torch.cat([x, t], 1))

    def training_step(self, batch, _):
        return (self(batch["x"], batch["t"]) - batch["u"]).square().mean()

    def validation_step(self, batch, _):
        pass


@pytest.fixture
def by_name():
    x, y = rows(64)
    module = ByName(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), lr=0.01)
    return module, DataLoader([{"x": a[:1], "t": a[1:], "u": b} for a, b in zip(x, y, strict=True)], batch_size=64)


def test_entries_that_nobody_calls_targets_are_said(tmp_path, by_name):
    module, batches = by_name
    monitor = DerivativeMonitor(figure_every_n_epochs=None)
    with pytest.warns(UserWarning, match="targets='u'") as said:
        quiet_trainer(tmp_path, monitor).fit(module, batches, batches)
    assert sum("targets='u'" in str(warning.message) for warning in said) == 1
    assert "targets='u'" in monitor.estimation.summary()["remark"]
    named = DerivativeMonitor(targets="u", **QUIET)
    quiet_trainer(tmp_path, named).fit(module, batches, batches)
    assert named.errors[1]["estimated_rmse"] > 0


def test_a_reference_by_position_says_which_input_is_which(tmp_path, by_name):
    module, batches = by_name
    with pytest.warns(UserWarning, match="by position: a for x, b for t"):
        quiet_trainer(tmp_path, DerivativeMonitor(reference="a*b")).validate(module, batches, verbose=False)


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="choose 'auto', 'always' or 'never'"):
        DerivativeMonitor(estimate="sometimes")


def test_without_rows_nothing_is_made_up():
    estimation = Estimation("always", "auto")
    assert estimation.summary() is None and estimation.state() is None


def test_no_noise_is_told_of_values_that_are_hardly_learnt():
    learnt, little = torch.tensor([0.01, 0.2]), torch.tensor([0.01, 0.9])
    assert noise_text(torch.tensor([0.0, 1e-4]), little).startswith("noise: not known")
    assert noise_text(torch.tensor([0.05, 0.93]), learnt) == "noise: 5 %, 93 % of the standard deviation of the values"
    assert noise_text(torch.tensor([0.05, 0.93]), learnt, ["u", "v"]).startswith("noise: 5 % (u), 93 % (v) of the")
    assert noise_text(torch.zeros(2), learnt) == "noise: none is seen"


def test_an_evidence_regressor_of_somebody_elses_rows(tmp_path):
    """Without noise, which is said; and a picture gets what it draws."""
    monitor, module = DerivativeMonitor(**QUIET), EvidenceRegressor()
    x, points = rows(80)[0].double(), rows(20, seed=1)[0].double()
    trainer = quiet_trainer(tmp_path, monitor, max_epochs=9, num_sanity_val_steps=2)
    trainer.fit(module, loader(x, exact(x)[0]), loader(points, exact(points)[0]))
    summary = monitor.estimation.summary()
    assert summary["noise_text"] == "noise: none is seen" and summary["held_out"] == 20
    for entry, found, true in zip(monitor.errors, derivative_tensors(module, points, 2), exact(points), strict=True):
        error = float((found - true).detach().square().mean().sqrt())
        assert 0.2 * error < entry["estimated_rmse"] < 5 * error
    titles = [axes.get_title(loc="left") for axes in monitor.figure(trainer).axes]
    assert sum(title.startswith("estimated error") for title in titles) == 5


def test_values_without_an_axis_for_their_one_output_are_rows_as_well(tmp_path):
    x = torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
    found = []
    for y in (x.prod(1), x.prod(1, keepdim=True)):
        torch.manual_seed(0)
        monitor, rows = DerivativeMonitor(**QUIET), DataLoader(TensorDataset(x, y), batch_size=20)
        quiet_trainer(tmp_path, monitor, max_epochs=2).fit(Regressor(MLP(2, hidden=(8,))), rows, rows)
        found.append([error["estimated_rmse"] for error in monitor.errors])
    assert len(found[0]) == 3 and found[0] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.parametrize("when", ["auto", "always"])
def test_a_witness_for_each_of_many_outputs_is_made_on_request_only(tmp_path, when):
    x = torch.rand(40, 2)
    y = torch.stack([torch.sin(k * x[:, 0]) + x[:, 1] for k in range(33)], 1)
    monitor = DerivativeMonitor(order=1, estimate=when, on_finding="ignore")
    rows = DataLoader(TensorDataset(x, y), batch_size=20)
    quiet_trainer(tmp_path, monitor, max_epochs=1).fit(Plain(nn.Linear(2, 33)), rows, rows)
    assert ("estimated_rmse" in monitor.errors[1]) == (when == "always")
    assert ("33 outputs" in monitor.estimation.remark) == (when == "auto")
