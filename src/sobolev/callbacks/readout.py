"""The callback that solves a network's last linear layer by least squares."""

import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice, starmap
from time import perf_counter
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.model_helpers import is_overridden
from rich.console import Console
from torch import Tensor, nn
from typing_extensions import override

from sobolev.autodiff.operators import Method
from sobolev.callbacks.packages import Callback
from sobolev.callbacks.undisturbed import undisturbed
from sobolev.data.loader import BatchLoader
from sobolev.data.module import Split, TensorDataModule
from sobolev.readout import Readout, solve_readout
from sobolev.readout.equations import Samples

_ROWS = 8192
"""Samples of a split at a time."""
_EVERY = 5
"""Without validation data, every fifth training sample is held out from the readout."""
_AVERAGING = {"WeightAveraging", "StochasticWeightAveraging"}
_MOMENTA = ("exp_avg", "momentum_buffer")


class LeastSquaresReadout(Callback):
    """Solves the last linear layer over the training data, at the end of `fit`: never a worse network.

    Works on any LightningModule whose forward maps (batch, *in) to (batch, *out) and whose batches are inputs, targets
    and derivative labels if there are any, (x, y[, d1[, d2]]), where NaN is no label. It runs before the last
    validation, so that metrics, report and checkpoints are those of the network it leaves. See
    `sobolev.readout.solve_readout` for what it does; where it cannot, it warns with the reason and leaves the network
    as it is.

    The training samples are those of the data module in float64, if it is one of sobolev's, else the batches of the
    training dataloader. Held out are the validation samples, or without any a fifth of the training samples.

    Args:
        precision: of the network afterwards: its own (`network`), or `float64`, which takes derivatives to ten
            digits and more: all weights are converted, and checkpoints hold them so.
        every_n_epochs: also in between, after so many epochs each time; the optimiser forgets its momentum of that
            layer.
        method: as in `sobolev.derivatives`.

    Attributes:
        result: what the last readout did; None if there was none.
        seconds: spent in it so far.
    """

    def __init__(
        self,
        precision: Literal["network", "float64"] = "network",
        every_n_epochs: int | None = None,
        method: Method = "auto",
    ) -> None:
        if precision not in ("network", "float64"):
            raise ValueError(f"LeastSquaresReadout: precision is {precision!r}; it is 'network' or 'float64'")
        if every_n_epochs is not None and every_n_epochs < 1:
            raise ValueError(f"LeastSquaresReadout: every_n_epochs is {every_n_epochs}; it is 1 or more, or None")
        self.precision: Literal["network", "float64"] = precision
        self.every_n_epochs = every_n_epochs
        self.method: Method = method
        self._forget()

    def _forget(self) -> None:
        self.result: Readout | None = None
        self.seconds = 0.0
        self._solved_at = self._measured_at = -1
        self._said = True

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stand before those callbacks that measure and report at the end."""
        self._forget()
        callbacks = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        trainer.callbacks = [self, *(c for c in callbacks if c is not self)]  # pyright: ignore[reportAttributeAccessIssue]

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """At the last batch of an epoch, before its validation."""
        if trainer.is_last_batch and self._is_due(trainer):
            self.solve(trainer, pl_module, last=_is_last_epoch(trainer))

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._measured_at = trainer.global_step

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where nobody could know that the training would end here, solve and validate once more."""
        if self._solved_at != trainer.global_step:
            self._measured_at = -1
            self.solve(trainer, pl_module, last=True)
        if self.result is None:
            return
        if self._measured_at != trainer.global_step and trainer.enable_validation:
            _validate(trainer)
        for checkpoint in trainer.checkpoint_callbacks:
            last = checkpoint.last_model_path if isinstance(checkpoint, ModelCheckpoint) else ""
            if last and getattr(checkpoint, "_last_global_step_saved", None) != trainer.global_step:
                trainer.save_checkpoint(last)

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Say what was done, when the progress bar is gone."""
        if not self._said and trainer.is_global_zero:
            Console(soft_wrap=True).print(str(self.result), markup=False, highlight=False)
        self._said = True

    def samples(self, batch: Any) -> Samples:
        """Points, targets and derivative labels of a batch, (x, y[, d1[, d2]]). Override it for other batches.

        Raises:
            TypeError: the batch is no tuple or list of floating-point tensors that begins with inputs and targets.
        """
        parts = list(batch) if isinstance(batch, list | tuple) else []
        if len(parts) < 2 or not all(isinstance(p, Tensor) and p.is_floating_point() for p in parts[:2]):
            raise TypeError(
                f"{type(self).__name__} finds no inputs and targets in a batch of type {type(batch).__name__}; it "
                "takes (x, y) or (x, y, d1[, d2]) of floating point. For other batches override its method `samples`"
            )
        x, y = parts[0], parts[1] if parts[1].dim() > 1 else parts[1][:, None]
        found = [x, y]
        for order, label in enumerate(parts[2:4], start=1):
            if not isinstance(label, Tensor) or label.shape != y.shape + x.shape[1:] * order:
                break
            found.append(label)
        return found

    def solve(self, trainer: Trainer, pl_module: LightningModule, *, last: bool = True) -> None:
        """Solve now, with the data of the trainer; where that cannot be, warn and leave the network as it is.

        Args:
            trainer: whose data and strategy are used.
            pl_module: the module; its weights are changed in place.
            last: no training step follows, so that it may become float64.
        """
        try:
            self.solve_or_raise(trainer, pl_module, last=last)
        except Exception as error:  # a training is worth more than its readout
            kind = "" if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: "
            rank_zero_warn(f"LeastSquaresReadout leaves the network as it is: {kind}{error}")

    def solve_or_raise(self, trainer: Trainer, pl_module: LightningModule, *, last: bool = True) -> None:
        """As `solve`, but the reason why it cannot be is raised; the network is then as it was.

        Raises:
            ValueError: the output is not linear in any layer; samples, labels or a strategy that make no sense.
            TypeError: batches in which nothing is found.
        """
        start, before = perf_counter(), pl_module.dtype
        self._solved_at = trainer.global_step
        try:
            with torch.inference_mode(False):
                self._solve(trainer, pl_module, last)
        except Exception:
            if pl_module.dtype != before:
                pl_module.to(before)
            raise
        finally:
            self.seconds += perf_counter() - start

    def _solve(self, trainer: Trainer, pl_module: LightningModule, last: bool) -> None:
        _check(trainer)
        if last and self.precision == "float64":
            _make_double(trainer, pl_module, self._found(trainer, "training"))
        with undisturbed(pl_module, pl_module.device):
            self.result = solve_readout(
                pl_module,
                lambda: self._training(trainer),
                lambda: self._held_out(trainer),
                method=self.method,
                gather=lambda value: _gather(trainer, value),
            )
        self._said = False
        _follow(trainer, pl_module.get_submodule(self.result.layer), changed=self.result.changed)

    def _is_due(self, trainer: Trainer) -> bool:
        due = self.every_n_epochs is not None and (trainer.current_epoch + 1) % self.every_n_epochs == 0
        return due or _is_last_epoch(trainer)

    def _training(self, trainer: Trainer) -> Iterable[Samples]:
        found = self._found(trainer, "training")
        return found if trainer.enable_validation else _fifths(found, held_out=False)

    def _held_out(self, trainer: Trainer) -> Iterable[Samples]:
        if trainer.enable_validation:
            return self._found(trainer, "validation")
        return _fifths(self._found(trainer, "training"), held_out=True)

    def _found(self, trainer: Trainer, name: Literal["training", "validation"]) -> Iterable[Samples]:
        """Samples of this process: from a data module of ours in float64, else what the dataloader brings."""
        split = _split(trainer, name)
        if split is not None:
            return _parts(split, trainer.global_rank, trainer.world_size)
        batches = _training_batches(trainer) if name == "training" else _validation_batches(trainer)
        return (self.samples(_transferred(trainer, batch)) for batch in batches)


def _split(trainer: Trainer, name: str) -> Split | None:
    """The split of a data module of ours, unless the trainer or a hook makes something else of it."""
    data: Any = getattr(trainer, "datamodule", None)
    limits = (trainer.limit_train_batches, trainer.limit_val_batches)
    hooked = any(
        is_overridden(hook, owner, parent)
        for hook in ("on_before_batch_transfer", "on_after_batch_transfer")
        for owner, parent in ((trainer.lightning_module, LightningModule), (data, TensorDataModule))
        if isinstance(owner, parent)
    )
    if (
        not isinstance(data, TensorDataModule)
        or hooked
        or getattr(trainer, "overfit_batches", 0)
        or limits != (1.0, 1.0)
    ):
        return None
    return getattr(data, name)


def _parts(split: Split, rank: int, world_size: int) -> Iterator[Samples]:
    """The rows of one process, some at a time."""
    tensors = [t[rank::world_size] for t in (split.inputs, split.targets, *split.labels)]
    return zip(*(t.split(_ROWS) for t in tensors), strict=True)


def _fifths(batches: Iterable[Samples], *, held_out: bool) -> Iterator[Samples]:
    """Every fifth sample, or all others."""
    count = 0
    for batch in batches:
        chosen = ((torch.arange(len(batch[0])) + count) % _EVERY == _EVERY - 1) == held_out
        count += len(batch[0])
        yield [tensor[chosen.to(tensor.device)] for tensor in batch]


def _training_batches(trainer: Trainer) -> Iterable[Any]:
    if trainer.train_dataloader is None:  # by hand, without a training
        trainer.fit_loop.setup_data()
    return _limited(trainer.train_dataloader, trainer.num_training_batches)


def _validation_batches(trainer: Trainer) -> Iterable[Any]:
    if trainer.val_dataloaders is None:  # there was no validation yet
        trainer.fit_loop.epoch_loop.val_loop.setup_data()
    loaders, counts = trainer.val_dataloaders, trainer.num_val_batches
    loaders = loaders if isinstance(loaders, list | tuple) else [loaders]
    return chain.from_iterable(starmap(_limited, zip(loaders, counts, strict=True)))


def _limited(loader: Any, count: float) -> Iterable[Any]:
    return islice(loader, None if math.isinf(count) else int(count))


def _transferred(trainer: Trainer, batch: Any) -> Any:
    """As a training step gets it."""
    return trainer.strategy.batch_to_device(trainer.lightning_module._on_before_batch_transfer(batch))


def _gather(trainer: Trainer, value: Any) -> list[Any]:
    """An object of every process, on every process."""
    if trainer.world_size == 1:
        return [value]
    values: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def _is_last_epoch(trainer: Trainer) -> bool:
    """Whether the training is to end with this epoch; it may end earlier."""
    epochs = trainer.max_epochs
    return epochs is not None and 0 <= epochs <= trainer.current_epoch + 1


def _check(trainer: Trainer) -> None:
    """Refuse where weights are not the module's own."""
    if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
        raise ValueError(f"{type(trainer.strategy).__name__} keeps its weights in parts; use one device or DDP")
    for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
        if _AVERAGING & {kind.__name__ for kind in type(callback).__mro__}:
            raise ValueError(f"{type(callback).__name__} exchanges the weights after it; solve the readout by hand")


def _make_double(trainer: Trainer, pl_module: LightningModule, samples: Iterable[Samples]) -> None:
    """Convert the module, if it then still takes what its dataloaders bring; those of our data modules follow it."""
    pl_module.double()
    if isinstance(getattr(trainer, "datamodule", None), TensorDataModule):
        return
    x = next(iter(samples))[0]
    try:
        with torch.no_grad():
            pl_module(x[:2])
    except RuntimeError as error:
        raise ValueError(
            f"precision is float64, but then the module does not take inputs of {x.dtype} ({error}); wrap the network "
            "in sobolev.Standardized, or convert them in forward: x.to(self.dtype)"
        ) from error


def _follow(trainer: Trainer, layer: nn.Module, *, changed: bool) -> None:
    """Optimisers and validation batches fit the weights; the momentum of weights that are no more is forgotten."""
    own = {id(parameter) for parameter in layer.parameters()} if changed else set()
    for optimizer in trainer.optimizers:
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape and value.is_floating_point():
                    state[name] = value.to(parameter.dtype)
                    if id(parameter) in own and name in _MOMENTA:
                        state[name].zero_()
    data: Any = getattr(trainer, "datamodule", None)
    loader = trainer.val_dataloaders
    if isinstance(data, TensorDataModule) and isinstance(loader, BatchLoader) and loader.tensors[0].dtype != data.dtype:
        loader.replace(data.val_dataloader().tensors)


def _validate(trainer: Trainer) -> None:
    """The validation of a training, once more."""
    for checkpoint in trainer.checkpoint_callbacks:
        if isinstance(checkpoint, ModelCheckpoint):
            checkpoint._last_global_step_saved = -1  # the weights are others than at this step before
    first = trainer._logger_connector._first_loop_iter
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True
    trainer._logger_connector._first_loop_iter = first
