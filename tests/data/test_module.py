import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sobolev import FunctionData, Regressor
from sobolev.optimizers import LBFGS, SelfScaledBFGS

SMALL = {
    "samples": 101,
    "batch_size": 10,
    "validation_samples": 33,
    "test_samples": 21,
    "evaluation_batch_size": 10,
}


class Seen(LightningModule):
    """Remembers the first column of every batch."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen = {"train": [], "val": [], "test": [], "predict": []}

    def step(self, stage, batch):
        self.seen[stage].append(batch[0][:, 0].clone())
        return (self.layer(batch[0]) / 50 - batch[1]).square().mean()

    def training_step(self, batch, _):
        return self.step("train", batch)

    def validation_step(self, batch, _):
        self.step("val", batch)

    def test_step(self, batch, _):
        self.step("test", batch)

    def predict_step(self, batch, _):
        return self.step("predict", batch)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


def trainer(tmp_path, epochs, **options):
    options = {"logger": False, "enable_checkpointing": False, "num_sanity_val_steps": 0, **options}
    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        yield


def test_every_stage_sees_every_point_once_per_epoch(tmp_path):
    model, data, run = Seen(), FunctionData(**SMALL), trainer(tmp_path, 2)
    run.fit(model, data)
    run.test(model, data, verbose=False)
    run.predict(model, data)
    epochs = torch.cat(model.seen["train"]).split(101)
    assert not torch.equal(*epochs)
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, data.training_inputs[:, 0].float().sort().values)
    assert torch.equal(torch.cat(model.seen["val"][:4]), data.validation_points[:, 0].float())
    assert torch.equal(torch.cat(model.seen["test"]), data.test_points[:, 0].float())
    assert torch.equal(torch.cat(model.seen["predict"]), data.test_points[:, 0].float())


@pytest.mark.parametrize(("precision", "dtype"), [("64-true", torch.float64), ("32-true", torch.float32)])
def test_batches_fit_the_precision(tmp_path, precision, dtype):
    model, data = Seen(), FunctionData(function="exp(x/50)", **SMALL)
    trainer(tmp_path, 1, precision=precision).fit(model, data)
    assert model.seen["train"][0].dtype == dtype
    points = torch.cat(model.seen["val"])
    assert torch.equal(points, data.validation_points[:, 0].to(dtype))


def test_overfitting_repeats_the_same_batches(tmp_path):
    model = Seen()
    trainer(tmp_path, 3, overfit_batches=2).fit(model, FunctionData(**SMALL))
    epochs = torch.cat(model.seen["train"]).split(20)
    assert len(epochs) == 3
    assert torch.equal(epochs[0], epochs[2])


def test_resumed_run_sees_what_the_whole_run_saw(tmp_path):
    whole, first, second = Seen(), Seen(), Seen()
    trainer(tmp_path, 4).fit(whole, FunctionData(**SMALL))
    second.load_state_dict(first.state_dict())
    keep = ModelCheckpoint(tmp_path, save_last=True)
    trainer(tmp_path, 2, callbacks=[keep], enable_checkpointing=True).fit(first, FunctionData(**SMALL))
    again = ModelCheckpoint(tmp_path, save_last=True)
    resumed = trainer(tmp_path, 4, callbacks=[again], enable_checkpointing=True)
    resumed.fit(second, FunctionData(**SMALL), ckpt_path=tmp_path / "last.ckpt")
    assert torch.equal(torch.cat(whole.seen["train"]), torch.cat(first.seen["train"] + second.seen["train"]))


SCRIPT = """
import sys, torch
from lightning.pytorch import Trainer
from test_module import SMALL, Seen, trainer
from sobolev import FunctionData, Regressor
from sobolev.optimizers import LBFGS, SelfScaledBFGS
if __name__ == "__main__":
    model, data = Seen(), FunctionData(**SMALL)
    run = trainer(sys.argv[1], 1, devices=2, strategy="ddp")
    run.fit(model, data)
    torch.save({"seen": model.seen, "all": data.training_inputs}, f"{sys.argv[1]}/{run.global_rank}.pt")
    torch.distributed.destroy_process_group()  # gloo's threads may abort an interpreter that ends without it
"""


def test_two_processes_share_every_point(tmp_path):
    (script := tmp_path / "ddp.py").write_text(SCRIPT)
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=120,
        capture_output=True,
    )
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for stage, rows in (("train", 101), ("val", 33)):
        seen = [part["seen"][stage] for part in parts]
        assert len(seen[0]) == len(seen[1])
        assert len(torch.cat(seen[0] + seen[1]).unique()) == sum(map(len, seen[0] + seen[1])) == rows


@pytest.mark.parametrize(
    ("optimizer", "asked", "rows"),
    [
        (torch.optim.Adam, None, [250, 50]),
        (torch.optim.Adam, 100, [100, 100, 100]),
        (SelfScaledBFGS, None, [300]),
        (LBFGS, None, [300]),
        (torch.optim.LBFGS, None, [300]),
        (LBFGS, 200, [200, 100]),
    ],
)
@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.filterwarnings("ignore:the training collapsed", "ignore:You passed in a `val_dataloader`")
def test_a_batch_is_what_the_optimiser_needs(tmp_path, ours, optimizer, asked, rows):
    class Mine(LightningModule):
        def __init__(self):
            super().__init__()
            self.network = torch.nn.Linear(1, 1)

        def training_step(self, batch, batch_idx):
            return (self.network(batch[0]) - batch[1]).square().mean()

        def configure_optimizers(self):
            return optimizer(self.parameters())

    data = FunctionData("x", (-1, 1), samples=300, validation_samples=5, test_samples=5, batch_size=asked)
    module = Regressor(torch.nn.Linear(1, 1), optimizer=optimizer) if ours else Mine()
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "max_epochs": 1}
    trainer = Trainer(accelerator="cpu", default_root_dir=tmp_path, limit_val_batches=0, **options)
    trainer.fit(module, data)
    assert [len(batch[0]) for batch in trainer.train_dataloader] == rows
    assert data.training_batch_size == rows[0]
