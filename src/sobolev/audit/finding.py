"""What an audit says: findings, and the verdict drawn from them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import isfinite
from textwrap import wrap
from typing import Literal

Severity = Literal["error", "warning", "note"]
Method = Literal["taylor", "reverse", "none"]

_WIDTH = 110
_RANK = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True)
class Finding:
    """One thing an audit has to say.

    Attributes:
        kind: a short slug: `piecewise-linear`, `detached`, `cross-sample`, `stochastic`, ...
        severity: `"error"`: the number is wrong; `"warning"`: it is right, but not what one may think;
            `"note"`: worth knowing.
        where: the module path, the operation, the line of the forward; `"f"` where none of these can be had.
        message: what is wrong, how wrong, and what to do.

    Examples:
        >>> import sobolev
        >>> finding = sobolev.Finding("detached", "error", "network.2", "the graph is cut here")
        >>> print(f"{finding.severity} in {finding.where}: {finding.message}")
        error in network.2: the graph is cut here
    """

    kind: str
    severity: Severity
    where: str
    message: str


_OTHER_QUESTION = (
    "They are the network's own, rightly differentiated. How near these come to what it has learnt from is another "
    "question:"
)
_FROM_ROWS = "sobolev.DerivativeEstimate.fit(model, (x, y)) estimates that from the rows."


@dataclass(frozen=True)
class Audit:
    """The outcome of `sobolev.audit`. `str()` of it is a table.

    Attributes:
        findings: the gravest first.
        method: whose numbers can be relied on: `"taylor"`, `"reverse"` or `"none"`.
        points: how many points were looked at.
        order: the highest derivative looked at.
        errors: relative L2 difference between that method and finite differences, per order from 1 on.

    Examples:
        >>> import sobolev, torch
        >>> network = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
        >>> outcome = sobolev.audit(network, torch.linspace(-1, 1, 50)[:, None])
        >>> outcome.trustworthy
        False
        >>> outcome.findings[0].kind
        'piecewise-linear'
    """

    findings: tuple[Finding, ...]
    method: Method
    points: int
    order: int
    errors: tuple[float, ...] = field(default=())

    @property
    def trustworthy(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def made(self) -> bool:
        """Whether f could be evaluated, so that the findings are about its derivatives."""
        return all(finding.kind != "fails" for finding in self.findings)

    def to_dict(self) -> dict:
        """Plain types, for JSON, NaN as None; `"audit"` is the list that report.json holds."""
        return {
            "trustworthy": self.trustworthy,
            "method": self.method,
            "points": self.points,
            "order": self.order,
            "errors": [error if isfinite(error) else None for error in self.errors],
            "audit": [asdict(finding) for finding in self.findings],
        }

    def __str__(self) -> str:
        return self.text()

    def text(self, answer: str = _FROM_ROWS) -> str:
        """The table, with what answers how near derivatives that can be trusted come to the truth."""
        lines = [self._headline()]
        for finding in self.findings:
            lines.append(f"  {finding.severity:<8} {finding.kind:<20} {finding.where}")
            lines += wrap(finding.message, _WIDTH, initial_indent=" " * 11, subsequent_indent=" " * 11)
        if self.trustworthy:
            said = f"{_OTHER_QUESTION} {answer}"
            lines += wrap(said, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
        return "\n".join(lines)

    def _headline(self) -> str:
        verdict = "can be trusted" if self.trustworthy else "CANNOT be trusted" if self.made else "could not be audited"
        checked = ", ".join(f"d{k} {error:.0e}" for k, error in enumerate(self.errors, 1))
        agreement = f"; off finite differences by {checked}" if checked else ""
        return f"audit: derivatives to order {self.order} {verdict} ({self.points} points, {self.method}{agreement})"


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first, otherwise in the order given."""
    return tuple(sorted(findings, key=lambda finding: _RANK[finding.severity]))
