"""What checkpoints say about the data: names, units, ranges, and how to make them again."""

import math
from pathlib import Path

import lightning
import pytest
import torch

import sobolev
from sobolev.data.description import check_same, description_in, plain, variables


def test_variables_have_names_units_and_ranges():
    values = torch.tensor([[1.0, math.nan], [3.0, -2.0]], dtype=torch.float64)
    assert variables(["x", "y"], {"x": "K"}, values) == [
        {"name": "x", "unit": "K", "range": [1.0, 3.0]},
        {"name": "y", "unit": "", "range": [-2.0, -2.0]},
    ]
    assert variables(["x"], {}, values[:, 1:] * math.nan)[0]["range"] is None
    assert variables(["x"], {}, None)[0]["range"] is None


def test_plain_types():
    assert plain({"a": (1, [2.0, None]), 1: True}) == {"a": [1, [2.0, None]], "1": True}
    assert Path(plain(Path("a"))).is_absolute()
    with pytest.raises(TypeError, match="function has no plain form"):
        plain({"a": plain})


def test_another_order_is_refused_and_other_names_are_said():
    trained = {"inputs": variables(["x", "z"], {}, None), "outputs": variables(["y"], {}, None)}
    assert check_same(trained, ("x", "z"), ("y",)) is None
    with pytest.raises(
        ValueError, match=r"inputs x, z, in this order, but the data have z, x: .*--data.inputs '\[x, z"
    ):
        check_same(trained, ["z", "x"], ["y"])
    assert check_same(trained, ["a", "b"], ["y"]) == (
        "the network was trained with the inputs x, z; a, b are taken for them"
    )


def trained(data, path):
    network = sobolev.Regressor(sobolev.MLP(len(data.input_names), hidden=[4]))
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(network, datamodule=data)
    trainer.save_checkpoint(path)
    return trainer


def test_a_checkpoint_tells_a_notebook_what_it_was_trained_on(tmp_path):
    rows = "\n".join(f"{i};{i % 7},5;{i * i}" for i in range(40))
    (tmp_path / "t.csv").write_text(f"x;z;y\nK;Pa;-\n{rows}\n")
    data = sobolev.TableData(tmp_path / "t.csv", ["x", "z"], ["y"])
    trained(data, tmp_path / "a.ckpt")
    found = sobolev.Regressor.load_from_checkpoint(tmp_path / "a.ckpt").trained_on
    assert found is not None and found == description_in(torch.load(tmp_path / "a.ckpt", weights_only=True))
    assert [(v["name"], v["unit"]) for v in found["inputs"] + found["outputs"]] == [("x", "K"), ("z", "Pa"), ("y", "-")]
    low, high = found["inputs"][0]["range"]
    assert (low, high) == (data.training_inputs[:, 0].min(), data.training_inputs[:, 0].max())
    assert found["init_args"]["path"] == str(tmp_path / "t.csv")
    again = sobolev.TableData(**found["init_args"])
    again.setup()
    assert torch.equal(again.training.inputs, data.training.inputs)


def test_a_function_of_python_is_not_stored_but_its_names_are(tmp_path):
    data = sobolev.FunctionData(torch.sin, (0, 1), samples=20, validation_samples=8, test_samples=8)
    trained(data, tmp_path / "a.ckpt")
    found = sobolev.Regressor.load_from_checkpoint(tmp_path / "a.ckpt").trained_on
    assert found is not None and "class_path" not in found and found["inputs"][0]["name"] == "x"


def test_a_trainer_refuses_inputs_in_another_order(tmp_path):
    rows = "\n".join(f"{i},{i % 7},{i * i}" for i in range(40))
    (tmp_path / "t.csv").write_text(f"x,z,y\n{rows}\n")
    trainer = trained(sobolev.TableData(tmp_path / "t.csv", ["x", "z"], ["y"]), tmp_path / "a.ckpt")
    other = sobolev.TableData(tmp_path / "t.csv", ["z", "x"], ["y"])
    with pytest.raises(ValueError, match="inputs x, z, in this order"):
        trainer.validate(sobolev.Regressor(sobolev.MLP(2, hidden=[4])), other, ckpt_path=tmp_path / "a.ckpt")


def test_points_to_predict_at_need_no_table(tmp_path):
    (tmp_path / "points.csv").write_text("z,x\n1,2\n")
    data = sobolev.TableData("gone.csv", ["x", "z"], ["y"], predict_points=str(tmp_path / "points.csv"))
    data.setup("predict")
    assert [batch[0].tolist() for batch in data.predict_dataloader()] == [[[2.0, 1.0]]]
