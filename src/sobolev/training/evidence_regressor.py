"""The LightningModule for few data: features and noise by the evidence of a Bayesian last layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from sobolev.callbacks.processes import gathered
from sobolev.evidence.search import Stage, network, search
from sobolev.losses import scaled_squared_error
from sobolev.networks import Standardized
from sobolev.networks.surrogate import Surrogate
from sobolev.training.regressor import Batch

_EXPLAINED = 0.9
"""A network that leaves more than the rest of the variance is said to have learnt little."""


class EvidenceRegressor(LightningModule):
    """Learns a smooth function of one to about ten inputs from up to about 10,000 values, in float64.

    Families of features, sparse polynomials and a deep kernel, are each chosen by the evidence of a Bayesian linear
    layer on top of them, noise included; the family, or the mean of two, by rows that were held out (Golub & Pereyra,
    The differentiation of pseudo-inverses, 1973; MacKay, Bayesian interpolation, 1992). An epoch is a step of this
    search, and the training ends with it. All rows are used, whatever the batches; several processes do the same.

    Logged are `train/evidence`, `train/noise` (estimated standard deviation, in units of the targets' own),
    `train/held_out`, and `val/loss`, in units of the targets' variance.

    Args:
        seed: of the rows held out and of the first weights.

    Attributes:
        chosen: in plain values, the `families` with the `share` of each, their terms or lengths (in standard deviations
            of each input); the `noise`, in the units of each output; the part of the variance of held-out rows that the
            best family `explained`; the training `rows`. Empty before the search.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        if _given_hyperparameters.get() is None:
            self.save_hyperparameters({"_class_path": "sobolev.EvidenceRegressor", "seed": seed}, logger=False)
        else:
            self.save_hyperparameters(logger=False)
        self.automatic_optimization = False
        self.seed = seed
        self.network = Standardized(Surrogate()).double()
        self.register_buffer("finished", torch.tensor(False))
        self._search: Iterator[Stage] | None = None
        self.stages: list[Stage] = []
        self.chosen: dict[str, Any] = {}

    @override
    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs), in the units of the data."""
        return self.network(x)

    @override
    def on_fit_start(self) -> None:
        if self.finished:
            return
        inputs, targets = (t.to(self.device) for t in self._rows())
        self.network.fit(inputs, targets)
        x = (inputs - self.network.input_mean) / self.network.input_scale
        y = (targets - self.network.output_mean) / self.network.output_scale
        self._search, self._count = search(x, y, self.seed), len(x)
        self.network.network = Surrogate((), x.shape[1], y.shape[1]).to(inputs)

    def _rows(self) -> tuple[Tensor, Tensor]:
        """All training rows of all processes in an order of their own."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "training_inputs"):
            parts = [(data.training_inputs, data.training_targets)]
        else:
            self.trainer.fit_loop.setup_data()
            batches: Any = self.trainer.train_dataloader
            own = [(batch[0].double().cpu(), batch[1].double().cpu()) for batch in batches]
            parts = [pair for other in gathered(own) for pair in other]
        inputs, targets = (torch.cat(column).double() for column in zip(*parts, strict=True))
        targets = targets if targets.dim() > 1 else targets[:, None]
        known = targets.isfinite().all(1)
        if int(known.sum()) < 4:
            raise ValueError(f"there are {int(known.sum())} training rows with a value of every output; 4 are needed")
        rows = torch.cat([inputs, targets], 1)[known]
        order = torch.from_numpy(np.lexsort(rows.T.flip(0).numpy()).copy())
        return rows[order].split([inputs.shape[1], targets.shape[1]], 1)  # pyright: ignore[reportReturnType]

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> None:
        if batch_idx:
            return
        stage = self._next()
        last_epoch = self.trainer.current_epoch + 1 == self.trainer.max_epochs
        while last_epoch and stage is not None and stage.error is not None:
            stage = self._next()
        if stage is not None:
            self._take(stage)
        if stage is None or stage.error is None:
            self.finished = torch.ones_like(self.finished)
            self.trainer.should_stop = True
        self.optimizers().step()  # pyright: ignore[reportAttributeAccessIssue]

    def _next(self) -> Stage | None:
        with _one_thread():
            return None if self._search is None else next(self._search, None)

    def _take(self, stage: Stage) -> None:
        """The network so far, and what to say of it."""
        self.network.network = network(stage.fits).to(self.device)
        self.stages.append(stage)
        self.chosen = self._summary(stage)
        numbers = {"train/evidence": stage.evidence, "train/noise": stage.noise, "train/held_out": stage.error}
        known = {name: value for name, value in numbers.items() if value is not None}
        self.log_dict(known, on_step=False, on_epoch=True, batch_size=1)
        rank_zero_info(stage.says)

    def _summary(self, stage: Stage) -> dict[str, Any]:
        families = [{"name": fit.name, "share": share, **fit.features.summary()} for share, fit in stage.fits]  # pyright: ignore[reportCallIssue]
        noise = (stage.fits[0][1].noise.to(self.device) * self.network.output_scale).tolist()
        return {"families": families, "noise": noise, "explained": self._explained(), "rows": self._count}

    def _explained(self) -> float | None:
        """The part of the variance of held-out rows, by the best family."""
        errors = [stage.error for stage in self.stages if stage.error is not None]
        return max(0.0, 1 - min(errors) ** 2) if errors else None

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["chosen"] = self.chosen

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.chosen = checkpoint.get("chosen", {})

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._log_loss(batch, "val")

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._log_loss(batch, "test")

    @override
    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:
        """The outputs at the inputs of the batch, (batch, outputs)."""
        return self(batch if isinstance(batch, Tensor) else batch[0])

    def _log_loss(self, batch: Batch, stage: str) -> None:
        targets = batch[1].double() if batch[1].dim() > 1 else batch[1].double()[:, None]
        loss = scaled_squared_error(self(batch[0].double()), targets, self.network.output_scale)
        self.log(f"{stage}/loss", loss, batch_size=len(targets), sync_dist=True)

    @override
    def on_train_end(self) -> None:
        if (explained := self._explained()) is not None and explained < _EXPLAINED:
            rank_zero_warn(
                f"the network explains {explained:.0%} of the variance of held-out rows: give more rows, "
                "leave out inputs that say nothing, or look for inputs that are missing; the rest may be noise, too"
            )

    @override
    def configure_optimizers(self) -> Optimizer:
        """One that changes nothing: its steps are those of the search."""
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)


@contextmanager
def _one_thread() -> Iterator[None]:
    """For matrices this small, several threads mostly wait for each other, on a busy machine many times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
