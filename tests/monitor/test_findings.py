"""Each finding is said once; what is wrong is raised, on request."""

import warnings
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from cases import Plain

from sobolev import Finding, UntrustworthyDerivativeError
from sobolev.monitor.evaluations import Evaluations, OwnMethods
from sobolev.monitor.findings import ModuleAudit, as_text

TRAINER = SimpleNamespace(loggers=[], is_global_zero=True, strategy=SimpleNamespace(broadcast=lambda value: value))
ERROR, WARNING, NOTE = (
    Finding("kind", severity, "net.0", f"this is a {severity}") for severity in ("error", "warning", "note")
)


@pytest.mark.parametrize(
    ("on_finding", "said", "raised"),
    [("warn", ["error", "warning"], []), ("raise", ["warning"], ["this is a error"])],
)
def test_what_is_warned_of_and_what_is_raised(on_finding, said, raised):
    with pytest.warns(UserWarning) as warned:
        audit = ModuleAudit(2, on_finding, "audit")
        audit.announce(TRAINER, (WARNING, NOTE))
        audit.raise_what_is_wrong()
        audit = ModuleAudit(2, on_finding, "audit")
        findings = (ERROR, Finding("other", "warning", "net.0", "this is a warning"))
        audit.announce(TRAINER, findings)
    assert {str(w.message).rpartition(" ")[2] for w in warned} == set(said)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audit.announce(TRAINER, findings)  # not again
    with pytest.raises(UntrustworthyDerivativeError, match=raised[0]) if raised else nullcontext():
        audit.raise_what_is_wrong()
    audit.raise_what_is_wrong()  # once


def test_the_audit_is_about_the_first_batch_of_the_validation():
    class Scaled(Plain):
        def forward(self, x, factor):
            return factor * x**3

    x, factor = torch.rand(300, 1, dtype=torch.float64), torch.rand(300, 1, dtype=torch.float64)
    module, evaluations, audit = Scaled().double(), Evaluations(inputs=0, targets=[None]), ModuleAudit(2, "warn", "")
    asked = module, evaluations, lambda: None, OwnMethods()
    assert audit.findings_of(*asked) == () and audit.done
    audit.see((x[:5], factor[:5]), of_training=True)
    audit.see((x[5:], factor[5:]))
    audit.see((x[:5], factor[:5]))
    assert torch.equal(audit.first[0], x[5:69])
    assert not [finding for finding in audit.findings_of(*asked) if finding.severity == "error"]
    assert not audit.is_outdated(module)
    with torch.no_grad():
        next(module.parameters()).add_(1)
    assert audit.is_outdated(module)


def test_a_table_in_markdown():
    assert as_text([ERROR]) == "* **error** (kind) net.0: this is a error"
    assert as_text([]) == "Nothing that spoils derivatives was found."
