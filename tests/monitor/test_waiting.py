"""Callbacks and schedules that ask for a value before there is one."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping

from sobolev import MLP, DerivativeMonitor, FunctionData, Regressor


class Plateau(Regressor):
    """Its schedule follows a value of the monitor."""

    frequency = 1

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters())
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        settings = {"scheduler": scheduler, "monitor": "val/d2_rmse", "frequency": self.frequency}
        return {"optimizer": optimizer, "lr_scheduler": settings}


def fit(module, *callbacks, every=2):
    trainer = Trainer(
        max_epochs=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, check_val_every_n_epoch=every,
        callbacks=[DerivativeMonitor(on_finding="ignore"), *callbacks],
    )  # fmt: skip
    trainer.fit(module, FunctionData("x**2", domain=(-1, 1), samples=40, validation_samples=20))
    return trainer


def test_a_schedule_that_asks_between_two_validations_is_told_what_to_set():
    with pytest.raises(ValueError, match=r'asks for val/d2_rmse every 1 epoch.* every 2 .*set "frequency": 2 beside'):
        fit(Plateau(MLP(hidden=(4,))))


def test_as_often_as_there_is_a_validation_it_may_ask():
    module = Plateau(MLP(hidden=(4,)))
    assert fit(module, every=1).lr_scheduler_configs[0].scheduler.last_epoch == 4
    module.frequency = 2
    assert fit(module).lr_scheduler_configs[0].scheduler.last_epoch == 2


def test_a_callback_that_asks_too_early_is_told_so():
    with pytest.raises(
        ValueError, match=r"EarlyStopping asks for val/d2_rmse at the end of each epoch, .*leave check_on"
    ):
        fit(Regressor(MLP(hidden=(4,))), EarlyStopping("val/d2_rmse", check_on_train_epoch_end=True))
    assert fit(Regressor(MLP(hidden=(4,))), EarlyStopping("val/d2_rmse")).current_epoch == 4
