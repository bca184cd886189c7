"""The LightningModule for few data: features and noise by the evidence of a Bayesian last layer."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DistributedSampler
from typing_extensions import override

from sobolev.callbacks.processes import gathered
from sobolev.callbacks.restored_state import one_thread
from sobolev.errors import check_counts
from sobolev.losses import scaled_squared_error
from sobolev.losses.labels import check_labels, check_order, with_outputs
from sobolev.networks import Standardized
from sobolev.networks.surrogate import Surrogate
from sobolev.surrogates.explained import of_little_explained
from sobolev.surrogates.kernels import MOST_CENTRES
from sobolev.surrogates.labels import standardized
from sobolev.surrogates.search import KINDS, Stage, network, search
from sobolev.training.checkpoint import CheckpointedModule
from sobolev.training.label_warnings import warn_of_labels
from sobolev.training.regressor import Batch
from sobolev.training.row_weights import weight_of

_FEWEST = 4
"""Training rows; one of them is held out."""


class EvidenceRegressor(CheckpointedModule):
    """Learns a smooth function of one to about ten inputs from up to about 10,000 labels, in float64.

    Families of features, waves, sparse polynomials, a kernel and a deep one, are each chosen by the evidence of a
    Bayesian linear layer on top of them, noise included; their shares in a mean by rows that were held out (Golub &
    Pereyra, The differentiation of pseudo-inverses, 1973; MacKay, Bayesian interpolation, 1992; Breiman, Stacked
    regressions, 1996).
    An epoch is a step of this search, and the training ends with it. All rows are used, whatever the batches; several
    processes do the same.

    Labels of gradients and Hessians, wherever there are some, belong to the same linear problem, and so to the same
    evidence, each order with a noise of its own.

    Logged are `train/evidence`, `train/noise` (estimated standard deviation, in units of the targets' own),
    `train/held_out`, and `val/loss`, in units of the targets' variance.

    Args:
        seed: of the rows held out and of the first weights.
        derivative_order: the highest order of derivative labels to learn from, 0, 1 or 2; None for all in the batches.
        families: the kinds to choose from, some of `waves`, `polynomials`, `kernel`, `deep kernel`.
        highest_degree: of the polynomials in each input; None: what the evidence wants, up to 400 of one input, 29 of
            several.
        centres: labels that carry a kernel, at most; time grows with the cube.

    Attributes:
        chosen: in plain values, the `families` with the `share` of each, their terms or lengths (in standard deviations
            of each input); the `noise`, in the units of each output; that of `derivatives` of each order, as a part of
            their root mean square; the part of the variance of held-out rows that the best family `explained`; the
            training `rows`. Empty before the search.
        trained_on: of a network from a checkpoint: name, unit and range of its `inputs` and `outputs`, and how the data
            were made; None elsewhere.

    Examples:
        >>> import lightning, sobolev
        >>> data = sobolev.FunctionData("sin(3*x)", domain=(-1, 1), samples=50)
        >>> model = sobolev.EvidenceRegressor()
        >>> trainer = lightning.Trainer(max_epochs=5)
        >>> trainer.fit(model, data)
        >>> y, slope = sobolev.jacobian(model, data.validation_points)
        >>> slope.shape
        torch.Size([2000, 1, 1])
    """

    def __init__(
        self,
        seed: int = 0,
        derivative_order: int | None = None,
        families: Sequence[str] = KINDS,
        highest_degree: int | None = None,
        centres: int = MOST_CENTRES,
    ) -> None:
        super().__init__()
        check_order(derivative_order)
        _check_choice(families, highest_degree, centres)
        self._choice = {"kinds": tuple(families), "highest_degree": highest_degree, "centres": centres}
        if _given_hyperparameters.get() is None:
            options = {"seed": seed, "derivative_order": derivative_order, "families": list(families)}
            options |= {"highest_degree": highest_degree, "centres": centres}
            self.save_hyperparameters({"_class_path": "sobolev.EvidenceRegressor", **options}, logger=False)
        else:
            self.save_hyperparameters(logger=False)
        self.automatic_optimization = False
        self.seed, self.derivative_order = seed, derivative_order
        self.network = Standardized(Surrogate())
        self.double()  # says to the data that float64 is wanted
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
        if self.trainer.current_epoch:
            rank_zero_info("the search begins anew: it is deterministic, and ends where it would have ended")
        inputs, targets, *labels = (t.to(self.device) for t in self._rows())
        if labels:
            warn_of_labels(getattr(self.trainer, "datamodule", None), inputs, targets, labels)
        network = self.network.fit(inputs, targets, labels)
        scales = network.input_mean, network.input_scale, network.output_mean, network.output_scale
        known = standardized(inputs, (targets, *labels), *scales)
        self._search, self._known = search(known, self.seed, **self._choice), known
        network.network = Surrogate((), inputs.shape[1], targets.shape[1]).to(inputs)

    def _rows(self) -> list[Tensor]:
        """Inputs, targets and derivative labels of all training rows of all processes, in an order of their own."""
        data: Any = getattr(self.trainer, "datamodule", None)
        items = slice(None if self.derivative_order is None else 2 + self.derivative_order)
        if hasattr(data, "training_inputs"):
            labels = getattr(getattr(data, "training", None), "labels", ())
            parts = [(data.training_inputs, data.training_targets, *labels)[items]]
        else:
            self.trainer.fit_loop.setup_data()
            batches: Any = self.trainer.train_dataloader
            own = [tuple(item.double().cpu() for item in batch[items]) for batch in batches]
            parts = [rows for other in gathered(_without_repeated(own, batches)) for rows in other]
        inputs, *given = (torch.cat(column).double() for column in zip(*parts, strict=True))
        given = with_outputs(inputs, given)
        check_labels(inputs, given)
        known = torch.cat([label.isfinite().flatten(1) for label in given], 1)
        _check_known(known.any(1), given)
        rows = torch.cat([inputs, *(label.flatten(1) for label in given)], 1)
        order = torch.from_numpy(np.lexsort(rows.T.flip(0).numpy()).copy())
        order = order[known.any(1)[order]]
        return [inputs[order], *(label[order] for label in given)]

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
        with one_thread():
            stage = None if self._search is None else next(self._search, None)
        return gathered(stage)[0]  # the same in all processes to the last bit

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
        noise = stage.fits[0][1].noise.to(self.device)
        found = {"families": families, "noise": (noise[0] * self.network.output_scale).tolist()}
        if len(noise) > 1:
            sizes = noise.new_tensor(self._known.sizes()[1:])
            found["derivatives"] = (noise[1:].amax(1) / sizes).tolist()
        return {**found, "explained": self._explained(), "rows": len(self._known)}

    def _explained(self) -> float | None:
        """The part of the variance of held-out rows, by the best family."""
        errors = [stage.error for stage in self.stages if stage.error is not None]
        return max(0.0, 1 - min(errors) ** 2) if errors else None

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["chosen"] = self.chosen

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
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
        targets = with_outputs(batch[0], [batch[1].double()])[0]
        known = targets.isfinite()
        predicted = torch.where(known, self(batch[0].double()), 0.0)
        loss = scaled_squared_error(predicted, torch.where(known, targets, 0.0), self.network.output_scale)
        self.log(f"{stage}/loss", loss, batch_size=weight_of(len(targets)), sync_dist=True)

    @override
    def on_train_end(self) -> None:
        explained = self._explained()
        if explained is not None and (said := of_little_explained(explained)):
            rank_zero_warn(said)

    @override
    def configure_optimizers(self) -> Optimizer:
        """One that changes nothing: its steps are those of the search."""
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)


def _check_choice(families: Sequence[str], highest_degree: int | None, centres: int) -> None:
    """Refuse what is no family, and counts below those that make sense."""
    unknown = [family for family in families if family not in KINDS]
    if isinstance(families, str) or unknown or not families:
        raise ValueError(f"EvidenceRegressor: families is {families!r}; it is a list of some of {', '.join(KINDS)}")
    check_counts(_FEWEST, centres=centres)
    if highest_degree is not None:
        check_counts(1, highest_degree=highest_degree)


def _without_repeated(own: list[tuple[Tensor, ...]], loader: Any) -> list[tuple[Tensor, ...]]:
    """Without the row, the last of a process, that a sampler repeats to give every process as many."""
    sampler = getattr(loader, "sampler", None)
    if not isinstance(sampler, DistributedSampler) or sampler.drop_last:
        return own
    repeated = sampler.total_size - len(sampler.dataset)  # pyright: ignore[reportArgumentType]
    if sampler.rank < sampler.num_replicas - repeated:
        return own
    return [*own[:-1], tuple(item[:-1] for item in own[-1])]


def _check_known(rows: Tensor, labels: Sequence[Tensor]) -> None:
    """Refuse labels that say too little."""
    if int(rows.sum()) < _FEWEST:
        raise ValueError(f"there are {int(rows.sum())} training rows with a label; {_FEWEST} are needed")
    for output in range(labels[0].shape[1]):
        if not any(label[:, output].isfinite().any() for label in labels):
            raise ValueError(f"output {output + 1} has no label in the training rows: leave it out, or give values")
