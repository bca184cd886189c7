"""A forward that keeps a state with a row for each sample takes no other number of rows."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sobolev import DerivativeMonitor


class Plain(LightningModule):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).double()

    def forward(self, x):
        return self.network(x)

    def training_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self(batch[0])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Keeping(Plain):
    """Its values are those of the other."""

    kept = None

    def forward(self, x):
        y = super().forward(x)
        if self.kept is not None and self.kept.shape != y.shape:
            raise RuntimeError(f"Expected hidden size {tuple(y.shape)}, got {tuple(self.kept.shape)}")
        self.kept = y.detach() if isinstance(y, torch.Tensor) else self.kept
        return y


def fit(kind, *callbacks):
    seed_everything(1, verbose=False)
    x = torch.rand(64, 2, dtype=torch.float64)
    loader = DataLoader(TensorDataset(x, x.prod(1, keepdim=True)), batch_size=8)
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[*callbacks],
    )  # fmt: skip
    trainer.fit(module := kind(), loader, loader)
    return module


def test_whole_batches_are_measured_and_the_training_goes_on_as_without():
    kept, plain = (DerivativeMonitor(reference="a*b", on_finding="raise", max_points=64) for _ in range(2))
    kept.on_finding = "ignore"
    module = fit(Keeping, kept)
    assert all(map(torch.equal, module.parameters(), fit(Keeping).parameters()))
    fit(Plain, plain)
    for found, expected in zip(kept.errors, plain.errors, strict=True):
        assert [found[k] for k in ("rmse", "max")] == pytest.approx([expected[k] for k in ("rmse", "max")], rel=1e-9)
    assert kept.points == plain.points == 64


class OwnTrainer(Trainer):
    """A trainer of somebody's own, as PINA's, to which the module leads."""


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_a_trainer_of_somebodys_own_takes_nothing_from_the_monitor():
    x = torch.rand(64, 2, dtype=torch.float64)
    loader, found = DataLoader(TensorDataset(x, x.prod(1, keepdim=True)), batch_size=8), []
    for kind in (Trainer, OwnTrainer):
        torch.manual_seed(2)
        monitor = DerivativeMonitor(points={"a": [0, 1, 4], "b": [0, 1, 4]}, on_finding="raise")
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        kind(max_epochs=1, accelerator="cpu", logger=False, callbacks=[monitor], **quiet).fit(Plain(), loader)
        found.append([entry["rms"] for entry in monitor.errors])
    assert found[0] == found[1] and len(found[0]) == 3


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_a_training_batch_without_the_inputs_is_said_where_nothing_else_comes():
    loader = DataLoader(TensorDataset(torch.rand(8, 2, dtype=torch.float64)), batch_size=8)
    monitor = DerivativeMonitor(inputs=["a", "b"], points={"a": [0, 1, 4], "b": [0, 1, 4]}, on_finding="raise")
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}

    class Alone(Plain):
        def training_step(self, batch, batch_idx):
            return self(batch[0]).square().mean()

    with pytest.raises(ValueError, match="has no entry 'a'"):
        Trainer(max_epochs=1, accelerator="cpu", logger=False, callbacks=[monitor], **quiet).fit(Alone(), loader)
