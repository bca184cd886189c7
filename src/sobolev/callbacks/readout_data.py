"""Where a readout finds its samples: a data module's tensors in float64, or what the dataloaders bring."""

import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice, starmap
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from sobolev.data.module import Split, TensorDataModule
from sobolev.readout.equations import Samples

_ROWS = 8192
"""Samples of a split at a time."""
_EVERY = 5
"""Without validation data, every fifth training sample is held out from the readout."""


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
    if (
        not isinstance(data, TensorDataModule)
        or hooked
        or getattr(trainer, "overfit_batches", 0)
        or limits != (1.0, 1.0)
    ):
        return None
    return getattr(data, name)


def parts_of(split: Split, rank: int, world_size: int) -> Iterator[Samples]:
    """The rows of one process, some at a time."""
    tensors = [t[rank::world_size] for t in (split.inputs, split.targets, *split.labels)]
    return zip(*(t.split(_ROWS) for t in tensors), strict=True)


def fifths(batches: Iterable[Samples], *, held_out: bool) -> Iterator[Samples]:
    """Every fifth sample, or all others."""
    count = 0
    for batch in batches:
        chosen = ((torch.arange(len(batch[0])) + count) % _EVERY == _EVERY - 1) == held_out
        count += len(batch[0])
        yield [tensor[chosen.to(tensor.device)] for tensor in batch]


def training_batches(trainer: Trainer) -> Iterable[Any]:
    """Those of the training, as its dataloader brings them."""
    if trainer.train_dataloader is None:  # by hand, without a training
        trainer.fit_loop.setup_data()
    return _limited(trainer.train_dataloader, trainer.num_training_batches)


def validation_batches(trainer: Trainer) -> Iterable[Any]:
    """Those of all validation dataloaders, one after the other."""
    if trainer.val_dataloaders is None:  # there was no validation yet
        trainer.fit_loop.epoch_loop.val_loop.setup_data()
    loaders, counts = trainer.val_dataloaders, trainer.num_val_batches
    loaders = loaders if isinstance(loaders, list | tuple) else [loaders]
    return chain.from_iterable(starmap(_limited, zip(loaders, counts, strict=True)))


def _limited(loader: Any, count: float) -> Iterable[Any]:
    return islice(loader, None if math.isinf(count) else int(count))


def transferred(trainer: Trainer, batch: Any) -> Any:
    """As a training step gets it."""
    return trainer.strategy.batch_to_device(trainer.lightning_module._on_before_batch_transfer(batch))
