"""The course of a training, a validation or a test, as a `DerivativeMonitor` goes through it."""

from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from lightning_utilities.core.rank_zero import rank_zero_info
from typing_extensions import override

from sobolev.audit import Finding
from sobolev.callbacks.base import pass_over
from sobolev.callbacks.tensorboard import add_figure
from sobolev.errors import UntrustworthyDerivativeError
from sobolev.monitor.announcing import Announcer, OnFinding
from sobolev.monitor.budget import SHARE, Stopwatch
from sobolev.monitor.measurement import Measurement
from sobolev.monitor.opened import opened
from sobolev.monitor.passes import Passes
from sobolev.monitor.places import Places
from sobolev.monitor.rows import length
from sobolev.monitor.samples import Sample
from sobolev.monitor.scalars import Scalars
from sobolev.monitor.watching import Watch
from sobolev.monitor.weights import fingerprint, which_weights

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class Monitoring(Passes):
    """When a monitor audits, measures, logs and draws; `DerivativeMonitor` has the options and what is to override."""

    places: Places | None
    max_points: int | Literal["auto"] | None
    every_n_epochs: int
    figure_every_n_epochs: int | Literal["auto"] | None
    on_finding: OnFinding
    measurement: Measurement
    errors: list[dict[str, Any]]
    named_errors: list[dict[str, Any]]
    findings: tuple[Finding, ...]
    points: int
    weights: str
    seconds: float
    _watch: Watch
    _scalars: Scalars
    _announcer: Announcer
    _off: bool
    _start: float

    def _start_afresh(self) -> None:
        self._audited: list[float] | None = None
        self._wrong: list[str] = []
        self._fingerprint: list[float] = []
        self._measured_epoch = 0

    @override
    def on_sanity_check_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self.errors, self.named_errors, self.points = [], [], 0
        self._watch.drawing.samples.clear()
        self._fingerprint = []

    @override
    def on_train_batch_start(
        self, trainer: "Trainer", pl_module: "LightningModule", batch: Any, batch_idx: int
    ) -> None:
        if not self._watch.drawing.training_rows:
            self._watch.drawing.training_rows = length(batch)
        if self._audited is None and not self._off:  # no sanity check came before
            with Stopwatch(self):
                self._watch.see(batch, of_training=True)
                self._audit_all(trainer, pl_module)
        if self._audited is not None or self._off:
            pass_over(self, trainer, "on_train_batch_start")

    @override
    def _before_step(self, trainer: "Trainer", pl_module: "LightningModule", batch: Any) -> None:
        self._watch.forms.observer.begin(pl_module, batch)  # of the first one, which shows how forward is called
        pass_over(self, trainer, "on_validation_batch_start", "on_test_batch_start")

    @override
    def on_train_epoch_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        if self.places is not None and not sum(trainer.num_val_batches) and self._is_due(trainer):
            self._begin()
            self._end(trainer, pl_module, "val")

    @override
    def on_fit_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self.finish(trainer, pl_module)

    def finish(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Bring errors and findings up to date at the end of a training. All processes call it; twice does no harm."""
        if self._off:
            return
        samples = trainer.strategy.reduce_boolean_decision(bool(self._watch.drawing.samples), all=False)
        if not samples:
            if not self.errors:
                rank_zero_info("DerivativeMonitor measured nothing: there was no validation")
            return
        changed = fingerprint(pl_module) != self._fingerprint
        if trainer.strategy.reduce_boolean_decision(changed, all=False):
            before = self.errors
            self.measure(trainer, pl_module)
            for logger in trainer.loggers if self.errors != before else ():
                logger.log_metrics(self._scalars.of("val", self.errors), step=trainer.global_step)
        if trainer.strategy.reduce_boolean_decision(self._audited != fingerprint(pl_module), all=False):
            self._wrong = self._announcer.announce(trainer, self.audit(pl_module))

    @override
    def teardown(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        """What turned out wrong at the end is raised when the report has been written."""
        self._raise()

    def measure(self, trainer: "Trainer", pl_module: "LightningModule") -> list[dict[str, Any]]:
        """Measure now, with the weights as they are, at the points of the last validation.

        For whoever has changed the weights. All processes call it; nothing is logged.

        Returns:
            `errors`: a dictionary an order; empty where there was no validation yet.
        """
        if self._off:
            return []
        with Stopwatch(self):
            self.measurement.reset()
            self.weights = which_weights(callbacks_of(trainer), ended=True)
            self._fingerprint = fingerprint(pl_module)
            with opened(pl_module):
                for sample in self._watch.drawing.samples.on(pl_module.device):
                    self._watch.measure(trainer, pl_module, sample)
            self._conclude()
        return self.errors

    def audit(self, pl_module: "LightningModule") -> tuple[Finding, ...]:
        """Look once more whether the derivatives can be trusted, at the points of the first audit."""
        if self.on_finding != "ignore":
            with Stopwatch(self):
                self.findings = self._watch.audit(pl_module)
        self._audited = fingerprint(pl_module)
        return self.findings

    def _conclude(self) -> None:
        self.errors, self.points = self.measurement.errors()
        self.named_errors = self.measurement.named_errors

    def _is_due(self, trainer: "Trainer") -> bool:
        if trainer.state.fn != "fit" or trainer.sanity_checking or self.every_n_epochs == 1:
            return True
        return trainer.current_epoch + 1 - self._measured_epoch >= self.every_n_epochs

    @override
    def _begin(self) -> None:
        self.measurement.reset()
        self._watch.drawing.begin()

    @override
    def _take(self, trainer: "Trainer", pl_module: "LightningModule", batch: Any) -> None:
        if self._off:
            return
        with Stopwatch(self):
            self._watch.see(batch)
            due = self._is_due(trainer)
            if due or not self._watch.drawing.samples.complete:
                samples = self._watch.drawing.take(trainer, pl_module, batch)
                self._measure(trainer, pl_module, samples if due else [])

    def _measure(self, trainer: "Trainer", pl_module: "LightningModule", samples: list[Sample]) -> None:
        if not samples:
            return
        if not self.measurement.rows:
            self.weights = which_weights(callbacks_of(trainer), ended=trainer.state.fn != "fit")
            self._fingerprint = fingerprint(pl_module) if self._counts_as_last(trainer) else []
        with opened(pl_module, others=not type(self).__module__.startswith("sobolev.")):
            for sample in samples:
                self._watch.measure(trainer, pl_module, sample)

    def _counts_as_last(self, trainer: "Trainer") -> bool:
        """Whether the end may do with this measurement; after another one it measures again, if that takes little."""
        return trainer.current_epoch + 1 == trainer.max_epochs or trainer.should_stop or self.max_points != "auto"

    @override
    def _end(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        if self._off:
            return
        with Stopwatch(self):
            if self._audited is None:
                self._audit_all(trainer, pl_module)
            rest = self._watch.drawing.rest(trainer, pl_module, self._watch.first)
            self._watch.drawing.samples.complete = True
            if not self._is_due(trainer):
                return
            self._measure(trainer, pl_module, rest)
            self._conclude()
            self._measured_epoch = trainer.current_epoch + 1
            self._scalars.publish(trainer, pl_module, stage, self.errors)
            if self._figure_is_due(trainer):
                add_figure(trainer, self._scalars.tag("derivatives"), lambda: self.figure(trainer))

    def _audit_all(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Audit on all processes, at the same points."""
        if not self._watch.share(trainer, pl_module):
            return
        self._wrong = self._announcer.announce(trainer, self.audit(pl_module))
        self._raise()

    def _raise(self) -> None:
        wrong, self._wrong = self._wrong, []
        if wrong:
            raise UntrustworthyDerivativeError("; ".join(wrong))

    def _figure_is_due(self, trainer: "Trainer") -> bool:
        done, every = trainer.current_epoch + 1, self.figure_every_n_epochs
        if every == "auto":
            every = 60 if self.seconds + 1 < SHARE * (perf_counter() - self._start) else None
        due = isinstance(every, int) and done % every == 0 and not trainer.sanity_checking
        return due and bool(self.errors and self.measurement.kept)

    def figure(self, trainer: "Trainer") -> Any:
        """The matplotlib figure of the last measurement."""
        raise NotImplementedError


def callbacks_of(trainer: "Trainer") -> list[Any]:
    """All of a trainer's."""
    return trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
