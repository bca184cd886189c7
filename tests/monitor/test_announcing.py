"""Each finding is said once; what is wrong is raised, on request."""

import warnings
from types import SimpleNamespace

import pytest

from sobolev import Finding
from sobolev.monitor.announcing import Announcer, as_text

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
        assert Announcer(on_finding, "audit").announce(TRAINER, (WARNING, NOTE)) == []
        announcer = Announcer(on_finding, "audit")
        findings = (ERROR, Finding("other", "warning", "net.0", "this is a warning"))
        assert announcer.announce(TRAINER, findings) == raised
    assert {str(w.message).rpartition(" ")[2] for w in warned} == set(said)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        announcer.announce(TRAINER, findings)  # not again


def test_a_table_in_markdown():
    assert as_text([ERROR]).splitlines()[2] == "| error | kind | net.0 | this is a error |"
    assert as_text([]) == "Nothing found."
