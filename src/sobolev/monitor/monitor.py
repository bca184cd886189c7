"""The callback that watches derivatives while a network trains."""

from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor
from typing_extensions import override

from sobolev.audit import Finding
from sobolev.autodiff.engine import ChunkSize, Method
from sobolev.callbacks.base import pass_over
from sobolev.callbacks.tensorboard import add_charts
from sobolev.functions import Function
from sobolev.monitor.announcing import Announcer, OnFinding
from sobolev.monitor.batches import Key
from sobolev.monitor.measurement import Measurement, Truth
from sobolev.monitor.monitoring import Monitoring, callbacks_of
from sobolev.monitor.names import named_places, names_for_figures
from sobolev.monitor.places import Places
from sobolev.monitor.scalars import Scalars
from sobolev.monitor.watching import Watch
from sobolev.monitor.weights import is_sharded_otherwise

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class DerivativeMonitor(Monitoring):
    """Logs how good a model's derivatives are, at each validation epoch, in `validate` and in `test`.

    Works on any LightningModule, of `lightning` or `pytorch_lightning`. Logged are `val/d0_rmse`,
    `val/d1_relative_l2`, `val/d2_max` and so on (`test/` in `test`); for several inputs over all entries of gradient
    and Hessian. Where nothing exact is known, `val/d1_rms` and `val/d1_max` are the size of the derivative itself. The
    training is the same to the last bit with and without the monitor. An audit says at the start of `fit` whether the
    derivatives can be trusted. After the training everything is measured once more, should the weights have changed.

    Args:
        order: the highest order of derivative.
        reference: the exact function of the inputs: a formula, an import path, or a `sobolev.Function`. If left out,
            that of the data module; else derivative labels in the batches.
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
        output: which entry of what forward returns is looked at, or several; can be left out where it returns one
            tensor, or one with a row for each sample.
        targets: the entries of a batch with the targets and, behind them, labels of the derivatives, None where there
            is none. If left out, what stands behind the inputs, or `y`, `target(s)`, `label(s)`.
        points: where to measure in place of the validation batches: the axes of a grid, `{"x": [-1, 1, 50]}`, a
            CSV or Parquet file with a column for each input, or a function without arguments that returns (points,
            inputs), or its import path. All else that forward takes is then that of the first sample.
        max_points: at most so many points of the validation batches, evenly drawn; None: all. `"auto"`: all in
            `validate` and `test`, in `fit` as many as take a few per cent of the time of the training.
        every_n_epochs: in `fit`, measure at a validation only when so many epochs have passed.

    Attributes:
        errors: of the last validation or test: one dictionary an order. The sanity check does not count.
        named_errors: the same for each derivative that the data module has a name for, such as delta.
        findings: of the last audit.
        seconds: spent in the monitor so far.
        weights: which were measured last: `as trained`, or an average's.
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
        targets: Key | list[Key | None] | None = None,
        points: Places | None = None,
        max_points: int | Literal["auto"] | None = "auto",
        every_n_epochs: int = 1,
    ) -> None:
        if order < 0:
            raise ValueError(f"DerivativeMonitor: order is {order}; it is 0 or more")
        if every_n_epochs < 1 or not (max_points in ("auto", None) or max_points >= 1):
            raise ValueError(
                f"DerivativeMonitor: every_n_epochs is {every_n_epochs}, max_points {max_points}; they are 1 or more"
            )
        if on_finding not in ("warn", "raise", "ignore"):
            raise ValueError(f"DerivativeMonitor: on_finding is {on_finding!r}; choose 'warn', 'raise' or 'ignore'")
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
        self.seconds = 0.0
        self._forget()

    def _forget(self) -> None:
        self.measurement = Measurement(self.order, self.method, self.chunk_size)
        self.errors: list[dict[str, Any]] = []
        self.named_errors: list[dict[str, Any]] = []
        self.findings: tuple[Finding, ...] = ()
        self.points = 0
        self.weights = "as trained"
        self._watch = Watch(self)
        self._scalars = Scalars(self.name)
        self._announcer = Announcer(self.on_finding, self._scalars.tag("audit"))
        self._start_afresh()

    @override
    def setup(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        names = [c.name for c in callbacks_of(trainer) if isinstance(c, DerivativeMonitor)]
        if len(set(names)) < len(names):
            raise ValueError(
                "two DerivativeMonitors would log under the same names; give each a name of its own: "
                "DerivativeMonitor(..., name='coarse')"
            )
        self._start = perf_counter()
        pass_over(self, trainer)
        self._forget()  # it may have watched another model, on another device
        self.measurement.named = named_places(getattr(trainer, "datamodule", None))
        self._off = is_sharded_otherwise(trainer.strategy)
        if self._off:
            rank_zero_warn(
                f"DerivativeMonitor measures nothing under {type(trainer.strategy).__name__}, which keeps the weights "
                "in pieces; use ddp, or ModelParallelStrategy (FSDP2), whose pieces can be put together"
            )

    @override
    def on_fit_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        add_charts(trainer, self.order + 1, self._scalars.tag)

    def inputs_of(self, batch: Any) -> Tensor:
        """By what to differentiate in a batch, (batch, *in). Override it where `inputs` is not enough."""
        return self._watch.forms.evaluation.x(batch)

    def outputs_at(self, model: "LightningModule", batch: Any, x: Tensor) -> Tensor:
        """What is differentiated, (batch, *out). Override it where forward takes x in a form of its own.

        Args:
            model: the module; its forward is to be called.
            batch: with a row for each row of x.
            x: in place of `inputs_of(batch)`; may be no torch.Tensor, but computes like one.
        """
        return self._watch.forms.evaluation.y(model, batch, x)

    def truth(self, trainer: "Trainer", batch: Any) -> Truth:
        """The exact derivative tensors at the inputs of a batch, as far as anything is known.

        Without a reference, order 0 falls back on the targets of the batch, (batch, *out), the others on derivative
        labels, (batch, *out, *in), (batch, *out, *in, *in).
        """
        reference, truths = self.exact_function(trainer), self._watch.truths
        return truths.labels(batch) if reference is None else truths.exact(reference, self.inputs_of(batch))

    def exact_function(self, trainer: "Trainer") -> Function | None:
        """The reference, or that of the data module."""
        return self.reference or getattr(getattr(trainer, "datamodule", None), "reference", None)

    def overridden(self, name: str) -> bool:
        """Whether a subclass has its own method of that name."""
        return getattr(type(self), name) is not getattr(DerivativeMonitor, name)

    @override
    def figure(self, trainer: "Trainer") -> Any:
        """The matplotlib figure of the last measurement: each order over the truth, its error below."""
        from sobolev.plots import derivatives_figure

        names = names_for_figures(getattr(trainer, "datamodule", None))
        return derivatives_figure(*self.measurement.figure_data(), findings=self.findings, **names)
