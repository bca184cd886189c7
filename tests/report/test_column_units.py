"""Units of the columns of predictions."""

import json

import pytest

from sobolev.cli.command_line import main
from sobolev.report.column_units import column_units, known_units, write_units


def test_derivatives_have_the_units_that_follow():
    units = {"T": "K", "p": "kPa", "rho": "kg/m3"}
    found = column_units(["T", "p"], ["rho"], units, {"drho/dp": "compressibility"})
    assert found == {
        "T": "K", "p": "kPa", "rho": "kg/m3", "drho/dT": "(kg/m3)/K", "compressibility": "(kg/m3)/kPa",
        "d2rho/dT2": "(kg/m3)/K²", "d2rho/dTdp": "(kg/m3)/(K·kPa)", "d2rho/dp2": "(kg/m3)/kPa²",
    }  # fmt: skip


def test_what_is_not_known_is_left_out(tmp_path):
    assert column_units(["T", "p"], ["rho"], {"T": "K", "rho": "kg"}, order=1) == {
        "T": "K",
        "rho": "kg",
        "drho/dT": "kg/K",
    }
    assert write_units(tmp_path / "predictions.csv", {}, ["T"]) is None
    assert not list(tmp_path.iterdir())


def test_the_data_module_knows_better_than_the_checkpoint():
    trained = {"inputs": [{"name": "t", "unit": "min"}, {"name": "x", "unit": ""}], "outputs": []}
    assert known_units(None, trained) == {"t": "min"}
    assert known_units(type("Data", (), {"units": {"t": "s"}}), trained) == {"t": "s"}


@pytest.mark.parametrize("points", ["{T: [1, 2, 3]}", "grid.csv"])
def test_a_row_of_units_comes_back_beside_the_predictions(tmp_path, monkeypatch, points):
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{i / 10},{i * i / 100}" for i in range(40))
    (tmp_path / "mine.csv").write_text(f"T,y\nK,bar\n{rows}\n")
    (tmp_path / "grid.csv").write_text("T\n1.0\n2.0\n")
    main(["fit", "--data", "TableData", "--data.path", "mine.csv", "--report", "false", "--monitor", "false"])
    last = next(tmp_path.glob("logs/mine/version_0/checkpoints/last.ckpt"))
    main(["predict", "--ckpt_path", str(last), "--data.predict_points", points])
    (beside,) = tmp_path.glob("logs/**/predictions.units.json")
    found = json.loads(beside.read_text(encoding="utf-8"))
    assert (found["T"], found["y"], found["dy/dT"], found["d2y/dT2"]) == ("K", "bar", "bar/K", "bar/K²")
    header = beside.with_name("predictions.csv").read_text().splitlines()[0]
    assert set(found) <= set(header.split(","))
