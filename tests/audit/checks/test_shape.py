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


def pooled(activation, pool):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), activation, pool, nn.Conv2d(4, 4, 3, padding=1), activation, nn.Flatten(),
        nn.Linear(64, 1),
    ).double()  # fmt: skip


def spots(count=12):
    """Images whose dark pixels are all but equal, so that the largest of them changes at every step."""
    grid = torch.linspace(-1, 1, 8, dtype=torch.float64)
    centres = torch.linspace(-0.5, 0.5, count, dtype=torch.float64)[:, None, None]
    return torch.exp(-16 * ((grid - centres) ** 2 + (grid[:, None] + centres) ** 2))[:, None]


def test_kinks_that_are_too_close_for_differences_do_not_hide_a_second_derivative_of_zero():
    found = Probe(pooled(nn.ReLU(), nn.MaxPool2d(2)), spots(), 2, {})
    assert [finding.kind for finding in piecewise(found)] == ["piecewise-linear"]


@pytest.mark.parametrize(
    ("activation", "pool"), [(nn.GELU(), nn.AvgPool2d(2)), (nn.GELU(), nn.MaxPool2d(2)), (nn.Tanh(), nn.MaxPool2d(2))]
)
def test_smooth_activations_bend_behind_a_pooling_as_well(activation, pool):
    assert not list(piecewise(Probe(pooled(activation, pool), spots(), 2, {})))


def test_a_graph_that_leaves_the_roughness_out_is_not_called_piecewise_linear():
    """A straight-through estimator: its graph is linear, but wrong about the first derivative as well."""
    rough = Probe(lambda x: x + ((1e4 * x).round() * torch.sin(9 * x) * 1e-2 - x).detach(), X, 2, {})
    assert not is_flat(rough)


@pytest.mark.parametrize("inplace", [False, True])
def test_poolings_and_activations_are_named_together_each_with_its_cure(inplace):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), nn.BatchNorm2d(3), nn.ReLU(inplace), nn.Flatten(), nn.Linear(27, 1)]
    (found,) = piecewise(probe_of(nn.Sequential(*layers).eval()))
    assert "(MaxPool2d)" in found.where + found.message and "(ReLU)" in found.where + found.message
    assert "SiLU" in found.message and "average pooling" in found.message
    (found,) = piecewise(probe_of(nn.Sequential(nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 1))))
    assert "SiLU" not in found.message and "average pooling" in found.message


def probe_of(network):
    images = torch.rand(6, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return Probe(network.double(), images, 2, dict(network.named_modules()))
