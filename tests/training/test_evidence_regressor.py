"""EvidenceRegressor in Lightning: own data, checkpoints, resume, what is logged and said."""

import os
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from cases import environment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

import sobolev


def trainer(folder, **arguments):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return Trainer(default_root_dir=folder, **{**quiet, "max_epochs": 20, **arguments})


def fit(fitted, module, data, **options):
    """With the same rows for validation."""
    fitted.fit(module, DataLoader(data, 16, shuffle=True), DataLoader(data, 40), **options)
    return module


def rows(count=80, outputs=1):
    x = torch.rand(count, 2, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, torch.cat([x[:, :1] * x[:, 1:] + 1, x.sum(1, keepdim=True).square()], 1)[:, :outputs])


@pytest.mark.parametrize("outputs", [1, 2])
def test_somebodys_own_loader_in_float32(tmp_path, outputs):
    module, data = sobolev.EvidenceRegressor(), rows(outputs=outputs)
    fitted = trainer(tmp_path, enable_checkpointing=False)
    fit(fitted, module, data)
    x, y = data.tensors
    assert (module(x.double()) - y).abs().max() < 1e-6  # the labels are rounded to float32
    assert fitted.callback_metrics["val/loss"] < 1e-12
    assert {"train/evidence", "train/noise"} <= fitted.callback_metrics.keys()
    assert fitted.current_epoch < 20
    hessian = sobolev.hessian(module, x.double())[2][:, 0]
    torch.testing.assert_close(
        hessian, torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double().expand_as(hessian), atol=1e-3, rtol=0
    )


def test_the_order_of_the_rows_and_a_single_epoch_change_nothing(tmp_path):
    found = []
    for seed, epochs in ((1, 20), (2, 1)):
        torch.manual_seed(seed)
        module = sobolev.EvidenceRegressor()
        fit(trainer(tmp_path, max_epochs=epochs, enable_checkpointing=False), module, rows())
        found.append(module(rows().tensors[0].double()))
    assert torch.equal(*found)


def test_a_checkpoint_brings_the_network_back_and_a_finished_training_ends_at_once(tmp_path):
    first, path = trainer(tmp_path, enable_checkpointing=False), tmp_path / "kept.ckpt"
    module = fit(first, sobolev.EvidenceRegressor(), rows())
    first.save_checkpoint(path, weights_only=False)
    x = rows().tensors[0].double()
    again = sobolev.EvidenceRegressor.load_from_checkpoint(path, weights_only=True)
    assert torch.equal(again(x), module(x))
    assert again.chosen == module.chosen != {}
    second = trainer(tmp_path, enable_checkpointing=False)
    resumed = fit(second, sobolev.EvidenceRegressor(), rows(), ckpt_path=path, weights_only=True)
    assert torch.equal(resumed(x), module(x))
    assert second.global_step == first.global_step + 1


class Stop(Callback):
    """Ends the training at an epoch, as Ctrl-C or a limit of time does."""

    def __init__(self, epoch, raised=None):
        self.epoch, self.raised = epoch, raised

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch == self.epoch
        if trainer.should_stop and self.raised:
            raise self.raised


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("raised", [None, KeyboardInterrupt()])
def test_a_search_that_was_interrupted_ends_where_it_would_have_ended(tmp_path, raised):
    data = rows()
    whole = fit(trainer(tmp_path, enable_checkpointing=False), sobolev.EvidenceRegressor(), data)
    kept = {"dirpath": tmp_path, "save_last": True}
    first = trainer(tmp_path, callbacks=[Stop(1, raised), ModelCheckpoint(**kept)])
    with pytest.raises(SystemExit) if raised else nullcontext():
        fit(first, sobolev.EvidenceRegressor(), data)
    assert first.current_epoch < 3
    resumed = sobolev.EvidenceRegressor()
    fit(
        trainer(tmp_path, callbacks=[ModelCheckpoint(**kept)]),
        resumed,
        data,
        ckpt_path=tmp_path / "last.ckpt",
        weights_only=True,
    )
    x = data.tensors[0].double()
    assert torch.equal(resumed(x), whole(x))
    assert resumed.chosen == whole.chosen


def test_noise_is_told_in_the_units_of_the_output(tmp_path):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, 2, generator=generator)
    y = 100 * (torch.sin(2 * x[:, :1]) + x[:, 1:]) + 5 * torch.randn(200, 1, generator=generator)
    module = fit(trainer(tmp_path, enable_checkpointing=False), sobolev.EvidenceRegressor(), TensorDataset(x, y))
    assert 4 < module.chosen["noise"][0] < 6.2
    assert 1 - 1.8 * 25 / float(y.var()) < module.chosen["explained"] < 1
    assert sum(family["share"] for family in module.chosen["families"]) == pytest.approx(1)


def test_what_cannot_be_learnt_is_said(tmp_path):
    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
    noise = TensorDataset(x, torch.randn(60, 1, generator=torch.Generator().manual_seed(1)))
    with pytest.warns(UserWarning, match=r"explains \d+% of the variance"):
        fit(trainer(tmp_path, enable_checkpointing=False), sobolev.EvidenceRegressor(), noise)


def test_too_few_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="3 training rows"):
        fit(trainer(tmp_path), sobolev.EvidenceRegressor(), rows(3))


def test_families_degrees_and_centres_can_be_fixed(tmp_path):
    options = {"families": ["polynomials"], "highest_degree": 3}
    module = fit(trainer(tmp_path, enable_checkpointing=False), sobolev.EvidenceRegressor(**options), rows())
    assert [family["name"] for family in module.chosen["families"]] == ["polynomials"]
    assert max(module.chosen["families"][0]["highest_degrees"]) <= 3
    options = {"families": ["kernel"], "centres": 30}
    module = fit(trainer(tmp_path, enable_checkpointing=False), sobolev.EvidenceRegressor(**options), rows())
    assert [(family["name"], family["centres"]) for family in module.chosen["families"]] == [("kernel", 30)]
    assert dict(module.hparams) | options == dict(module.hparams)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"families": ["splines"]}, "some of waves, polynomials, kernel, deep kernel"),
        ({"families": []}, "some of waves, polynomials"),
        ({"families": "kernel"}, "some of waves, polynomials"),
        ({"centres": 1}, "centres"),
        ({"highest_degree": 0}, "highest_degree"),
    ],
)
def test_choices_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        sobolev.EvidenceRegressor(**options)


def test_labels_of_derivatives_of_somebodys_own_loader(tmp_path):
    function = sobolev.Function("sin(3*x)*exp(y)")
    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, slopes = function.tensors(x, 1)
    points = torch.rand(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    errors = []
    for order in (None, 0):
        module = sobolev.EvidenceRegressor(derivative_order=order)
        fit(trainer(tmp_path, enable_checkpointing=False), module, TensorDataset(x, y, slopes))
        errors.append((sobolev.jacobian(module, points)[1] - function.jacobian(points)[1]).norm().item())
    assert errors[0] < 0.1 * errors[1]
    assert module.chosen.keys() == {"families", "noise", "explained", "rows"}


def test_what_is_no_label_is_refused(tmp_path):
    x, y = rows().tensors
    with pytest.raises(ValueError, match=r"item 3 of a batch has shape \(80, 3\)"):
        fit(trainer(tmp_path), sobolev.EvidenceRegressor(), TensorDataset(x, y, torch.zeros(80, 3)))
    nothing = torch.cat([y, torch.full_like(y, torch.nan)], 1)
    with pytest.raises(ValueError, match="output 2 has no label"):
        fit(trainer(tmp_path), sobolev.EvidenceRegressor(), TensorDataset(x, nothing))


TWO = """
import sys, torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset
import sobolev

devices = int(sys.argv[1])
x = torch.rand(81, 2, generator=torch.Generator().manual_seed(0))
data = TensorDataset(x, torch.sin(3 * x[:, :1]) * x[:, 1:])
module = sobolev.EvidenceRegressor()
strategy = {"strategy": "ddp", "devices": devices} if devices > 1 else {"devices": 1}
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = Trainer(max_epochs=20, accelerator="cpu", **quiet, **strategy)
trainer.fit(module, DataLoader(data, 16, shuffle=True), DataLoader(data, 40))
torch.save({"weights": module.state_dict(), "rows": module.chosen["rows"]}, f"{devices}-{trainer.global_rank}.pt")
if devices > 1:
    torch.distributed.destroy_process_group()  # gloo's threads may abort an interpreter that ends without it
"""


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over localhost is not set up everywhere on Windows")
def test_two_processes_find_what_one_finds(tmp_path):
    """Of an odd number of rows, one of which a distributed sampler repeats."""
    (tmp_path / "two.py").write_text(TWO)
    for devices in (1, 2):
        done = subprocess.run(
            [sys.executable, "two.py", str(devices)], cwd=tmp_path, capture_output=True, text=True, timeout=300,
            env=environment(PYTHONPATH=os.environ.get("PYTHONPATH", "")),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    one, first, second = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("1-0", "2-0", "2-1"))
    assert one["rows"] == first["rows"] == 81
    for name, value in one["weights"].items():
        assert torch.equal(first["weights"][name], value) and torch.equal(second["weights"][name], value)
