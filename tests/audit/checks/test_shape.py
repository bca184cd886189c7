import pytest
import torch
from torch import nn

import sobolev
from sobolev.audit.checks.shape import clipped, constant, is_flat, is_level, piecewise
from sobolev.audit.probe import Probe

X = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]


def probe(f, order=2):
    return Probe(f, X, order, {})


FUNCTIONS = {
    "sine": (torch.sin, False, False),
    "line": (lambda x: 3 * x + 1, True, False),
    "staircase": (lambda x: (7 * x).floor(), True, True),
    "zigzag": (lambda x: (7 * x + 0.1).abs() - x.relu(), True, False),
    "constant": (lambda x: 0 * x + 3, True, True),
    "tiny bend": (lambda x: x + 1e-3 * x**2, False, False),
}


@pytest.mark.parametrize(("f", "flat", "level"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_flat_and_level(f, flat, level):
    assert is_flat(probe(f)) is flat
    assert is_level(probe(f)) is level


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sine", None), ("line", None), ("constant", None), ("staircase", "piecewise-constant"),
     ("zigzag", "piecewise-linear"), ("tiny bend", None)],
)  # fmt: skip
def test_piecewise(name, kind):
    assert [finding.kind for finding in piecewise(probe(FUNCTIONS[name][0]))] == ([kind] if kind else [])


@pytest.mark.parametrize(("order", "severity"), [(1, "warning"), (2, "error"), (3, "error")])
def test_a_staircase_of_slopes_is_wrong_from_the_second_order_on(order, severity):
    """The first derivative is right where it is defined; a second one of 0 is not that of the function meant."""
    (finding,) = piecewise(probe(FUNCTIONS["zigzag"][0], order))
    assert finding.severity == severity


def test_all_the_layers_at_fault_are_named():
    net = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    (finding,) = (f for f in sobolev.audit(net, 3 * X.float()).findings if f.kind == "piecewise-linear")
    assert finding.where == "1 (ReLU)" and "3 (ReLU)" in finding.message
    assert finding.message.startswith("this operation is piecewise linear, as is 3 (ReLU): ")


def test_constant_outputs():
    assert not list(constant(probe(torch.sin)))
    (all_of_it,) = constant(probe(lambda x: 0 * x + 3))
    assert all_of_it.severity == "warning" and "(3)" in all_of_it.message
    (one,) = constant(probe(lambda x: torch.cat([torch.sin(x), 0 * x], 1)))
    assert one.severity == "note" and "1 of 2 outputs" in one.message


@pytest.mark.parametrize(
    ("f", "found"),
    [
        (lambda x: torch.sin(3 * x).clamp(-0.5, 0.5), True),
        (lambda x: torch.sin(3 * x).relu(), True),
        (lambda x: (torch.sin(3 * x) + 5).relu(), True),  # at any moment of the training it may fall below 0
        (lambda x: torch.sin(3 * x).clamp(-5, 5), False),
        (lambda x: torch.sin(3 * x.relu()), False),
    ],
)
def test_clipped(f, found):
    assert [finding.severity for finding in clipped(probe(f))] == (["warning"] if found else [])
