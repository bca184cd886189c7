"""What is left at the end of a run: the file, the table, TensorBoard."""

import json
from pathlib import Path

import pytest
import torch
from cases import Plain, loader, quiet_trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from sobolev import (
    MLP,
    DerivativeMonitor,
    EvidenceRegressor,
    FunctionData,
    Regressor,
    Report,
    ResidualData,
    ResidualRegressor,
    TableData,
)  # fmt: skip
from sobolev.optimizers import SelfScaledBFGS
from sobolev.report.settings import settings_of

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
    for name in ("report.json", "derivatives.png", "digits.png"):
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


def test_what_the_evidence_chose_is_told_after_training_and_after_a_test(tmp_path):
    data = FunctionData("3*x+x*z", samples=40, validation_samples=20, test_samples=30)
    trainer, module = quiet_trainer(tmp_path, DerivativeMonitor(), Report(), max_epochs=9), EvidenceRegressor()
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    model = written(tmp_path)["model"]
    assert model["rows"] == 40 and model["explained"] == pytest.approx(1)
    assert [family["name"] for family in model["families"]] == ["polynomials"]
    assert model["families"][0]["terms"] >= 4 and len(model["families"][0]["highest_degrees"]) == 2
    assert len(model["noise"]) == 1 and 0 <= model["noise"][0] < 1e-7 * data.training_targets.std().item()
    assert written(tmp_path, "report_1.json")["model"] == model


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
    assert events.Scalars("val/d2_relative_l2")[-1].value == pytest.approx(monitor.errors[2]["relative_l2"])
    assert {tag.partition("/")[0] for tag in events.Tags()["scalars"]} <= {"digits", "epoch", "train", "val"}
    plugin = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(plugin).session_start_info.hparams
    shown = {name: value.string_value or value.number_value for name, value in settings.items()}
    assert shown["data"] == "x**2" and shown["hidden"] == "4" and shown["activation"] == "ReLU"
    assert shown["learning_rate"] == 0.01 and shown["samples"] == 64 and shown["epochs"] == 1 and "noise" in shown
    text = events.Tensors("audit/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert "piecewise-linear" in text and "ReLU" in text
    assert len(events.Images("derivatives")) == 1
    finding = next(f for f in written(tmp_path)["audit"] if f["kind"] == "piecewise-linear")
    assert finding["severity"] == "error" and "ReLU" in finding["where"]


def test_settings_say_what_is_learnt_and_no_steps_that_are_not_taken(tmp_path):
    heat = ResidualData("d2u_dx2 = 1", ["u(0) = 0", "u(1) = 0"], {"x": (0, 1)}, samples=300, reference="x*(x - 1)/2")
    network = MLP(hidden=(4,), activation="tanh")
    found = _settings(tmp_path, heat, ResidualRegressor(network, optimizer=SelfScaledBFGS))
    assert found["data"] == "d2u_dx2 = 1" and found["batch_size"] == 300 and found["optimizer"] == "SelfScaledBFGS"
    assert "learning_rate" not in found
    found = _settings(tmp_path, small(), EvidenceRegressor())
    assert found["data"] == "x**2" and not {"batch_size", "epochs", "learning_rate", "optimizer"} & {*found}


def _settings(tmp_path, data, model):
    trainer = quiet_trainer(tmp_path)
    trainer.fit(model, datamodule=data)
    return settings_of(trainer, model)


NAMES = {"output_names": ["price"], "derivative_names": {"dprice/dx": "delta", "d2price/dx2": "gamma"}}


def test_named_derivatives_name_the_lines_of_the_table(tmp_path, capsys):
    """One input: an order is its one derivative. What is logged keeps its names."""
    data = FunctionData("x**3", samples=64, validation_samples=20, test_samples=30, **NAMES)
    trainer = quiet_trainer(tmp_path, DerivativeMonitor(), Report())
    trainer.fit(Regressor(MLP(hidden=(4,))), datamodule=data)
    report, printed = written(tmp_path), capsys.readouterr().out
    assert [entry["name"] for entry in report["named"]] == ["delta", "gamma"]
    for entry, order in zip(report["named"], report["derivatives"][1:], strict=True):
        assert {**order, "name": entry["name"]} == entry
    rows = [line.split("│")[1].strip() for line in printed.splitlines() if line.startswith("│")]
    assert rows == ["0", "1 delta", "2 gamma"]
    assert {"val/d1_rmse", "val/d2_max"} <= trainer.logged_metrics.keys()
    assert not any("delta" in name for name in trainer.logged_metrics)


def test_with_several_inputs_named_derivatives_have_lines_of_their_own(tmp_path, capsys):
    data = FunctionData(
        "s*v", domain={"s": (0, 1), "v": (1, 2)}, samples=64, validation_samples=20, test_samples=30,
        derivative_names={"d2y/dvds": "vanna"},
    )  # fmt: skip
    quiet_trainer(tmp_path, DerivativeMonitor(), Report()).fit(Regressor(MLP(2, hidden=(4,))), datamodule=data)
    report, printed = written(tmp_path), capsys.readouterr().out
    (vanna,) = report["named"]
    rows = [line.split("│") for line in printed.splitlines() if line.startswith("│")]
    assert [row[1].strip() for row in rows] == ["0", "1", "2", "2 vanna"]
    assert rows[-1][2].strip() == f"{vanna['rmse']:.3g}"


def test_a_long_point_is_cut_in_the_table_alone(tmp_path, capsys):
    names = "abcdgh"
    data = FunctionData("+".join(names), domain=(1.0, 2.0), samples=64, validation_samples=20, test_samples=30)
    quiet_trainer(tmp_path, DerivativeMonitor(1), Report()).fit(Regressor(MLP(6, hidden=(4,))), datamodule=data)
    assert all(len(entry["at"]) == 6 for entry in written(tmp_path)["derivatives"])
    rows = [line.split("│")[5] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert rows and all(row.count(",") == 4 and "…" in row for row in rows)


def test_without_a_truth_each_derivative_has_its_name_its_error_and_its_share_of_the_scatter(tmp_path, capsys):
    x = torch.rand(80, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1e3])
    y = 3 * x[:, 0] + x[:, 1] / 1e3
    rows = [f"{a!r},{b!r},{c!r}" for (a, b), c in zip(x.tolist(), y.tolist(), strict=True)]
    (tmp_path / "rig.csv").write_text("\n".join(["temp,pressure,load", *rows]))
    data = TableData(str(tmp_path / "rig.csv"), ["temp", "pressure"], ["load"])
    trainer = quiet_trainer(tmp_path, DerivativeMonitor(), Report(), max_epochs=5)
    trainer.fit(EvidenceRegressor(), datamodule=data)
    report, printed = written(tmp_path), capsys.readouterr().out
    named = {entry["name"]: entry for entry in report["named"]}
    second = ["d2load/dtemp2", "d2load/dtempdpressure", "d2load/dpressure2"]
    assert list(named) == ["dload/dtemp", "dload/dpressure", *second]
    slope, training = named["dload/dtemp"], data.training
    assert slope["rms"] == pytest.approx(3, rel=1e-3) and slope["estimated_rmse"] < 0.1
    share = 3 * float(training.inputs[:, 0].std() / training.targets.std())
    assert slope["of_scatter"] == pytest.approx(share, rel=1e-3)
    assert "without a truth, each in its own unit" in printed and "dload/dpressure" in printed


def test_an_equation_that_is_not_obeyed_is_said(tmp_path, capsys):
    data = ResidualData("du_dx = u", ["u(0) = 1"], {"x": (0, 2)}, samples=20, validation_samples=20, test_samples=5)
    trainer = quiet_trainer(tmp_path, DerivativeMonitor(), Report(), max_epochs=2)
    trainer.fit(ResidualRegressor(MLP(hidden=(4,), activation="tanh")), datamodule=data)
    assert len(written(tmp_path)["digits"]["epochs"]) == 2 and not list(tmp_path.rglob("digits.png"))  # none is known
    equation, condition = written(tmp_path)["equations"]
    assert equation["statement"] == "du_dx = u" and condition["statement"] == "u(0) = 1"
    assert max(equation["share"], condition["share"]) > 1e-2 and equation["max"] >= equation["rms"] > 0
    printed = capsys.readouterr().out
    assert "du_dx = u: off by " in printed and "% is large, and the solution may be far off" in printed
    assert "no error is estimated" not in printed


def test_units_stand_behind_the_derivatives(tmp_path, capsys):
    data = small("x**2")
    data.units = {"x": "s", "y": "m"}
    trainer = quiet_trainer(tmp_path, DerivativeMonitor(), Report(), max_epochs=1)
    trainer.fit(Regressor(MLP(hidden=(4,))), datamodule=data)
    out = capsys.readouterr().out
    assert all(f"{order} [{unit}]" in out for order, unit in enumerate(("m", "m/s", "m/s²")))
    assert [entry["unit"] for entry in written(tmp_path)["derivatives"]] == ["m", "m/s", "m/s²"]


def test_every_derivative_is_a_line_with_its_unit_at_80_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
    rows = [f"{a},{b},{a * b}" for a, b in x.tolist()]
    (tmp_path / "rig.csv").write_text("\n".join(["a_long_temperature,pressure,density", "K,,kg/m3", *rows]))
    data = TableData(tmp_path / "rig.csv", units={"pressure": "MPa"})
    trainer = quiet_trainer(tmp_path, DerivativeMonitor(), Report(), max_epochs=1)
    trainer.fit(EvidenceRegressor(), datamodule=data)
    printed = capsys.readouterr().out
    lines = printed.partition("each in its own unit")[2].splitlines()
    rows = [line.split() for line in lines if line.startswith(("dd", "d2d"))]
    assert ["d2density/da_long_temperaturedpressure", "(kg/m3)/(K·MPa)"] in [row[:2] for row in rows]
    assert len(rows) == 5 and all(len(row) >= 4 for row in rows)  # a line each, with size and error
    assert max(map(len, (line for line in lines if line.startswith(("d", "─"))))) <= 80
    named = {entry["name"]: entry["unit"] for entry in written(tmp_path)["named"]}
    assert named["ddensity/dpressure"] == "(kg/m3)/MPa" and named["d2density/dpressure2"] == "(kg/m3)/MPa²"
