"""The callback that solves a network's last linear layer by least squares."""

from dataclasses import replace
from time import perf_counter
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn
from rich.console import Console
from torch import nn
from typing_extensions import override

from sobolev.autodiff.engine import Method
from sobolev.callbacks.base import Callback, pass_over
from sobolev.callbacks.processes import awaits_results, gathered, send_home
from sobolev.callbacks.restored_state import one_thread, state_restored
from sobolev.readout import Readout, solve_readout
from sobolev.readout.batch import OWN, Keys, OfColumns, samples_in
from sobolev.readout.equations import Samples
from sobolev.readout.extension import solve_extended
from sobolev.readout.training_data import held_out_samples, own_split, training_samples
from sobolev.readout.training_loop import (
    adapt,
    check_own_weights,
    is_last_epoch,
    make_double,
    validate_again,
)
from sobolev.surrogates.explained import of_little_explained


class LeastSquaresReadout(Callback):
    """Solves the last linear layer over the training data, at the end of `fit`: never a worse network.

    Works on any LightningModule whose forward maps (batch, *in), or several such inputs, to (batch, *out) and whose
    batches are inputs, targets and derivative labels if there are any, (x, y[, d1[, d2]]), where NaN is no label, or
    dictionaries of which `inputs` and `targets` are named. It runs before the last validation, so that metrics, report
    and checkpoints are those of the network it leaves. See `sobolev.readout.solve_readout` for what it does; where it
    cannot, it warns with the reason and leaves the network as it is.

    The training samples are those of the data module in float64, if it is one of sobolev's, else the batches of the
    training dataloader. Held out are the validation samples, or without any a fifth of the training samples.

    Args:
        precision: of the network afterwards: its own (`network`), or `float64`, which takes derivatives to ten
            digits and more: all weights are converted, and checkpoints hold them so.
        every_n_epochs: also in between, after so many epochs each time; the optimiser forgets its momentum of that
            layer.
        method: as in `sobolev.derivatives`.
        evidence: at the end, for a standardised `MLP` and float64, with more features than were trained: random units,
            and those that the evidence finds on 5,000 rows (see `EvidenceRegressor`), solved for on all rows. They
            take the place of the last layer where held-out rows say that they are better. For many rows.
        inputs: names or positions of the entries of a batch that forward takes, in its order; None: the first.
        targets: the same of the targets and derivative labels; None: what stands behind the inputs.

    Attributes:
        result: what the last readout did; None if there was none.
        seconds: spent in it so far.

    Examples:
        >>> import lightning, sobolev
        >>> monitor, readout = sobolev.DerivativeMonitor(), sobolev.LeastSquaresReadout(precision="float64")
        >>> trainer = lightning.Trainer(max_epochs=5, callbacks=[monitor, readout])
        >>> trainer.fit(sobolev.Regressor(sobolev.MLP()), sobolev.FunctionData("x**2", domain=(-1, 1), samples=500))
        The last layer ... was solved anew by least squares: ...
        >>> monitor.errors[2]["relative_l2"] < 1e-6
        True
    """

    def __init__(
        self,
        precision: Literal["network", "float64"] = "network",
        every_n_epochs: int | None = None,
        method: Method = "auto",
        evidence: bool = False,
        inputs: Keys | None = None,
        targets: Keys | None = None,
    ) -> None:
        if precision not in ("network", "float64"):
            raise ValueError(f"LeastSquaresReadout: precision is {precision!r}; it is 'network' or 'float64'")
        if every_n_epochs is not None and every_n_epochs < 1:
            raise ValueError(f"LeastSquaresReadout: every_n_epochs is {every_n_epochs}; it is 1 or more, or None")
        self.precision: Literal["network", "float64"] = precision
        self.every_n_epochs = every_n_epochs
        self.method: Method = method
        self.evidence = evidence
        self.inputs, self.targets = inputs, targets
        self._id = awaits_results(self)
        self._forget()

    def _forget(self) -> None:
        self.result: Readout | None = None
        self.seconds = 0.0
        self._solved_at = self._measured_at = -1
        self._said = True
        self._refused = False
        self._shapes: list[torch.Size] = []

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stand before those callbacks that measure and report at the end."""
        pass_over(self, trainer)
        self._forget()
        callbacks = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        trainer.callbacks = [self, *(c for c in callbacks if c is not self)]  # pyright: ignore[reportAttributeAccessIssue]

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """What cannot be read is said before a long training, not behind it."""
        if trainer.global_step or batch_idx or own_split(trainer, "training") is not None:
            return
        try:
            self.samples(batch)
        except (TypeError, ValueError) as error:
            self._refused = True
            rank_zero_warn(f"LeastSquaresReadout will leave the network as it is: {error}")

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """At the last batch of an epoch, before its validation."""
        if trainer.is_last_batch and self._is_due(trainer):
            self.solve(trainer, pl_module, last=is_last_epoch(trainer))

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
            validate_again(trainer)
        for checkpoint in trainer.checkpoint_callbacks:
            last = checkpoint.last_model_path if isinstance(checkpoint, ModelCheckpoint) else ""
            if last and getattr(checkpoint, "_last_global_step_saved", None) != trainer.global_step:
                trainer.save_checkpoint(last)

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Say what was done, when the progress bar is gone; and where many rows have taught little."""
        if not self._said and trainer.is_global_zero:
            Console(soft_wrap=True).print(str(self.result), markup=False, highlight=False)
            if self.evidence and self.result and (said := of_little_explained(1 - self.result.after[0] ** 2)):
                rank_zero_warn(said)
        self._said = True
        send_home(trainer, self._id, {"result": self.result, "seconds": self.seconds})

    def samples(self, batch: Any) -> Samples:
        """Points, targets and derivative labels of a batch, (x, y[, d1[, d2]]). Override it for other batches.

        Raises:
            TypeError: the batch is no tuple, list or dictionary with tensors of floating point where they should be.
            ValueError: it has no entry of that name.
        """
        samples, self._shapes = samples_in(batch, self.inputs, self.targets)
        return samples

    def solve(self, trainer: Trainer, pl_module: LightningModule, *, last: bool = True) -> None:
        """Solve now, with the data of the trainer; where that cannot be, warn and leave the network as it is.

        Args:
            trainer: whose data and strategy are used.
            pl_module: the module; its weights are changed in place.
            last: no training step follows, so that it may become float64.
        """
        if self._refused:  # which was said at the start
            return
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
        check_own_weights(trainer)
        if self.inputs is not None and not self._shapes:  # by hand, or after a resume
            next(iter(training_samples(trainer, self.samples)), None)
        if last and self.precision == "float64":
            make_double(trainer, pl_module, training_samples(trainer, self.samples), self._of_one_input)
        rows = (lambda: training_samples(trainer, self.samples), lambda: held_out_samples(trainer, self.samples))
        with state_restored(pl_module, pl_module.device):
            found = solve_readout(self._of_one_input(pl_module), *rows, method=self.method, gather=gathered)
            self.result = replace(found, layer=found.layer.removeprefix(OWN) if len(self._shapes) > 1 else found.layer)
            if self.evidence and last and self.precision == "float64":
                with one_thread():
                    self.result = solve_extended(pl_module, self.result, *rows, method=self.method, gather=gathered)
        self._said = False
        adapt(trainer, pl_module.get_submodule(self.result.layer), changed=self.result.changed)

    def _of_one_input(self, pl_module: LightningModule) -> nn.Module:
        """The module as a function of one tensor, its own input or the columns of several."""
        return OfColumns(pl_module, self._shapes) if len(self._shapes) > 1 else pl_module

    def _is_due(self, trainer: Trainer) -> bool:
        due = self.every_n_epochs is not None and (trainer.current_epoch + 1) % self.every_n_epochs == 0
        return due or is_last_epoch(trainer)
