"""What becomes of the findings of an audit: warnings, a text in TensorBoard, an error."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from lightning_utilities.core.rank_zero import rank_zero_warn

from sobolev.audit import Finding
from sobolev.callbacks.tensorboard import add_text

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

OnFinding = Literal["warn", "raise", "ignore"]


class Announcer:
    """Says each finding once."""

    def __init__(self, on_finding: OnFinding, tag: str) -> None:
        self._on_finding, self._tag = on_finding, tag
        self._said: set[tuple[str, str]] = set()

    def announce(self, trainer: "Trainer", findings: Sequence[Finding]) -> list[str]:
        """Warn of what is new and not raised; returns what is to be raised, the same on all processes."""
        silent = ("note", "error") if self._on_finding == "raise" else ("note",)
        for finding in findings:
            if finding.severity not in silent and (finding.kind, finding.where) not in self._said:
                self._said.add((finding.kind, finding.where))
                rank_zero_warn(f"{finding.where}: {finding.message}")
        if self._on_finding != "ignore":
            add_text(trainer, self._tag, as_text(findings))
        wrong = trainer.strategy.broadcast([f.message for f in findings if f.severity == "error"])
        return wrong if self._on_finding == "raise" else []


def as_text(findings: Sequence[Finding]) -> str:
    """Findings as a table in Markdown."""
    rows = "\n".join(f"| {f.severity} | {f.kind} | {f.where} | {f.message} |" for f in findings)
    return "| severity | kind | where | message |\n|---|---|---|---|\n" + rows if rows else "Nothing found."
