"""The callback that watches derivatives while a network trains."""

from time import perf_counter
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from typing_extensions import override

from sobolev.audit import Finding, audit
from sobolev.autodiff.operators import ChunkSize, Method
from sobolev.callbacks.measurement import Measurement, Truth, undisturbed
from sobolev.errors import UntrustworthyDerivativeError
from sobolev.functions import Function

AUDITED_POINTS = 64


class DerivativeMonitor(Callback):
    """Logs how good a model's derivatives are, at each validation epoch, in `validate` and in `test`.

    Works on any LightningModule whose forward maps (batch, *in) to (batch, *out) and whose batches begin with the
    inputs, and the targets if there are any. Logged are `val/d0_rmse`, `val/d1_relative_l2`, `val/d2_max` and so on
    (`test/` in `test`); for several inputs over all entries of gradient and Hessian. Where nothing exact is known,
    `val/d1_rms` and `val/d1_max` are the size of the derivative itself. The training is the same to the last bit with
    and without the monitor.

    Args:
        order: the highest order of derivative.
        reference: the exact function: a formula, an import path, or a `sobolev.Function`. If left out, that of the
            data module; else derivative labels in the batches.
        method: as in `sobolev.derivatives`.
        chunk_size: as in `sobolev.derivatives`.
        figure_every_n_epochs: how often the figure goes to TensorBoard, besides the one at the end that `Report`
            writes; None for never.
        on_finding: what to do with the findings of the audit that runs on the first points: warn, raise
            `UntrustworthyDerivativeError` where a derivative is wrong, or ignore them.
        name: goes into what is logged, `val/NAME/d0_rmse`; several monitors of one trainer need different names. The
            `Report` is about the first of them.

    Attributes:
        errors: of the last validation or test: one dictionary an order. The sanity check does not count.
        findings: of the last audit.
        seconds: spent in the monitor so far.
    """

    def __init__(
        self,
        order: int = 2,
        reference: str | Function | None = None,
        method: Method = "auto",
        chunk_size: ChunkSize = "auto",
        figure_every_n_epochs: int | None = 60,
        on_finding: Literal["warn", "raise", "ignore"] = "warn",
        name: str | None = None,
    ) -> None:
        if order < 0:
            raise ValueError(f"DerivativeMonitor: order is {order}; it is 0 or more")
        self.order = order
        self.reference = reference if isinstance(reference, Function | None) else Function(reference)
        self.figure_every_n_epochs = figure_every_n_epochs
        self.on_finding = on_finding
        self.name = name
        self.method: Method = method
        self.chunk_size: ChunkSize = chunk_size
        self.seconds = 0.0
        self._forget()

    def _forget(self) -> None:
        self.measurement = Measurement(self.order, self.method, self.chunk_size)
        self.errors: list[dict[str, Any]] = []
        self.findings: tuple[Finding, ...] = ()
        self.points = 0
        self._audited: Tensor | None = None

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        callbacks = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        names = [c.name for c in callbacks if isinstance(c, DerivativeMonitor)]
        if len(set(names)) < len(names):
            raise ValueError(
                "two DerivativeMonitors would log under the same names; give each a name of its own: "
                "DerivativeMonitor(..., name='coarse')"
            )
        self._forget()  # it may have watched another model, on another device

    @override
    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.errors, self.points = [], 0

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        logger = tensorboard(trainer)
        if logger is not None:
            names = ("rmse", "relative_l2", "max")
            charts = {
                f"order {k}": ["Multiline", [self._scalar("val", k, n) for n in names]] for k in range(self.order + 1)
            }
            logger.experiment.add_custom_scalars({"derivatives": charts})

    @override
    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.measurement.reset()

    @override
    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.measurement.reset()

    @override
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._measure(trainer, pl_module, batch)

    @override
    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._measure(trainer, pl_module, batch)

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, pl_module, "val")

    @override
    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, pl_module, "test")

    def inputs(self, batch: Any) -> Tensor:
        """The points in a batch, (batch, *in): the batch itself or its first item. Override it for other batches.

        Raises:
            TypeError: the batch is neither a tensor nor a tuple or list that begins with one.
        """
        first = batch[0] if isinstance(batch, list | tuple) and batch else batch
        if not isinstance(first, Tensor):
            raise TypeError(
                f"{type(self).__name__} finds no inputs in a batch of type {type(batch).__name__}; it takes a tensor, "
                "or a tuple or list that begins with one. For other batches override its method `inputs`"
            )
        return first

    def truth(self, trainer: Trainer, batch: Any) -> Truth:
        """The exact derivative tensors at the points of a batch, as far as anything is known.

        Without a reference, order 0 falls back on the targets of the batch, (batch, *out), the others on derivative
        labels behind them, (batch, *out, *in), (batch, *out, *in, *in).
        """
        x, reference = self.inputs(batch), self._reference(trainer)
        if reference is not None:
            return reference.tensors((x.cpu() if x.device.type == "mps" else x).double(), self.order)
        return _labels(batch, x) if isinstance(batch, list | tuple) else ()

    def _reference(self, trainer: Trainer) -> Function | None:
        return self.reference or getattr(getattr(trainer, "datamodule", None), "reference", None)

    def audit(self, pl_module: LightningModule) -> tuple[Finding, ...]:
        """Look once more whether the derivatives can be trusted, at the points of the first audit."""
        if self._audited is not None and self.on_finding != "ignore":
            with undisturbed(pl_module, self._audited.device):
                self.findings = audit(pl_module, self._audited, order=min(self.order, 2)).findings
        return self.findings

    def _measure(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        with _Stopwatch(self):
            x = self.inputs(batch)
            if self._audited is None:
                self._audited = x[:AUDITED_POINTS].detach().clone()
                self._report_findings(trainer, self.audit(pl_module) if trainer.is_global_zero else ())
            required = self._reference(trainer) is not None
            self.measurement.update(pl_module, x, self.truth(trainer, batch), required=required)

    def _report_findings(self, trainer: Trainer, findings: tuple[Finding, ...]) -> None:
        wrong = trainer.strategy.broadcast([f.message for f in findings if f.severity == "error"])
        if wrong and self.on_finding == "raise":
            raise UntrustworthyDerivativeError("; ".join(wrong))
        for finding in findings:
            if finding.severity != "note":
                rank_zero_warn(f"{finding.where}: {finding.message}")

    def _log(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not self.measurement.metrics:
            return
        with _Stopwatch(self):
            self.errors, self.points = self.measurement.errors(), self.measurement.points()
            for entry in self.errors:
                for name in entry.keys() - {"order", "at"}:
                    bar = name in ("rmse", "rms") and entry["order"] > 0
                    scalar = self._scalar(stage, entry["order"], name)
                    pl_module.log(scalar, entry[name], prog_bar=bar, sync_dist=True)
            if self._figure_is_due(trainer):
                self._log_figure(trainer)

    def _scalar(self, stage: str, order: int, quantity: str) -> str:
        return "/".join(part for part in (stage, self.name, f"d{order}_{quantity}") if part)

    def _figure_is_due(self, trainer: Trainer) -> bool:
        done, every = trainer.current_epoch + 1, self.figure_every_n_epochs
        return bool(every) and done % every == 0 and not trainer.sanity_checking

    def _log_figure(self, trainer: Trainer) -> None:
        logger = tensorboard(trainer)
        if logger is not None:
            from sobolev.plots import image

            pixels = image(self.figure(trainer))
            logger.experiment.add_image("derivatives", pixels, global_step=trainer.global_step, dataformats="HWC")

    def figure(self, trainer: Trainer) -> Any:
        """The matplotlib figure of the last measurement: each order over the truth, its error below."""
        from sobolev.plots import derivatives_figure

        data = getattr(trainer, "datamodule", None)
        x, predicted, exact = self.measurement.figure_data()
        names = {name: getattr(data, name) for name in ("input_names", "output_names") if hasattr(data, name)}
        return derivatives_figure(x, predicted, exact, findings=self.findings, **names)


def _labels(batch: Any, x: Tensor) -> Truth:
    """Targets and derivative labels behind the inputs; what else a batch holds, classes or weights, is no truth."""
    target = batch[1] if len(batch) > 1 else None
    if not isinstance(target, Tensor) or not target.is_floating_point():
        return ()
    shapes = (target.shape + x.shape[1:] * k for k in range(len(batch) - 1))
    return tuple(
        item if isinstance(item, Tensor) and item.shape == shape else None
        for item, shape in zip(batch[1:], shapes, strict=True)
    )


class _Stopwatch:
    """Adds the time inside it to `monitor.seconds`."""

    def __init__(self, monitor: DerivativeMonitor) -> None:
        self.monitor = monitor

    def __enter__(self) -> None:
        self.start = perf_counter()

    def __exit__(self, *_: object) -> None:
        self.monitor.seconds += perf_counter() - self.start


def tensorboard(trainer: Trainer) -> TensorBoardLogger | None:
    """The TensorBoard logger of a trainer, on the process that writes."""
    found = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return found[0] if found and trainer.is_global_zero else None
