"""Checkpoints as files: those of before load, those that could run code do not."""

import pytest
import torch
from lightning.pytorch import Trainer

import sobolev
from sobolev import MLP, Regressor
from sobolev.training.checkpoint import read_checkpoint


def written(folder, **changes):
    """A checkpoint of a Regressor, as the command line writes its settings."""
    module = Regressor(MLP(hidden=(4,)))
    settings = {
        **module.hparams,
        "scheduler": {"class_path": "sobolev.schedules.CosineToZero", "init_args": {"steps": 1}},
    }
    contents = {
        "state_dict": module.state_dict(), "pytorch-lightning_version": "2.6.0", "hparams_name": "kwargs",
        "hyper_parameters": settings, **changes,
    }  # fmt: skip
    torch.save(contents, path := folder / "old.ckpt")
    return path, module


def test_class_paths_of_version_0_1_are_read_as_those_of_today(tmp_path):
    path, module = written(tmp_path)
    found = read_checkpoint(path)["hyper_parameters"]
    assert found["scheduler"]["class_path"] == "sobolev.training.schedules.CosineToZero"
    assert found["network"] == module.hparams["network"]
    loaded = Regressor.load_from_checkpoint(path)
    x = torch.rand(5, 1)
    assert torch.equal(loaded(x), module(x)) and not loaded.training


def test_one_class_loads_whichever_of_our_modules_a_checkpoint_holds(tmp_path):
    data = sobolev.TableData(_table(tmp_path), inputs=["p"], outputs=["q"])
    module, path = sobolev.EvidenceRegressor(), tmp_path / "few.ckpt"
    trainer = Trainer(
        default_root_dir=tmp_path, max_epochs=9, logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(module, data)
    trainer.save_checkpoint(path, weights_only=False)
    loaded = Regressor.load_from_checkpoint(path)
    x = torch.rand(5, 1, dtype=torch.float64)
    assert isinstance(loaded, sobolev.EvidenceRegressor) and not loaded.training
    assert torch.equal(loaded(x), module(x))
    assert loaded.trained_on is not None and loaded.trained_on["inputs"][0]["name"] == "p"


def _table(folder):
    rows = (f"{k / 20},{torch.tensor(k / 7.0).sin().item()}" for k in range(40))
    (folder / "pq.csv").write_text("\n".join(["p,q", *rows]))
    return folder / "pq.csv"


def test_a_file_that_could_run_code_or_is_damaged_is_refused(tmp_path):
    path, _ = written(tmp_path, callbacks={"harmful": Regressor})
    with pytest.raises(ValueError, match="can run code"):
        read_checkpoint(path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(path)
