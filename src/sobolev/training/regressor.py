"""The LightningModule: a network that learns a function from its values and derivatives."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from typing_extensions import override

from sobolev.data.module import TensorDataModule
from sobolev.losses.comparison import FirstOrder, SecondOrder
from sobolev.losses.labels import check_labels, with_outputs
from sobolev.losses.sobolev_loss import SobolevLoss, scaled_squared_error
from sobolev.losses.whitening import GradientWeights
from sobolev.networks import MLP, Standardized
from sobolev.networks.surrogate import Surrogate
from sobolev.optimizers.quasi_newton import SEARCHING
from sobolev.training.checkpoint import CheckpointedModule
from sobolev.training.collapse import collapse
from sobolev.training.label_warnings import warn_of_labels
from sobolev.training.row_weights import weight_of
from sobolev.training.schedules import CosineToZero

_EXTENDED = "network.network.features."
"""Where a checkpoint has the features that a readout put in the place of a perceptron's."""

Batch = tuple[Tensor, ...] | list[Tensor]
"""Inputs (batch, inputs), targets (batch, outputs), then derivative labels where the data have them."""


class Regressor(CheckpointedModule):
    """Fits a network to values of a function, and to its derivatives where the data hold labels of them.

    Logged are `train/loss` and `val/loss`, in units of the labels' scales; where derivative labels are used, also the
    part of each order, `train/d0_loss`, `val/d1_loss`, ...: `val/d0_loss` is what `val/loss` is without labels.

    Args:
        network: maps (batch, inputs) to (batch, outputs).
        standardize: wrap the network in `Standardized`, with means and scales taken from the training data before
            the first step, so that values and derivatives are in the user's units. A network that is `Standardized`
            already, such as `DifferentialPCA`, stays as it is.
        optimizer: makes the optimiser from the parameters; Adam with a learning rate of 0.01 if left out.
        scheduler: makes the learning rate scheduler from the optimiser; a cosine to 0 if left out.
        scheduler_interval: when the scheduler steps. A `ReduceLROnPlateau` follows `val/loss` at each validation.
        derivative_order: the highest order of derivative labels to learn from, 0, 1 or 2; None for all in the batches.
        first_order: how labels of order 1 are used: `"full"` Jacobians, one `"random"` output of each sample and step,
            or `"auto"`: full, up to 10 inputs or 10 outputs.
        second_order: how labels of order 2 are used: the `"full"` Hessian, its `"diagonal"`, one `"random"` column of
            each sample and step, or `"auto"`: random beyond 10 inputs, else as much as has labels.
        gradient_weights: how the errors of a gradient's entries are weighed: `"separate"`, or `"joint"` for simulated,
            noisy gradients, see `sobolev.losses.whitening`.

    Attributes:
        trained_on: of a network from a checkpoint: name, unit and range of its `inputs` and `outputs`, and how the data
            module was made.
        searches_lines: whether the optimiser compares losses of one batch, for which sobolev's data then hold all rows.

    Examples:
        >>> import lightning, sobolev
        >>> data = sobolev.FunctionData("x**2", domain=(-1, 1), samples=200)
        >>> model = sobolev.Regressor(sobolev.MLP())
        >>> trainer = lightning.Trainer(max_epochs=2)
        >>> trainer.fit(model, data)
        >>> model(data.validation_points.float()).shape
        torch.Size([2000, 1])
    """

    def __init__(
        self,
        network: nn.Module,
        standardize: bool = True,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["step", "epoch"] = "step",
        derivative_order: int | None = None,
        first_order: FirstOrder = "auto",
        second_order: SecondOrder = "auto",
        gradient_weights: GradientWeights = "separate",
    ) -> None:
        super().__init__()
        if _given_hyperparameters.get() is None:
            options = {
                "standardize": standardize,
                "derivative_order": derivative_order,
                "first_order": first_order,
                "second_order": second_order,
                "gradient_weights": gradient_weights,
            }
            self.save_hyperparameters(_hyperparameters(network, options), logger=False)
        else:  # made by the command line, which stores its own configuration
            self.save_hyperparameters(logger=False)
        self.network = Standardized(network) if standardize and not isinstance(network, Standardized) else network
        self.sobolev_loss = SobolevLoss(derivative_order, first_order, second_order, gradient_weights)
        self.optimizer = optimizer or _adam
        self.scheduler = scheduler or CosineToZero
        self.scheduler_interval = scheduler_interval
        self.searches_lines = False
        self._first_batch: Batch = ()  # of the last epoch, for a look at the outputs in the end

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets this one fifty times a step, and torch would look each time whether it is a parameter
        if name == "_current_fx_name":
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
            labels = getattr(getattr(data, "training", None), "labels", ())
            self.sobolev_loss.expect(len(labels))
            self._fit_scales([(data.training_inputs, data.training_targets, *labels)])

    @override
    def setup(self, stage: str) -> None:
        """Train in float64 where the data ask for it."""
        data = getattr(self.trainer, "datamodule", None)
        reason = data.beyond_single() if stage == "fit" and isinstance(data, TensorDataModule) else None
        if reason is not None and self.dtype == torch.float32 and str(self.trainer.precision) == "32-true":
            rank_zero_info(f"{reason}: the network is trained in float64")
            self.double()

    @override
    def on_train_start(self) -> None:
        self._fit_scales(self.trainer.train_dataloader)

    @override
    def on_validation_start(self) -> None:
        if self.trainer.sanity_checking:  # before the start of the training
            self.trainer.fit_loop.setup_data()
            self._fit_scales(self.trainer.train_dataloader)

    def _fit_scales(self, batches: Iterable[Batch] | None) -> None:
        """Take means and scales from the training data, unless a checkpoint brought them."""
        waiting = [m for m in self.modules() if isinstance(m, Standardized | SobolevLoss) and not m.fitted]
        if not waiting or batches is None:
            return
        order = self.sobolev_loss.derivative_order
        items = slice(None if order is None else 2 + order)
        inputs, *given = map(torch.cat, zip(*(batch[items] for batch in batches), strict=True))
        targets, *labels = with_outputs(inputs, given)
        check_labels(inputs, (targets, *labels))
        for module in waiting:
            module.fit(inputs, targets, labels)
            buffers = dict(module.named_buffers(recurse=False))
            for name, value in self.trainer.strategy.broadcast(buffers).items():  # a process may see rows of its own
                setattr(module, name, value.to(buffers[name].device))
        self._warn_of(inputs, targets, labels)

    def _warn_of(self, inputs: Tensor, targets: Tensor, labels: Sequence[Tensor]) -> None:
        """Say what will keep this network from learning from these data."""
        if labels and any(isinstance(module, _BatchNorm) for module in self.modules()):
            rank_zero_warn(
                "batch normalisation mixes the samples of a training batch, so that its derivatives are not those of "
                "a sample and derivative labels mislead it: use torch.nn.LayerNorm, or no normalisation"
            )
        if labels:
            warn_of_labels(getattr(self.trainer, "datamodule", None), inputs, targets, labels)

    @override
    def on_train_end(self) -> None:
        if self._first_batch:
            inputs, targets, *labels = self._first_batch
            self._first_batch = ()
            said = collapse(self, inputs, targets, labels if self.sobolev_loss.needed else ())
            if said is not None:
                rank_zero_warn(said)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Weights that were saved in float64 are loaded in float64; the names of the data come with them."""
        super().on_load_checkpoint(checkpoint)
        saved = checkpoint["state_dict"]
        if isinstance(self.network, Standardized) and any(name.startswith(_EXTENDED) for name in saved):
            self.network.network = Surrogate()  # which takes its structure from them
        if {saved[name].dtype for name, _ in self.named_parameters() if name in saved} == {torch.float64}:
            self.double()

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if batch_idx == 0:
            self._first_batch = batch
        return self._loss(batch, "train" if self._is_logged() else None)

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if batch_idx == 0:
            self._first_batch = batch
        self._loss(batch, "val")

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._loss(batch, "test")

    @override
    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:
        """The outputs at the inputs of the batch, (batch, outputs)."""
        return self(batch if isinstance(batch, Tensor) else batch[0])

    @override
    def configure_optimizers(self) -> Any:
        if isinstance(self.network, Standardized) and isinstance(self.network.network, Surrogate):
            raise ValueError(
                "this network is finished: its last layer was solved on features that are not trained; train a new one "
                "for more epochs"
            )
        optimizer = self.optimizer(self.parameters())
        self.searches_lines = isinstance(optimizer, SEARCHING)
        if self.searches_lines:
            self._check_whole_gradients(type(optimizer).__name__)
        scheduler = self.scheduler(optimizer)
        if isinstance(scheduler, CosineToZero):
            scheduler.T_max = int(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": self._schedule(scheduler)}

    def _check_whole_gradients(self, name: str) -> None:
        """Refuse what a line search cannot do with."""
        settings = {
            "accumulate_grad_batches": self.trainer.accumulate_grad_batches > 1,
            "gradient_clip_val": bool(self.trainer.gradient_clip_val),
        }
        for setting in (setting for setting, given in settings.items() if given):
            raise ValueError(
                f"{name} compares losses and gradients of one batch at several weights, which {setting} "
                f"mixes or cuts: leave out trainer.{setting} and take a batch of all rows, or another optimiser"
            )

    def _schedule(self, scheduler: LRScheduler | ReduceLROnPlateau) -> dict[str, Any]:
        if isinstance(scheduler, ReduceLROnPlateau):
            every = self.trainer.check_val_every_n_epoch or 1
            return {"scheduler": scheduler, "interval": "epoch", "frequency": every, "monitor": "val/loss"}
        return {"scheduler": scheduler, "interval": self.scheduler_interval}

    def _is_logged(self) -> bool:
        """Whether this training step is: a call of `log` costs as much as a layer."""
        every: int = self.trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]
        return every > 0 and (self.trainer.global_step + 1) % every == 0

    def _loss(self, batch: Batch, stage: str | None) -> Tensor:
        """The loss of a batch, logged under the name of a stage if one is given."""
        inputs, labels = batch[0], with_outputs(batch[0], batch[1:])
        parts = None
        if self.sobolev_loss.needed:
            parts = self.sobolev_loss(self, inputs, labels, self.global_step if self.training else None)
            loss = parts.total()
        else:
            scale = self.network.output_scale if isinstance(self.network, Standardized) else 1.0
            predicted = self(inputs)
            loss = scaled_squared_error(predicted, _beside(predicted, labels[0]), scale)
        if stage is not None:
            orders = {} if parts is None else {f"{stage}/d{k}_loss": value for k, value in parts.orders().items()}
            losses = {f"{stage}/loss": loss, **orders}
            self.log_dict(losses, batch_size=weight_of(len(inputs)), sync_dist=stage != "train")
        return loss


def _beside(predicted: Tensor, targets: Tensor) -> Tensor:
    """Targets in the shape of the outputs: subtracting others would pair each sample with all.

    Raises:
        ValueError: they do not have as many entries for each sample.
    """
    if targets.shape == predicted.shape:
        return targets
    if targets.shape[:1] == predicted.shape[:1] and targets.numel() == predicted.numel():
        return targets.reshape(predicted.shape)
    raise ValueError(
        f"Regressor: the network returns shape {tuple(predicted.shape)}, but the targets of the batch have "
        f"{tuple(targets.shape)}; give the network as many outputs as there are targets for each sample"
    )


def _adam(parameters: Iterable[Tensor]) -> Optimizer:
    return torch.optim.Adam(parameters, lr=1e-2, betas=(0.95, 0.99), fused=True)


def _hyperparameters(network: nn.Module, options: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint needs to rebuild a module made in Python, in the form the command line stores it."""
    if not isinstance(network, MLP):
        return {"_class_path": "sobolev.Regressor", **options}
    return {
        "_class_path": "sobolev.Regressor",
        "network": {"class_path": "sobolev.MLP", "init_args": network.arguments},
        **options,
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
    }
