"""What a readout does to the training around it: precision, optimisers, one more validation."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn

from sobolev.data.loader import BatchLoader
from sobolev.data.module import TensorDataModule
from sobolev.readout.equations import Samples

_AVERAGING = {"WeightAveraging", "StochasticWeightAveraging"}
_MOMENTA = ("exp_avg", "momentum_buffer")


def is_last_epoch(trainer: Trainer) -> bool:
    """Whether the training is to end with this epoch; it may end earlier."""
    epochs = trainer.max_epochs
    return epochs is not None and 0 <= epochs <= trainer.current_epoch + 1


def check_own_weights(trainer: Trainer) -> None:
    """Refuse a training in which the module does not hold its own weights, whole.

    Raises:
        ValueError: says which strategy or callback is in the way.
    """
    if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
        raise ValueError(f"{type(trainer.strategy).__name__} keeps its weights in parts; use one device or DDP")
    for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
        if _AVERAGING & {kind.__name__ for kind in type(callback).__mro__}:
            raise ValueError(f"{type(callback).__name__} exchanges the weights after it; solve the readout by hand")


def make_double(
    trainer: Trainer,
    pl_module: LightningModule,
    samples: Iterable[Samples],
    of_one_input: Callable[[LightningModule], nn.Module],
) -> None:
    """Convert the module, if it then still takes what its dataloaders bring; those of our data modules follow it."""
    pl_module.double()
    if isinstance(getattr(trainer, "datamodule", None), TensorDataModule):
        return
    x = next(iter(samples))[0]
    try:
        with torch.no_grad():
            of_one_input(pl_module)(x[:2])
    except RuntimeError as error:
        raise ValueError(
            f"precision is float64, but then the module does not take inputs of {x.dtype} ({error}); wrap the network "
            "in sobolev.Standardized, or convert them in forward: x.to(self.dtype)"
        ) from error


def adapt(trainer: Trainer, layer: nn.Module, *, changed: bool) -> None:
    """Bring optimisers and validation batches to the module's precision; forget the momentum of weights that are gone.

    Args:
        trainer: whose they are.
        layer: that was solved for.
        changed: whether it has other weights now.
    """
    own = {id(parameter) for parameter in layer.parameters()} if changed else set()
    for optimizer in trainer.optimizers:
        of_parameters = [(key, state) for key, state in optimizer.state.items() if isinstance(key, Tensor)]
        for parameter, state in of_parameters:  # quasi-Newton methods remember things of all parameters together
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape and value.is_floating_point():
                    state[name] = value.to(parameter.dtype)
                    if id(parameter) in own and name in _MOMENTA:
                        state[name].zero_()
    data: Any = getattr(trainer, "datamodule", None)
    loader = trainer.val_dataloaders
    if isinstance(data, TensorDataModule) and isinstance(loader, BatchLoader) and loader.tensors[0].dtype != data.dtype:
        loader.replace(data.val_dataloader().tensors)


def validate_again(trainer: Trainer) -> None:
    """The validation of a training, once more."""
    for checkpoint in trainer.checkpoint_callbacks:
        if isinstance(checkpoint, ModelCheckpoint):
            checkpoint._last_global_step_saved = -1  # the weights are others than at this step before
    first = trainer._logger_connector._first_loop_iter
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True
    trainer._logger_connector._first_loop_iter = first
