"""`sobolev export`: of a checkpoint with the names, units and ranges of its data, and of somebody else's model."""

import json
import sys

import onnx
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from sobolev.cli.command_line import main
from sobolev.data import FunctionData
from sobolev.networks import MLP
from sobolev.training.regressor import Regressor

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own


@pytest.fixture
def exported(tmp_path, monkeypatch, capsys):
    """`sobolev export` in a folder of its own: what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sobolev"])
    monkeypatch.delenv("SOBOLEV_TRACEBACK", raising=False)

    def call(*words):
        main(["export", *map(str, words)])
        return capsys.readouterr().out

    return call


@pytest.fixture
def checkpoint(tmp_path):
    from lightning.pytorch import Trainer

    data = FunctionData("a**2*sin(b)", domain={"a": (1.0, 3.0), "b": (-2.0, 2.0)}, samples=64)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[ModelCheckpoint(tmp_path, "last")],
    )  # fmt: skip
    trainer.fit(Regressor(MLP(2, 1, (8,))), data)
    return tmp_path / "last.ckpt"


def test_a_checkpoint_brings_its_names_and_ranges(exported, checkpoint):
    said = exported("--ckpt_path", checkpoint, "--output", "model.onnx")
    file = onnx.load("model.onnx")
    assert [entry.name for entry in file.graph.input] == ["a", "b"]
    assert [entry.name for entry in file.graph.output][1:] == ["dy/da", "dy/db", "d2y/da2", "d2y/dadb", "d2y/db2"]
    about = {entry.key: entry.value for entry in file.metadata_props}
    first, second = json.loads(about["sobolev.inputs"])
    assert 1 <= first["minimum"] < first["maximum"] <= 3
    assert -2 <= second["minimum"] < second["maximum"] <= 2
    assert "d2y/dadb" in said


def test_somebody_elses_model(exported, tmp_path):
    (tmp_path / "of_a_script.py").write_text("import torch\n\ndef f(x):\n    return torch.sin(x) * x\n")
    said = exported("of_a_script.py:f", "--inputs", "-3:3", "--output", "m.pt2", "--order", "3", "--float64")
    x = torch.tensor([[2.0]], dtype=torch.float64)
    *_, third = torch.export.load("m.pt2").module()(x)
    torch.testing.assert_close(third, -3 * torch.sin(x) - x * torch.cos(x))
    assert "d3y/dx3" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--output", "m.onnx"), "--ckpt_path is missing"), (("m:f", "--output", "m.onnx"), "--inputs is missing")],
)
def test_what_is_missing_is_said(words, message, exported, capsys):
    with pytest.raises(SystemExit) as done:
        exported(*words)
    assert done.value.code == 2
    assert message in capsys.readouterr().err
