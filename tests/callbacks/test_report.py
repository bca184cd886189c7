"""What is left at the end of a run: the file, the table, TensorBoard."""

import json
from pathlib import Path

import pytest
import torch
from cases import Plain, loader, quiet_trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sobolev import MLP, DerivativeMonitor, FunctionData, Regressor, Report

pytestmark = pytest.mark.filterwarnings("ignore:The number of training batches")


def small(function="x**2"):
    return FunctionData(function, samples=64, validation_samples=20, test_samples=30)


def written(folder, name="report.json"):
    return json.loads(next(Path(folder).rglob(name)).read_text())


def test_the_report_is_the_monitors(tmp_path, capsys):
    monitor = DerivativeMonitor()
    trainer = quiet_trainer(tmp_path, monitor, Report(), max_epochs=2)
    trainer.fit(Regressor(MLP(hidden=(4,))), datamodule=small())
    report, printed = written(tmp_path), capsys.readouterr().out
    assert report["function"] == "x**2" and report["points"] == 20
    assert report["derivatives"] == monitor.errors and [e["order"] for e in monitor.errors] == [0, 1, 2]
    assert report["seconds"]["fit"] > report["seconds"]["monitor"] > 0
    assert "relative L2" in printed and f"{monitor.errors[2]['rmse']:.3g}" in printed
    for name in ("report.json", "derivatives.png"):
        (path,) = tmp_path.rglob(name)
        assert str(path) in printed
    with Image.open(next(tmp_path.rglob("derivatives.png"))) as picture:
        assert min(picture.size) > 300


def test_a_second_run_of_the_same_trainer_is_written_beside_the_first(tmp_path):
    trainer, module = quiet_trainer(tmp_path, DerivativeMonitor(), Report()), Regressor(MLP(hidden=(4,)))
    trainer.fit(module, datamodule=small())
    first = written(tmp_path)
    trainer.validate(module, datamodule=small(), verbose=False)
    trainer.test(module, datamodule=small(), verbose=False)
    assert written(tmp_path) == first
    assert written(tmp_path, "report_1.json")["derivatives"] == first["derivatives"]
    assert written(tmp_path, "report_2.json")["points"] == 30
    assert not list(tmp_path.rglob("*.part"))


def test_what_json_has_no_number_for(tmp_path):
    """Targets of 0 have an infinite relative error; the file stays strict JSON."""
    x = torch.rand(8, 1)
    monitor = DerivativeMonitor(on_finding="ignore")
    quiet_trainer(tmp_path, monitor, Report()).validate(Plain(), loader(x, 0 * x), verbose=False)
    assert monitor.errors[0]["relative_l2"] == float("inf")
    report = json.loads(next(tmp_path.rglob("report.json")).read_text(), parse_constant=pytest.fail)
    assert report["derivatives"][0]["relative_l2"] is None and report["function"] is None
    assert report["derivatives"][1].keys() == {"order", "rms", "max", "at"}


def test_nothing_measured_nothing_written(tmp_path, capsys):
    x = torch.rand(8, 1)
    trainer = quiet_trainer(tmp_path, DerivativeMonitor(), Report(), check_val_every_n_epoch=9)
    trainer.fit(Plain(), loader(x, x), loader(x, x))
    assert not list(tmp_path.rglob("*.json")) and "order" not in capsys.readouterr().out


def test_tensorboard_has_the_settings_with_the_final_errors_and_the_findings(tmp_path):
    monitor = DerivativeMonitor(on_finding="warn")
    logger = TensorBoardLogger(tmp_path, default_hp_metric=False)
    trainer = quiet_trainer(tmp_path, monitor, Report(), logger=logger)
    with pytest.warns(UserWarning, match="piecewise linear"):
        trainer.fit(Regressor(MLP(hidden=(4,), activation="relu")), datamodule=small())
    events = EventAccumulator(trainer.log_dir)
    events.Reload()
    assert events.Scalars("final/d2_rmse")[-1].value == pytest.approx(monitor.errors[2]["rmse"])
    text = events.Tensors("audit/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert "piecewise-linear" in text and "ReLU" in text
    assert len(events.Images("derivatives")) == 1
    finding = next(f for f in written(tmp_path)["audit"] if f["kind"] == "piecewise-linear")
    assert finding["severity"] == "error" and "ReLU" in finding["where"]
