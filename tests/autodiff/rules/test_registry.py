"""The list of what has no rule, in docs/rules.md, is the truth."""

import re
import warnings
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torch.overrides import get_overridable_functions

from sobolev.autodiff.rules.registry import RULES

HOMES = {
    "torch": torch,
    "torch.nn.functional": functional,
    "torch.linalg": torch.linalg,
    "torch.special": torch.special,
    "torch.fft": torch.fft,
}
PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
LISTED = {home: re.findall(r"`(\w+)`", row) for home, row in re.findall(r"^\| `(torch[\w.]*)` \| (.*) \|$", PAGE, re.M)}


def missing(home):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        overridable = {function for functions in get_overridable_functions().values() for function in functions}
    names = [name for name in dir(HOMES[home]) if not name.startswith("_") and not name.endswith("_")]
    functions = {name: getattr(HOMES[home], name) for name in names}
    return {n for n, f in functions.items() if callable(f) and f in overridable and f not in RULES}


@pytest.mark.parametrize("home", HOMES)
def test_what_is_listed_has_no_rule(home):
    assert not [name for name in LISTED.get(home, []) if getattr(HOMES[home], name) in RULES]


@pytest.mark.parametrize("home", [home for home in HOMES if home != "torch"])
def test_what_has_no_rule_is_listed(home):
    """In `torch` itself most of it is internal: quantised, sparse, copies of views."""
    assert missing(home) <= set(LISTED.get(home, []))
