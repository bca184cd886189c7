"""A pass through validation or test data, as a callback sees it: it begins, brings batches, ends."""

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from sobolev.callbacks.base import Callback

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class ValidationHooks(Callback):
    """A callback to which validation and test are the same, but for the names of what it logs."""

    def _begin(self, trainer: "Trainer") -> None:
        raise NotImplementedError

    def _before_step(self, trainer: "Trainer", pl_module: "LightningModule", batch: Any) -> None:
        raise NotImplementedError

    def _take(self, trainer: "Trainer", pl_module: "LightningModule", batch: Any) -> None:
        raise NotImplementedError

    def _end(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        raise NotImplementedError

    @override
    def on_validation_epoch_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self._begin(trainer)

    @override
    def on_test_epoch_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self._begin(trainer)

    @override
    def on_validation_batch_start(
        self, trainer: "Trainer", pl_module: "LightningModule", batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._before_step(trainer, pl_module, batch)

    @override
    def on_test_batch_start(
        self, trainer: "Trainer", pl_module: "LightningModule", batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._before_step(trainer, pl_module, batch)

    @override
    def on_validation_batch_end(
        self, trainer: "Trainer", pl_module: "LightningModule", outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._take(trainer, pl_module, batch)

    @override
    def on_test_batch_end(
        self, trainer: "Trainer", pl_module: "LightningModule", outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._take(trainer, pl_module, batch)

    @override
    def on_validation_epoch_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self._end(trainer, pl_module, "val")

    @override
    def on_test_epoch_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self._end(trainer, pl_module, "test")
