"""The audit of a module while it trains, and what becomes of its findings: warnings, a text, an error."""

from collections.abc import Callable, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from sobolev.audit import Finding, audit
from sobolev.autodiff.tensor_classes import changed
from sobolev.callbacks.processes import gathered
from sobolev.callbacks.tensorboard import add_text
from sobolev.errors import UntrustworthyDerivativeError
from sobolev.monitor.batch import copied, length, mapped, repeated, some_rows
from sobolev.monitor.evaluations import Evaluations, OwnMethods, in_shape_of
from sobolev.monitor.measured_points import AUDITED_POINTS
from sobolev.monitor.weights import differentiable, fingerprint

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

OnFinding = Literal["warn", "raise", "ignore"]


class ModuleAudit:
    """The audit of one module, at the first batch it validates or trains on; each finding is said once.

    Args:
        order: up to which derivatives are needed.
        on_finding: what to do with findings.
        tag: of the text in TensorBoard.

    Attributes:
        first: the batch, on the CPU, None if there was none yet.
        done: whether there was an audit.
        misfit: why the first batch of the training, where there was no other, says nothing of the inputs.
    """

    def __init__(self, order: int, on_finding: OnFinding, tag: str) -> None:
        self._order, self._on_finding, self._tag = order, on_finding, tag
        self.first: Any = None
        self.done = False
        self.misfit: Exception | None = None
        self._of_training = False
        self._weights: list[float] = []
        self._said: set[tuple[str, str]] = set()
        self._wrong: list[str] = []

    def see(self, batch: Any, *, of_training: bool = False) -> None:
        """Keep the first batch; one of the validation is better than one of the training."""
        if self.first is None or (self._of_training and not of_training):
            self.first = copied(some_rows(batch, slice(AUDITED_POINTS), length(batch)))
            self._of_training = of_training

    def share(self, trainer: Any, model: Any, evaluations: Evaluations, own: OwnMethods) -> bool:
        """Give all processes the first batch of the first one that has any; whether there is one that fits."""
        owners = [rank for rank, has in enumerate(gathered(self.first is not None)) if has]
        if not owners:
            return False
        if trainer.world_size > 1:
            self.first = trainer.strategy.broadcast(self.first, owners[0])
        if not self._of_training:
            return True
        try:  # a training batch may have a form of its own
            with differentiable(model):
                evaluations.prepared(model, self._first_on(model), own)
        except (TypeError, ValueError) as error:
            self.first, self.misfit = None, error
        return self.first is not None

    def findings_of(
        self, model: Any, evaluations: Evaluations, points: Callable[[], Tensor | None], own: OwnMethods
    ) -> tuple[Finding, ...]:
        """Audit at the first batch, all that is not differentiated as in its first sample.

        Args:
            model: the module.
            evaluations: of it.
            points: the user's own, asked for when the form of the batch is known; None: those of the batch.
            own: methods of a subclass.
        """
        self.done, self._weights = True, fingerprint(model)
        if self.first is None or self._on_finding == "ignore":
            return ()
        with differentiable(model):
            batch = evaluations.prepared(model, self._first_on(model), own)
            x = in_shape_of(evaluations.x(batch, own), points())
            rows = torch.linspace(0, len(x) - 1, min(len(x), AUDITED_POINTS)).round().long().to(x.device)
            x = changed(lambda plain: plain[rows], x)
            outputs_at = own.outputs_at or evaluations.present.y
            count, alone = length(batch), evaluations.alone(own)

            def outputs(model: Any, x: Tensor) -> Tensor:
                return outputs_at(model, batch if alone else repeated(batch, x.shape[0], count), x)

            return audit(MethodType(outputs, model), x, order=max(1, min(self._order, 2))).findings

    def is_outdated(self, model: Any) -> bool:
        """Whether the weights are others than at the last audit."""
        return not self.done or self._weights != fingerprint(model)

    def announce(self, trainer: "Trainer", findings: Sequence[Finding]) -> None:
        """Warn of what is new and will not be raised; what will be is the same on all processes."""
        silent = ("note", "error") if self._on_finding == "raise" else ("note",)
        for finding in findings:
            if finding.severity not in silent and (finding.kind, finding.where) not in self._said:
                self._said.add((finding.kind, finding.where))
                rank_zero_warn(f"{finding.where}: {finding.message}")
        if self._on_finding != "ignore":
            add_text(trainer, self._tag, as_text(findings))
        wrong = trainer.strategy.broadcast([f.message for f in findings if f.severity == "error"])
        self._wrong = wrong if self._on_finding == "raise" else []

    def raise_what_is_wrong(self) -> None:
        """Once, where that was asked for.

        Raises:
            UntrustworthyDerivativeError: the last announcement had an error among its findings.
        """
        wrong, self._wrong = self._wrong, []
        if wrong:
            raise UntrustworthyDerivativeError("; ".join(wrong))

    def _first_on(self, model: Any) -> Any:
        return mapped(lambda tensor: tensor.to(model.device), self.first)


def as_text(findings: Sequence[Finding]) -> str:
    """Findings as a list in Markdown."""
    return (
        "\n".join(f"* **{f.severity}** ({f.kind}) {f.where}: {f.message}" for f in findings)
        or "Nothing that spoils derivatives was found."
    )
