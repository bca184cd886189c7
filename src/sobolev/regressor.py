"""The LightningModule: a network that learns a function from its values."""

from collections.abc import Iterable
from os import PathLike, fspath
from pickle import UnpicklingError
from typing import Any, Literal, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau
from typing_extensions import override

from sobolev.losses import scaled_squared_error
from sobolev.networks import MLP, Standardized

Batch = tuple[Tensor, ...] | list[Tensor]
"""Inputs (batch, inputs), targets (batch, outputs), then derivative labels where the data have them."""


class CosineToZero(CosineAnnealingLR):
    """The learning rate falls along half a cosine to 0 over the whole training, however long it is.

    `Regressor` sets the number of steps once the trainer knows it (Loshchilov & Hutter, SGDR, 2017, eq. 5).

    Args:
        optimizer: whose learning rate it sets.
        steps: number of optimiser steps until 0.
    """

    def __init__(self, optimizer: Optimizer, steps: int = 1) -> None:
        super().__init__(optimizer, T_max=steps)


class Regressor(LightningModule):
    """Fits a network to values of a function.

    Args:
        network: maps (batch, inputs) to (batch, outputs).
        standardize: wrap the network in `Standardized`, with means and scales taken from the training data before
            the first step, so that values and derivatives are in the user's units.
        optimizer: makes the optimiser from the parameters; Adam with a learning rate of 0.01 if left out.
        scheduler: makes the learning rate scheduler from the optimiser; a cosine to 0 if left out.
        scheduler_interval: when the scheduler steps. A `ReduceLROnPlateau` always follows `val/loss` by epochs.
    """

    def __init__(
        self,
        network: nn.Module,
        standardize: bool = True,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["step", "epoch"] = "step",
    ) -> None:
        super().__init__()
        if _given_hyperparameters.get() is None:
            self.save_hyperparameters(_plain(network, standardize), logger=False)
        else:  # made by the command line, which stores its own configuration
            self.save_hyperparameters(logger=False)
        self.network = Standardized(network) if standardize else network
        self.optimizer = optimizer or _adam
        self.scheduler = scheduler or CosineToZero
        self.scheduler_interval = scheduler_interval

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        if (
            name == "_current_fx_name"
        ):  # Lightning sets it fifty times a step; torch would look whether it is a parameter
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs), in the units of the data."""
        return self.network(x)

    @override
    def on_fit_start(self) -> None:
        data: Any = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "training_inputs"):
            self._standardize([(data.training_inputs, data.training_targets)])

    @override
    def on_train_start(self) -> None:
        self._standardize(self.trainer.train_dataloader)

    @override
    def on_validation_start(self) -> None:
        if self.trainer.sanity_checking:  # before the start of the training
            self.trainer.fit_loop.setup_data()
            self._standardize(self.trainer.train_dataloader)

    def _standardize(self, batches: Iterable[Batch] | None) -> None:
        """Take means and scales from the training data, unless a checkpoint brought them."""
        waiting = [m for m in self.modules() if isinstance(m, Standardized) and not m.fitted]
        if not waiting or batches is None:
            return
        columns = zip(*((batch[0], batch[1]) for batch in batches), strict=True)
        inputs, targets = (torch.cat(column) for column in columns)
        for module in waiting:
            module.fit(inputs, targets)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Weights that were saved in float64 are loaded in float64."""
        saved = checkpoint["state_dict"]
        if {saved[name].dtype for name, _ in self.named_parameters() if name in saved} == {torch.float64}:
            self.double()

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self._loss(batch)
        every: int = self.trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]
        if every and (self.trainer.global_step + 1) % every == 0:  # a log call costs as much as a layer
            self.log("train/loss", loss, batch_size=len(batch[0]))
        return loss

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val/loss", self._loss(batch), sync_dist=True, batch_size=len(batch[0]))

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("test/loss", self._loss(batch), sync_dist=True, batch_size=len(batch[0]))

    @override
    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:
        """The outputs at the inputs of the batch, (batch, outputs)."""
        return self(batch if isinstance(batch, Tensor) else batch[0])

    @override
    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.parameters())
        scheduler = self.scheduler(optimizer)
        if isinstance(scheduler, CosineToZero):
            scheduler.T_max = int(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": self._schedule(scheduler)}

    def _schedule(self, scheduler: LRScheduler | ReduceLROnPlateau) -> dict[str, Any]:
        if isinstance(scheduler, ReduceLROnPlateau):
            return {"scheduler": scheduler, "interval": "epoch", "monitor": "val/loss"}
        return {"scheduler": scheduler, "interval": self.scheduler_interval}

    def _loss(self, batch: Batch) -> Tensor:
        inputs, targets = batch[0], batch[1]
        scale = self.network.output_scale if isinstance(self.network, Standardized) else 1.0
        return scaled_squared_error(self(inputs), targets, scale)

    @classmethod
    @override
    def load_from_checkpoint(cls, checkpoint_path: str | PathLike[str], **kwargs: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The module with the weights of a checkpoint, in eval mode.

        Args:
            checkpoint_path: a checkpoint that training wrote.
            **kwargs: those of Lightning's `load_from_checkpoint`; arguments of the constructor among them.

        Raises:
            ValueError: the file holds more than plain types and tensors, which could run code when it is loaded.
        """
        try:
            module = super().load_from_checkpoint(fspath(checkpoint_path), **{"weights_only": True, **kwargs})
        except (UnpicklingError, EOFError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "state_dict" in str(error):
                raise  # another network
            raise ValueError(refused_checkpoint(checkpoint_path)) from error
        return module.eval()


def refused_checkpoint(path: str | PathLike[str]) -> str:
    """The sentence for a checkpoint that is not plain types and tensors."""
    return (
        f"{path} is refused: it is damaged, or holds more than plain types and tensors, and such a file can run code "
        "when it is loaded. Use a checkpoint that sobolev wrote; if you trust its author, load it once with "
        "torch.load(path, weights_only=False) and save its state_dict"
    )


def _adam(parameters: Iterable[Tensor]) -> Optimizer:
    return torch.optim.Adam(parameters, lr=1e-2, betas=(0.95, 0.99), fused=True)


def _plain(network: nn.Module, standardize: bool) -> dict[str, Any]:
    """What a checkpoint needs to rebuild a module made in Python, in the form the command line stores it."""
    if not isinstance(network, MLP):
        return {"_class_path": "sobolev.Regressor", "standardize": standardize}
    return {
        "_class_path": "sobolev.Regressor",
        "network": {"class_path": "sobolev.MLP", "init_args": network.arguments},
        "standardize": standardize,
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
    }
