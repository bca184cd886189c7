"""The callback that watches derivatives while a network trains."""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor
from typing_extensions import override

from sobolev.audit import Finding
from sobolev.audit.distributed import is_in_pieces
from sobolev.autodiff.engine import ChunkSize, Method
from sobolev.callbacks.base import callbacks_of, has_trainer, is_a, needs_trainer, pass_over
from sobolev.callbacks.processes import awaits_results, gathered, send_home
from sobolev.callbacks.restored_state import random_numbers_kept
from sobolev.callbacks.tensorboard import add_charts, add_image
from sobolev.errors import UntrustworthyDerivativeError
from sobolev.estimates.estimate import KEY
from sobolev.functions import Function
from sobolev.functions.notation import Place
from sobolev.monitor.batch import Key, length, mapped
from sobolev.monitor.budget import (
    ALWAYS_STEPS,
    LONGEST_LAST_LOOK,
    SHARE,
    Stopwatch,
    affordable_in_the_end,
    coefficients,
    is_worth_measuring,
    part_done,
    steps_between,
)
from sobolev.monitor.contradicting_targets import contradiction, in_order_of, names_of, other_factor
from sobolev.monitor.drawing_points import drawing_points, has_points, on_coarser_grid, on_whole_grid, outside_of
from sobolev.monitor.estimation import Estimation, When
from sobolev.monitor.evaluations import Evaluations, OwnMethods, in_shape_of
from sobolev.monitor.findings import ModuleAudit, OnFinding
from sobolev.monitor.measured_points import Sample, Sampling
from sobolev.monitor.measurement import Measurement, Truth, measured_order
from sobolev.monitor.named_derivatives import all_places, named_places, names_for_figures
from sobolev.monitor.scalars import Scalars, digits, stepped
from sobolev.monitor.standardized import network_inside, scaled_tensors
from sobolev.monitor.targets import Target, unnamed
from sobolev.monitor.truth import ExactDerivatives, labels_of
from sobolev.monitor.user_points import Places, places
from sobolev.monitor.validation_hooks import ValidationHooks
from sobolev.monitor.waiting import is_waited_for, refuse_early_questions
from sobolev.monitor.weights import differentiable, fingerprint, is_sharded_otherwise, which_weights
from sobolev.readout.training_data import validation_batches

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

_PACKAGE = Path(__file__).parents[1]

_RESULTS = ("errors", "named_errors", "findings", "points", "weights", "history", "_stopwatch", "_once")

_MOST_INPUTS = 20
"""More are not drawn along each of them."""

_MORE_THAN_INPUTS = (
    "no error is estimated: forward takes more than the inputs. Put the network into a module whose forward takes them "
    "alone, and give that, with the rows, to sobolev.DerivativeEstimate.fit"
)

_BLOCK = 256
"""Rows evaluated at a time where rows of other entries go with them."""


class DerivativeMonitor(ValidationHooks):
    """Logs how good a model's derivatives are, at each validation epoch, in `validate` and in `test`.

    Works on any LightningModule, of `lightning` or `pytorch_lightning`. Logged are `val/d0_rmse`,
    `val/d1_relative_l2`, `val/d2_max` and so on (`test/` in `test`); for several inputs over all entries of gradient
    and Hessian. Where nothing exact is known, `val/d1_estimated_rmse` and `val/d1_estimated_relative_l2` are estimates
    of the error, see `sobolev.DerivativeEstimate`; `val/d1_rms`, `val/d1_max` are the derivative's own size. The
    training is the same to the last bit with and without the monitor. An audit says at the start of `fit` whether the
    derivatives can be trusted. After the training everything is measured once more, should the weights have changed.

    Args:
        order: the highest order of derivative.
        reference: the exact function of the inputs: a formula, an import path, or a `sobolev.Function`. A formula's
            inputs are in the order in which the data module or the batch names them, else alphabetically; where the
            targets of the batch contradict it, that is said. If left out, the reference of the data module; else
            derivative labels in the batches.
        method: as in `sobolev.derivatives`.
        chunk_size: as in `sobolev.derivatives`.
        figure_every_n_epochs: how often the figure goes to TensorBoard, besides the one at the end that `Report`
            writes; None for never; `"auto"`: every 60 epochs, where drawing takes little of the training's time.
        on_finding: what to do with the findings of the audit: warn, raise `UntrustworthyDerivativeError` where a
            derivative is wrong, or ignore them.
        name: goes into what is logged, `val/NAME/d0_rmse`; several monitors of one trainer need different names. The
            `Report` is about the first of them.
        inputs: by which entries of a batch to differentiate, as keys, positions or paths (`x`, `0`, `inputs.x`), one
            or several; all else that forward takes is held fixed. If left out, all that forward takes and that is of
            floating point. Several are one vector, in this order.
        output: which entry of what forward returns is looked at, or several; of a tensor a column, by its number. Can
            be left out where it returns one tensor, one with a row for each sample, or a distribution: that is its
            mean.
        targets: the entries of a batch with the targets and, behind them, labels of the derivatives, None where there
            is none; or by orders, `{1: "-forces"}`. They may have a sign and a unit: `-forces`, `0.001 * forces`,
            `forces / 27.2`. If left out, what stands behind the inputs, or `y`, `target(s)`, `label(s)`.
        points: where to measure in place of the validation batches: the axes of a grid, `{"x": [-1, 1, 50]}`, a
            CSV or Parquet file with a column for each input, or a function without arguments that returns (points,
            inputs), or its import path. All else that forward takes is then that of the first sample.
        max_points: at most so many points of the validation batches, evenly drawn; None: all. `"auto"`: all in
            `validate` and `test`, in `fit` as many as take a few per cent of the time of the training.
        every_n_epochs: in `fit`, measure at the first validation, then only when so many epochs have passed; in
            between the last values are logged again. `"auto"`: at every epoch of 40 training steps or more, and where
            a callback or a schedule waits for a value; of shorter ones at the first, the last and 16 over all of the
            training, and at others as long as the monitor takes less than 5 % of the time, what is paid once included.
        estimate: errors up to order 2 are estimated from values alone `"auto"`: where no truth is known; `"always"`:
            beside the truth as well; or `"never"`.

    Attributes:
        errors: of the last validation or test: one dictionary an order. The sanity check does not count.
        named_errors: the same for each derivative that the data module has a name for, such as delta.
        findings: of the last audit.
        weights: which were measured last: `as trained`, or an average's.
        history: correct digits of each order, measured or estimated, by the epochs of the training.

    Examples:
        >>> import lightning, sobolev
        >>> monitor = sobolev.DerivativeMonitor(order=2)
        >>> trainer = lightning.Trainer(max_epochs=2, callbacks=[monitor])
        >>> trainer.fit(sobolev.Regressor(sobolev.MLP()), sobolev.FunctionData("x**2", domain=(-1, 1), samples=200))
        >>> [error["order"] for error in monitor.errors], monitor.errors[2]["rmse"] > 0
        ([0, 1, 2], True)
    """

    def __init__(
        self,
        order: int = 2,
        reference: str | Function | None = None,
        method: Method = "auto",
        chunk_size: ChunkSize = "auto",
        figure_every_n_epochs: int | Literal["auto"] | None = "auto",
        on_finding: OnFinding = "warn",
        name: str | None = None,
        inputs: Key | list[Key] | None = None,
        output: Key | list[Key] | None = None,
        targets: Key | list[Key | None] | dict[int, Key | None] | None = None,
        points: Places | None = None,
        max_points: int | Literal["auto"] | None = "auto",
        every_n_epochs: int | Literal["auto"] = "auto",
        estimate: When = "auto",
    ) -> None:
        if order < 0:
            raise ValueError(f"DerivativeMonitor: order is {order}; it is 0 or more")
        if not (every_n_epochs == "auto" or every_n_epochs >= 1) or not (
            max_points in ("auto", None) or max_points >= 1
        ):
            raise ValueError(
                f"DerivativeMonitor: every_n_epochs is {every_n_epochs}, max_points {max_points}; they are 1 or more"
            )
        if on_finding not in ("warn", "raise", "ignore"):
            raise ValueError(f"DerivativeMonitor: on_finding is {on_finding!r}; choose 'warn', 'raise' or 'ignore'")
        if estimate not in ("auto", "always", "never"):
            raise ValueError(f"DerivativeMonitor: estimate is {estimate!r}; choose 'auto', 'always' or 'never'")
        self.order = order
        self.reference = reference if isinstance(reference, Function | None) else Function(reference)
        self.method: Method = method
        self.chunk_size: ChunkSize = chunk_size
        self.figure_every_n_epochs = figure_every_n_epochs
        self.on_finding: OnFinding = on_finding
        self.name = name
        self.inputs, self.output, self.targets = inputs, output, targets
        self.places = points
        self.max_points = max_points
        self.every_n_epochs = every_n_epochs
        self.estimate: When = estimate
        self._clock = perf_counter
        self._id = awaits_results(self)
        self._forget()
        needs_trainer(self)

    def _forget(self, named: Mapping[str, Place] | None = None) -> None:
        """Everything about a module: the next one may be another, on another device.

        Args:
            named: derivatives that the data have names for.
        """
        self._stopwatch, self._once = Stopwatch(self._clock), Stopwatch(self._clock)
        self._start = self._clock()
        self.measurement = Measurement(self.order, self.method, self.chunk_size, named)
        self.errors: list[dict[str, Any]] = []
        self.named_errors: list[dict[str, Any]] = []
        self.findings: tuple[Finding, ...] = ()
        self.points = 0
        self.weights = "as trained"
        self._evaluations = Evaluations(self.inputs, self.output, self.targets)
        self._sampling = Sampling(self.max_points, self._period, self.order)
        self._exact = ExactDerivatives(self.order)
        self.estimation = Estimation(self.estimate, self.method)
        self.history: dict[int, dict[int, float]] = {}
        self._scalars = Scalars(self.name)
        self._audit = ModuleAudit(self.order, self.on_finding, self._scalars.tag("audit"))
        self._own_points: Tensor | None = None
        self._ordered: Function | None = None
        self._fingerprint: list[float] = []
        self._measured_epoch = 1 - self._period  # so that the first is measured, for whoever waits for a value
        self._due, self._watched = True, None
        self._done = 0.0
        self._later: list[tuple[int, int, list[dict[str, Any]]]] = []
        self._off = self._failed = self._said_too_high = False
        self._said_factors: set[Target] = set()

    @property
    def seconds(self) -> float:
        """Spent in the monitor so far, in the last training, validation or test."""
        return self._stopwatch.seconds

    @property
    def seconds_once(self) -> float:
        """Of these, on audit, measurement and estimate when each is made first, and at the end."""
        return self._once.seconds

    # What a subclass may do in its own way

    def inputs_of(self, batch: Any) -> Tensor:
        """By what to differentiate in a batch, (batch, *in). Override it where `inputs` is not enough."""
        return self._evaluations.present.x(batch)

    def outputs_at(self, model: "LightningModule", batch: Any, x: Tensor) -> Tensor:
        """What is differentiated, (batch, *out). Override it where forward takes x in a form of its own.

        Args:
            model: the module; its forward is to be called.
            batch: with a row for each row of x.
            x: in place of `inputs_of(batch)`; may be no torch.Tensor, but computes like one.
        """
        return self._evaluations.present.y(model, batch, x)

    def truth(self, trainer: "Trainer", batch: Any) -> Truth:
        """The exact derivative tensors at the inputs of a batch, as far as anything is known.

        Without a reference, order 0 falls back on the targets of the batch, (batch, *out), the others on derivative
        labels, (batch, *out, *in), (batch, *out, *in, *in).
        """
        reference, x = self.exact_function(trainer), self.inputs_of(batch)
        if reference is not None:
            return self._exact.at(reference, x)
        return labels_of(batch, self._evaluations.present, x, named=self.targets is not None)

    def exact_function(self, trainer: "Trainer") -> Function | None:
        """The reference, or that of the data module."""
        return self._ordered or self.reference or getattr(getattr(trainer, "datamodule", None), "reference", None)

    def figure(self, trainer: "Trainer") -> Any:
        """The matplotlib figure of the last measurement: each order over the truth, its error below."""
        from sobolev.plots import derivatives_figure

        names: dict[str, Any] = names_for_figures(getattr(trainer, "datamodule", None))
        x, predicted, exact = self.measurement.figure_data()
        data, drawn = getattr(trainer, "datamodule", None), self._drawn(trainer, exact)
        by_formula = self.exact_function(trainer) is not None
        known = by_formula and not has_points(data)
        if not known and any(e is not None and bool(e.isfinite().any()) for e in exact):
            names["measured"], exact = (x, predicted, exact), []
            names["measured_name"] = "exact" if by_formula else "data"
        if drawn is not None:
            x, predicted, exact = drawn.figure_data()
            exact = [] if has_points(data) else exact  # it is known at the points alone
        bands = None if known else self._bands(trainer.lightning_module, x, predicted, on_grid=drawn is not None)
        if drawn is not None and not known:
            names["outside"] = outside_of(data, x) if has_points(data) else self.estimation.outside(x)
        return derivatives_figure(x, predicted, exact, findings=self.findings, deviations=bands, **names)

    def _bands(self, model: Any, x: Tensor, predicted: list[Tensor], *, on_grid: bool) -> list[Tensor] | None:
        """Standard deviations at points; on a grid a quarter of them is computed, which costs most of a figure."""
        if not on_grid or x.shape[1] != 2:
            return self.estimation.deviations(model, x, predicted)
        found = self.estimation.deviations(model, on_coarser_grid(x), [on_coarser_grid(t) for t in predicted])
        return None if found is None else [on_whole_grid(t) for t in found]

    def _pixels(self, trainer: "Trainer") -> Any:
        from sobolev.plots import image

        return image(self.figure(trainer))

    def _drawn(self, trainer: "Trainer", exact: list[Tensor | None]) -> Measurement | None:
        """The function where a figure shows it best: on a line, on a grid, or along each of many inputs.

        None where that are the measured points: of a known function of one input or many, and where labels of
        derivatives of many inputs are compared; also where a process cannot differentiate elsewhere by itself.
        """
        reference, model, kept = self.exact_function(trainer), trainer.lightning_module, self.measurement.kept
        flat = kept[0][0].dim() == 2 and len(kept[0][0]) > 0 and self._evaluations.alone(self._own)
        if not flat or any(map(is_in_pieces, model.parameters())):
            return None
        inputs, labelled = kept[0][0].shape[1], any(e is not None and bool(e.isfinite().any()) for e in exact[1:])
        if (reference is not None and inputs != 2) or (labelled and inputs > 2) or inputs > _MOST_INPUTS:
            return None
        points = torch.cat([points for points, *_ in kept])
        x = drawing_points(points, getattr(trainer, "datamodule", None)).to(model.device)
        drawn = Measurement(self.order, self.method, self.chunk_size)
        with self._stopwatch, differentiable(model):
            batch = mapped(lambda tensor: tensor.to(model.device), self._audit.first)
            batch = self._evaluations.prepared(model, batch, self._own)
            function = self._evaluations.function(model, batch, len(x), True, self._own)
            truth = () if reference is None else ExactDerivatives(self.order).at(reference, x)
            drawn.update(function, x, truth, most_kept=len(x))
        return drawn

    # The course of a run, as Lightning calls it

    @override
    def setup(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        has_trainer(self)
        names = [c.name for c in callbacks_of(trainer) if isinstance(c, DerivativeMonitor)]
        if len(set(names)) < len(names):
            raise ValueError(
                "two DerivativeMonitors would log under the same names; give each a name of its own: "
                "DerivativeMonitor(..., name='coarse')"
            )
        pass_over(self, trainer)
        if stage == "predict":  # what was measured before is not forgotten
            return
        data, named = getattr(trainer, "datamodule", None), named_places(getattr(trainer, "datamodule", None))
        self._forget(named or (all_places(data, self.order) if self.exact_function(trainer) is None else {}))
        self._off = is_sharded_otherwise(trainer.strategy)
        if self._off:
            rank_zero_warn(
                f"DerivativeMonitor measures nothing under {type(trainer.strategy).__name__}, which keeps the weights "
                "in pieces; use ddp, or ModelParallelStrategy (FSDP2), whose pieces can be put together"
            )

    @override
    def on_fit_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        refuse_early_questions(trainer, self._scalars.tag("val", "d"))
        with self._stopwatch, self._once:
            add_charts(trainer, self.order + 1, self._scalars.tag)

    @override
    def on_sanity_check_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self.errors, self.named_errors, self.points = [], [], 0
        self._sampling.samples.clear()
        self._measured_epoch = 1 - self._period
        self._fingerprint = []

    @override
    def on_train_batch_start(
        self, trainer: "Trainer", pl_module: "LightningModule", batch: Any, batch_idx: int
    ) -> None:
        if not self._sampling.training_rows:
            self._sampling.training_rows = length(batch)
        if not self._audit.done and not self._off:  # no sanity check came before
            with self._stopwatch, self._letting_train(trainer):
                self._audit.see(batch, of_training=True)
                self._audit_first(trainer, pl_module)
        collects = not self._off and self._estimation_collects(trainer)
        if collects:
            with self._stopwatch:
                self._see_rows(pl_module, batch)
        if (self._audit.done or self._off) and not collects:
            pass_over(self, trainer, "on_train_batch_start")

    @override
    def on_train_epoch_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        if self.places is not None and not sum(trainer.num_val_batches):
            self._begin(trainer)
            if self._due:
                self._end(trainer, pl_module, "val")

    @override
    def on_fit_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self.finish(trainer, pl_module)
        summary = self.estimation.summary() or {}
        if not any(is_a(callback, "Report") for callback in callbacks_of(trainer)):  # which says more
            for said in filter(None, (summary.get(name) for name in ("verdict", "remark", "odd_row"))):
                rank_zero_info(f"DerivativeMonitor: {said}")

    @override
    def on_save_checkpoint(self, trainer: "Trainer", pl_module: "LightningModule", checkpoint: dict[str, Any]) -> None:
        """What an estimate needs to know of the rows."""
        state = self.estimation.state()
        if state is not None:
            checkpoint[KEY] = state

    @override
    def teardown(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        """What turned out wrong at the end is raised when the report has been written."""
        send_home(trainer, self._id, {name: getattr(self, name) for name in _RESULTS})
        self._audit.raise_what_is_wrong()

    # One pass through validation or test data: x and labels out of each batch, differentiate, count, log

    @override
    def _begin(self, trainer: "Trainer") -> None:
        self._due = self._is_due(trainer)
        if self._due:
            self.measurement.reset()
        self._sampling.begin()

    @override
    def _before_step(self, trainer: "Trainer", pl_module: "LightningModule", batch: Any) -> None:
        self._evaluations.observer.begin(pl_module, batch)  # of the first one, which shows how forward is called
        pass_over(self, trainer, "on_validation_batch_start", "on_test_batch_start")

    @override
    def _take(self, trainer: "Trainer", pl_module: "LightningModule", batch: Any) -> None:
        if self._off or self._failed:
            return
        with self._stopwatch, self._once_at_first(), self._letting_train(trainer):
            self._audit.see(batch)
            if self._estimation_collects(trainer) and not trainer.sanity_checking:  # the same rows come again
                self._see_rows(pl_module, batch, held_out=True)
            if (self._due or not self._sampling.samples.complete) and not self._sampling.placed:
                x = self._evaluations.inputs(pl_module, batch, self._own)
                self._sampling.whole = self._evaluations.bound
                samples = self._sampling.take(trainer, pl_module, batch, x, self._user_points())
                self._measure(trainer, pl_module, samples if self._due else [])

    @override
    def _end(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        if self._off or self._gives_up(trainer):
            return
        with self._stopwatch, self._once_at_first(), self._letting_train(trainer):
            if not self._audit.done:
                self._audit_first(trainer, pl_module)
            rest = self._rest(trainer, pl_module)
            self._sampling.samples.complete = True
            if not self._due:
                self._scalars.publish(trainer, pl_module, stage, self.errors, again=True)
                return
            self._measure(trainer, pl_module, rest)
            ends = trainer.state.fn != "fit" or self._is_last(trainer)
            with self._once if ends else nullcontext():
                self._conclude(trainer, pl_module, last=ends and not self._is_measured_again(trainer))
            self._measured_epoch = trainer.current_epoch + 1
            waits = self.estimation.waits
            if trainer.state.fn == "fit" and not trainer.sanity_checking:
                self.history[self._measured_epoch] = digits(self.errors)
                if waits:
                    self._later.append((self._measured_epoch, stepped(trainer), self.errors))
            self._scalars.publish(trainer, pl_module, stage, self.errors, digits_follow=waits)
            if self._figure_is_due(trainer):
                add_image(trainer, self._scalars.tag("derivatives"), lambda: self._pixels(trainer))

    def _rest(self, trainer: "Trainer", pl_module: "LightningModule") -> list[Sample]:
        """What is left at the end; of the user's own points, the share of a process that had no batch."""
        first = self._audit.first
        if self.places is not None and first is None and self._audit.misfit is not None:
            raise self._audit.misfit
        if self.places is None or self._sampling.placed or first is None:
            return self._sampling.rest(trainer)
        first = mapped(lambda tensor: tensor.to(pl_module.device), first)
        x = self._evaluations.inputs(pl_module, first, self._own)
        return self._sampling.take(trainer, pl_module, first, x, self._user_points())

    def _measure(self, trainer: "Trainer", pl_module: "LightningModule", samples: list[Sample]) -> None:
        if not samples:
            return
        if not self.measurement.rows:
            self.weights = which_weights(callbacks_of(trainer), ended=trainer.state.fn != "fit")
            self._fingerprint = fingerprint(pl_module) if self._counts_as_last(trainer) else []
        with differentiable(pl_module, others=not type(self).__module__.startswith("sobolev.")):
            for sample in samples:
                self._differentiate(trainer, pl_module, sample)

    def _differentiate(self, trainer: "Trainer", pl_module: Any, sample: Sample, until: float | None = None) -> None:
        """Count the errors at a sample, or at some of its points when it gets late; inside `differentiable`."""
        own, evaluations, (_, points) = self._own, self._evaluations, sample
        batch = evaluations.prepared(pl_module, sample[0], own)
        x = in_shape_of(evaluations.x(batch, own), points)
        if self.reference is not None and self._ordered is None:
            self._order_reference(trainer, batch, x, compared=points is None)
        reference = self.exact_function(trainer)
        if points is None:
            truth = self.truth(trainer, batch)
        else:
            truth = () if reference is None else self._exact.at(reference, x)
        required = reference is not None or self.targets is not None
        inside = network_inside(pl_module) if evaluations.plain(own) and x.dim() == 2 else None
        until = None if evaluations.bound else until
        update = partial(self.measurement.update, x=x, truth=truth, required=required, until=until)
        if inside is not None:
            update(lambda _: inside, differentiate=scaled_tensors)
        else:
            function = evaluations.function(pl_module, batch, len(x), points is not None, own)
            update(function, block=None if evaluations.alone(own) or evaluations.bound else _BLOCK)
        self._say_if_too_high(x)

    def _order_reference(self, trainer: "Trainer", batch: Any, x: Tensor, *, compared: bool) -> None:
        """Once: the reference by the names that the data have; where their targets contradict it, say so."""
        assert self.reference is not None
        present = self._evaluations.present
        names = names_of(getattr(trainer, "datamodule", None), present, x)
        self._ordered = in_order_of(self.reference, names)
        if names and len(names) > 1 and not set(names) & set(self._ordered.inputs) and self.on_finding != "ignore":
            pairs = ", ".join(f"{name} for {other}" for name, other in zip(self._ordered.inputs, names, strict=False))
            rank_zero_warn(f"DerivativeMonitor: the reference {self.reference.name!r} is taken by position: {pairs}")
        targets = labels_of(batch, present, x, named=False)[:1] if compared and self.on_finding != "ignore" else ()
        if targets and isinstance(targets[0], Tensor) and len(self._ordered.inputs) == x.shape[1:].numel():
            said = contradiction(self._ordered, x.flatten(1), targets[0])
            if said is not None:
                rank_zero_warn(f"DerivativeMonitor: {said}")

    def _say_other_factors(self) -> None:
        """Once for each label: where a derivative fits it but for the sign or the unit."""
        if self.reference is not None or self.on_finding == "ignore" or not self.measurement.kept:
            return
        _, predicted, exact = self.measurement.figure_data()
        triples = zip(predicted, exact, self._evaluations.present.targets, strict=False)
        for order, (values, labels, target) in enumerate(triples):
            if order and labels is not None and target is not None and target not in self._said_factors:
                said = other_factor(order, values, labels, target)
                if said is not None:
                    self._said_factors.add(target)
                    rank_zero_warn(f"DerivativeMonitor: {said}")

    def _conclude(self, trainer: "Trainer", pl_module: "LightningModule", *, last: bool) -> None:
        self.errors, self.points = self.measurement.errors()
        self.named_errors = self.measurement.named_errors
        if trainer.sanity_checking:
            return
        if last:
            self._say_other_factors()
        if not self.estimation.wanted(self.errors):
            return
        if self._evaluations.alone(self._own):
            plain, now = last and self._evaluations.plain(self._own), last or self._estimates_now(trainer)
            with nullcontext() if self.estimation.estimate else self._once:
                self.estimation.add(self.errors, trainer, pl_module, self.measurement.kept, last=plain, now=now)
            self._publish_later(trainer)
            self.estimation.add_named(self.named_errors, self.measurement.named)
        else:
            self.estimation.remark = _MORE_THAN_INPUTS

    def _estimates_now(self, trainer: "Trainer") -> bool:
        """Whether estimates need not wait until the training has taken long enough, or ends."""
        if trainer.state.fn != "fit" or trainer.world_size > 1 or self._is_last(trainer) or self._is_watched(trainer):
            return True
        return self.estimation.takes_little(trainer, self._clock() - self._start)

    def _publish_later(self, trainer: "Trainer") -> None:
        """Estimates of errors for the epochs that had to do without."""
        if not self.estimation.waits:
            for epoch, step, errors in self._later:
                self.history[epoch] = digits(errors)
                self._scalars.publish_later(trainer, errors, step)
            self._later = []

    def _estimation_collects(self, trainer: "Trainer") -> bool:
        return trainer.state.fn == "fit" and self.estimation.collects(trainer, self.exact_function(trainer) is not None)

    def _see_rows(self, pl_module: "LightningModule", batch: Any, *, held_out: bool = False) -> None:
        """Hand rows of a batch to the estimation; a batch in another form than those of the validation has none."""
        try:
            x = self._evaluations.inputs(pl_module, batch, self._own)
            labels = labels_of(batch, self._evaluations.present, x, named=self.targets is not None)
        except (TypeError, ValueError):
            return
        self.estimation.see(x, labels, held_out=held_out)
        present = self._evaluations.present
        if self.estimation.missing or present.targets or not self._evaluations.alone(self._own):
            return
        self.estimation.missing = said = unnamed(batch, present.arguments)
        if said and self.on_finding != "ignore":
            rank_zero_warn(f"DerivativeMonitor: {said}")

    # At the end of a training, or by hand

    def finish(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Bring errors and findings up to date at the end of a training. All processes call it; twice does no harm."""
        if not self._off and not self._gives_up(trainer):
            with self._stopwatch, self._once, self._letting_train(trainer):
                self._finish(trainer, pl_module)

    def _finish(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        samples = trainer.strategy.reduce_boolean_decision(bool(self._sampling.samples), all=False)
        if not samples:
            if not self.errors:
                self._off = True  # so that it is said once
                rank_zero_info(
                    "DerivativeMonitor measured nothing: there was no validation; give the trainer validation data"
                )
            return
        outdated = fingerprint(pl_module) != self._fingerprint or self.estimation.waits
        rest = self._is_measured_again(trainer)
        before = self.errors
        if trainer.strategy.reduce_boolean_decision(rest, all=False):
            self._measure_all(trainer, pl_module)
        elif trainer.strategy.reduce_boolean_decision(outdated, all=False):
            self.measure(trainer, pl_module)
        if self.errors != before:
            self.history[max(self._measured_epoch, trainer.current_epoch)] = digits(self.errors)
            for logger in trainer.loggers:
                logger.log_metrics(self._scalars.of("val", self.errors), step=trainer.global_step)
        if trainer.strategy.reduce_boolean_decision(self._audit.is_outdated(pl_module), all=False):
            self._audit.announce(trainer, self.audit(pl_module))

    def measure(self, trainer: "Trainer", pl_module: "LightningModule") -> list[dict[str, Any]]:
        """Measure now, with the weights as they are, at the points of the last validation.

        For whoever has changed the weights. All processes call it; nothing is logged.

        Returns:
            `errors`: a dictionary an order; empty where there was no validation yet.
        """
        if self._off:
            return []
        with self._stopwatch:
            self.measurement.reset()
            self.weights = which_weights(callbacks_of(trainer), ended=True)
            self._fingerprint = fingerprint(pl_module)
            with differentiable(pl_module):
                for sample in self._sampling.samples.on(pl_module.device):
                    self._differentiate(trainer, pl_module, sample)
            self._conclude(trainer, pl_module, last=True)
        return self.errors

    def _measure_all(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """All validation points, when the training is over; of very many or dear ones as many as take a second."""
        with self._stopwatch, random_numbers_kept(), differentiable(pl_module):
            self.measurement.reset()
            self.weights = which_weights(callbacks_of(trainer), ended=True)
            self._fingerprint = fingerprint(pl_module)
            passes = coefficients(max(1, self.measurement.inputs), self.order)
            self._sampling.begin(affordable_in_the_end(pl_module, passes) * trainer.world_size)
            end = perf_counter() + LONGEST_LAST_LOOK
            for batch in validation_batches(trainer):
                x = self._evaluations.inputs(pl_module, batch, self._own)
                for sample in self._sampling.take(trainer, pl_module, batch, x):
                    self._differentiate(trainer, pl_module, sample, end)
                if perf_counter() > end:
                    break
            for sample in self._sampling.rest(trainer):
                self._differentiate(trainer, pl_module, sample, end)
            self._conclude(trainer, pl_module, last=True)

    def audit(self, pl_module: "LightningModule") -> tuple[Finding, ...]:
        """Look once more whether the derivatives can be trusted, at the points of the first audit."""
        with self._stopwatch, self._once:
            self.findings = self._audit.findings_of(pl_module, self._evaluations, self._user_points, self._own)
        return self.findings

    def _audit_first(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Audit on all processes, at the same points."""
        if not self._audit.share(trainer, pl_module, self._evaluations, self._own):
            return
        self._audit.announce(trainer, self.audit(pl_module))
        self._audit.raise_what_is_wrong()

    # Where the module cannot be measured

    @contextmanager
    def _letting_train(self, trainer: "Trainer") -> Iterator[None]:
        """A training is worth more than its monitor: what a module raises inside is said, and the training goes on.

        Mistakes in the monitor's own options are raised, and everything is with `on_finding="raise"`, or where nothing
        is trained.
        """
        try:
            yield
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            option = isinstance(error, ValueError) and _PACKAGE in Path(frames[-1].filename).parents
            if option or trainer.state.fn != "fit" or self.on_finding == "raise":
                raise
            self._failed = True
            kind = "" if isinstance(error, TypeError | UntrustworthyDerivativeError) else f"{type(error).__name__}: "
            rank_zero_warn(
                f"DerivativeMonitor measures nothing, and the training goes on: {kind}{error}. "
                "on_finding='raise' ends the training here"
            )

    def _gives_up(self, trainer: "Trainer") -> bool:
        """Whether any process could not go on; then none does, as they exchange what they have measured."""
        failed = self._failed if trainer.world_size == 1 else any(gathered(self._failed))
        self._off = self._off or failed
        if failed:
            self.errors, self.named_errors = [], []
        return failed

    # Small questions

    @property
    def _own(self) -> OwnMethods:
        """Those methods that a subclass has of its own."""
        return OwnMethods(*(getattr(self, name) if self._overrides(name) else None for name in OwnMethods._fields))

    def _overrides(self, name: str) -> bool:
        return getattr(type(self), name) is not getattr(DerivativeMonitor, name)

    def _user_points(self) -> Tensor | None:
        """The user's own points, in the order of the inputs; None where those of the batches are measured."""
        if self._own_points is None and self.places is not None:
            names = [path.rpartition(".")[2] for path in self._evaluations.present.inputs or ()]
            self._own_points = places(self.places, None if any(map(str.isdigit, names)) else names)
        return self._own_points

    @property
    def _period(self) -> int:
        """Epochs between two measurements, where that is known beforehand."""
        return 1 if isinstance(self.every_n_epochs, str) else self.every_n_epochs

    def _is_due(self, trainer: "Trainer") -> bool:
        """Whether a pass through the data is measured; all processes ask, and get the same answer."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or self.every_n_epochs == 1:
            return True
        if isinstance(self.every_n_epochs, int):
            return trainer.current_epoch + 1 - self._measured_epoch >= self.every_n_epochs
        if steps_between(trainer, 1) >= ALWAYS_STEPS or self._is_last(trainer) or self._is_watched(trainer):
            return True
        done, once, rest = part_done(trainer), self.seconds_once, self._clock() - self._start - self.seconds
        ahead = self.estimation.first_takes(trainer) if self.estimation.wanted(self.errors) else 0.0
        due = is_worth_measuring(done, self._done, len(self.history), self.seconds - once, once + ahead, rest)
        due = trainer.strategy.broadcast(due) if trainer.world_size > 1 else due
        self._done = (done or 0.0) if due else self._done
        return due

    def _once_at_first(self) -> AbstractContextManager[Any]:
        """What is made for the first time takes several times as long as later."""
        return nullcontext() if self.history else self._once

    def _is_watched(self, trainer: "Trainer") -> bool:
        """Whether a callback, such as EarlyStopping, or a schedule waits for what is logged here."""
        if self._watched is None:
            self._watched = is_waited_for(trainer, self._scalars.tag("val", "d"))
        return self._watched

    def _is_measured_again(self, trainer: "Trainer") -> bool:
        """Whether the end of a training takes more points."""
        few = self.measurement.rows < self._sampling.seen and not self._evaluations.bound
        return trainer.state.fn == "fit" and self.max_points == "auto" and self.places is None and few

    def _counts_as_last(self, trainer: "Trainer") -> bool:
        """Whether the end may do with this measurement; after another one it measures again, if that takes little."""
        return self._is_last(trainer) or (self.max_points != "auto" and self.estimation.estimate is None)

    def _is_last(self, trainer: "Trainer") -> bool:
        return trainer.current_epoch + 1 == trainer.max_epochs or trainer.should_stop

    def _figure_is_due(self, trainer: "Trainer") -> bool:
        done, every = trainer.current_epoch + 1, self.figure_every_n_epochs
        if every == "auto":
            every = 60 if self.seconds + 1 < SHARE * (self._clock() - self._start) else None
        due = isinstance(every, int) and done % every == 0 and not trainer.sanity_checking
        return due and bool(self.errors and self.measurement.kept)

    def _say_if_too_high(self, x: Tensor) -> None:
        """Once."""
        order, inputs, measured = self.order, x.shape[1:].numel(), self.measurement.measured
        if measured < order and not self._said_too_high:
            self._said_too_high = True
            outputs = 1 if measured_order(order, x) < order else self.measurement.outputs
            of_outputs = "" if outputs == 1 else f" of {outputs} outputs"
            rank_zero_warn(
                f"the derivative of order {order}{of_outputs} by {inputs} inputs has {inputs**order * outputs} entries "
                f"for each sample: DerivativeMonitor measures up to order {measured}. Say so, order={measured}, or "
                "differentiate by fewer entries of the batch: inputs=..."
            )
