"""docs/audit.md explains every kind of finding that the code can make, and no other."""

import ast
import re
from pathlib import Path

from sobolev.audit.checks import derivatives, kinks

ROOT = Path(__file__).parents[2]


def kinds_in_the_code():
    """The first argument of every `Finding(...)` and `Culprit(...)`, and the tables that others come from."""
    found = {*derivatives._ADVICE, *(kind for kind, *_ in kinks._WHAT)}
    for path in (ROOT / "src/sobolev/audit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding" and node.args:
                found |= {c.value for c in ast.walk(node.args[0]) if isinstance(c, ast.Constant)}
    return found


def test_every_kind_is_explained():
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", (ROOT / "docs/audit.md").read_text(encoding="utf-8"), re.M
    )
    assert {kind for kind, _, _ in rows} == kinds_in_the_code()
    assert len(rows) == len({kind for kind, _, _ in rows}) > 20


def test_the_zoo_has_every_kind_that_a_model_can_have():
    from zoo.test_zoo import CASES

    tried = {case.expected for case in CASES}
    assert kinds_in_the_code() - tried <= {
        "inference-tensors",
        "inner-gradient",
        "taylor-disagrees",
        "taylor-fails",
    }  # notes; a fault of ours
