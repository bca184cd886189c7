"""Where a readout finds its samples: a data module's tensors in float64, or what the dataloaders bring."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, starmap
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from sobolev.data.module import Split, TensorDataModule
from sobolev.readout.equations import Samples

_ROWS = 8192
"""Samples of a split at a time."""
_EVERY = 5
"""Without validation data, every fifth training sample is held out from the readout."""


Read = Callable[[Any], Samples]
"""What a batch holds: points, targets and derivative labels."""


def training_samples(trainer: Trainer, read: Read) -> Iterable[Samples]:
    """This process's samples to solve with: those of the training, without a fifth if there is no validation."""
    found = _samples(trainer, "training", read)
    return found if trainer.enable_validation else _fifths(found, held_out=False)


def held_out_samples(trainer: Trainer, read: Read) -> Iterable[Samples]:
    """This process's samples to choose by: those of the validation, or without any a fifth of the training's."""
    if trainer.enable_validation:
        return _samples(trainer, "validation", read)
    return _fifths(_samples(trainer, "training", read), held_out=True)


def _samples(trainer: Trainer, name: Literal["training", "validation"], read: Read) -> Iterable[Samples]:
    """From a data module of ours in float64, else what the dataloader brings."""
    split = own_split(trainer, name)
    if split is not None:
        return _parts_of(split, trainer.global_rank, trainer.world_size)
    batches = training_batches(trainer) if name == "training" else validation_batches(trainer)
    return map(read, batches)


def own_split(trainer: Trainer, name: str) -> Split | None:
    """The split of a data module of ours, unless the trainer or a hook makes something else of it."""
    data: Any = getattr(trainer, "datamodule", None)
    limits = (trainer.limit_train_batches, trainer.limit_val_batches)
    hooked = any(
        is_overridden(hook, owner, parent)
        for hook in ("on_before_batch_transfer", "on_after_batch_transfer")
        for owner, parent in ((trainer.lightning_module, LightningModule), (data, TensorDataModule))
        if isinstance(owner, parent)
    )
    whole = limits == (1.0, 1.0) and not getattr(trainer, "overfit_batches", 0)
    return getattr(data, name) if isinstance(data, TensorDataModule) and whole and not hooked else None


def _parts_of(split: Split, rank: int, world_size: int) -> Iterator[Samples]:
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


def training_batches(trainer: Trainer) -> Iterator[Any]:
    """Those of the training, as its steps get them."""
    if trainer.train_dataloader is None:  # by hand, without a training
        trainer.fit_loop.setup_data()
    return (_transferred(trainer, batch) for batch in _limited(trainer.train_dataloader, trainer.num_training_batches))


def validation_batches(trainer: Trainer) -> Iterator[Any]:
    """Those of all validation dataloaders, one after the other, as the steps get them."""
    if trainer.val_dataloaders is None:  # there was no validation yet
        trainer.fit_loop.epoch_loop.val_loop.setup_data()
    loaders, counts = trainer.val_dataloaders, trainer.num_val_batches
    loaders = loaders if isinstance(loaders, list | tuple) else [loaders]
    batches = chain.from_iterable(starmap(_limited, zip(loaders, counts, strict=True)))
    return (_transferred(trainer, batch) for batch in batches)


def _limited(loader: Any, count: float) -> Iterable[Any]:
    return islice(loader, None if math.isinf(count) else int(count))


def _transferred(trainer: Trainer, batch: Any) -> Any:
    """As a training step gets it."""
    return trainer.strategy.batch_to_device(trainer.lightning_module._on_before_batch_transfer(batch))
