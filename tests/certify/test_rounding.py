"""The rounding of forwards: what float32 and float64 compute lies within the bounds, which are not far."""

import copy

import mpmath
import numpy as np
import pytest
import torch
from torch import nn

import sobolev
from sobolev.certify import rounding as module
from sobolev.certify.registry import NoEnclosureError
from sobolev.certify.rounding import LIBRARY, PRECISIONS, library_error, rounding

LOW, HIGH = np.array([-3.0, 0.5]), np.array([2.0, 4.0])
OPTIONS = {"softplus": {"beta": 1.0, "threshold": 20.0}}


def _observed(net, points=20_000) -> float:
    """The largest difference between a forward in float32 and the same numbers in float64."""
    x = torch.as_tensor(LOW) + torch.as_tensor(HIGH - LOW) * torch.rand(points, 2, dtype=torch.float64)
    x = x.float()
    single, double = (
        copy.deepcopy(net).to(d) if isinstance(net, nn.Module) else net for d in (torch.float32, torch.float64)
    )
    with torch.no_grad():
        return float((single(x).double() - double(x.double())).abs().max())


@pytest.mark.parametrize("activation", ["tanh", "silu", "gelu", "softplus", "sigmoid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_in_float32(activation, dtype):
    torch.manual_seed(0)
    net = sobolev.Standardized(sobolev.MLP(2, 2, [16, 16], activation=activation)).to(dtype)
    net.fit(torch.randn(50, 2) * 3, torch.randn(50, 2) * 100 + 1000)
    found = rounding(net, LOW, HIGH, "float32").upper
    assert _observed(net) <= found <= 500 * _observed(net)


MATRIX = torch.tensor([[1.0, 2.0], [0.3, -1.0]])
FORWARDS = {
    "cancellation": lambda x: (x + 1e6) - 1e6,
    "quotients": lambda x: (1 - x) / (2.5 + x**2) - 3 / (x + 4),
    "numbers that are no float32": lambda x: 0.1 * x + 1 / 3,
    "powers": lambda x: x**3 - (x + 4) ** -2 + (x + 4).sqrt() * (x + 4) ** 1.5 + x.square() + (x + 4).rsqrt(),
    "sums": lambda x: torch.cat([x.sum(1, keepdim=True), x.mean(1, keepdim=True), x.flip(1) * 3], 1).sum(1),
    "elementary": lambda x: torch.exp(x) * torch.log(x + 4) + x.sin() - x.cos() + x.atan() + torch.erf(x),
    "steep": lambda x: torch.tanh(100 * x) + torch.sigmoid(-50 * x) + torch.special.erfc(x) * torch.special.ndtr(x),
    "gelu by tanh": lambda x: nn.functional.gelu(x, approximate="tanh"),
    "scaled": lambda x: 2 * (x - torch.tensor([-3.0, 0.5]).to(x)) / torch.tensor([5.0, 3.5]).to(x) - 1,
    "matrices": lambda x: (
        torch.addmm(torch.ones(2).to(x), x, torch.tensor([[1.0, 2.0], [0.3, -1.0]]).to(x)) @ torch.eye(2).to(x)
    ),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_plain_forwards_in_float32(name):
    found = rounding(FORWARDS[name], LOW, HIGH, "float32").upper
    assert 0 < _observed(FORWARDS[name]) <= found <= 1000 * _observed(FORWARDS[name])


def test_the_straight_line_of_a_softplus_counts():
    found = rounding(lambda x: nn.functional.softplus(10 * x, beta=1.5, threshold=5), LOW, HIGH, "float32").upper
    x = torch.linspace(-3, 4, 20_001)
    truth = torch.logaddexp(torch.zeros(()), 15 * x.double()) / 1.5
    off = float((nn.functional.softplus(10 * x, beta=1.5, threshold=5).double() - truth).abs().max())
    assert 4e-3 < off <= found <= 1.1 * off


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_networks_in_float64(activation):
    torch.manual_seed(0)
    net = sobolev.MLP(1, 1, [6, 5], activation=activation).double().requires_grad_(False)
    net[4].weight *= 1e6
    found = rounding(net, np.array([-1.0]), np.array([2.0]), "float64").upper
    x = torch.linspace(-1, 2, 40, dtype=torch.float64)[:, None]
    f = {"tanh": mpmath.tanh, "gelu": lambda v: v * mpmath.ncdf(v)}[activation]
    with mpmath.workdps(40):
        off = []
        for point, value in zip(x[:, 0].tolist(), net(x)[:, 0].tolist(), strict=True):
            h = [mpmath.mpf(point)]
            for layer in net:
                if isinstance(layer, nn.Linear):
                    rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
                    h = [mpmath.fdot(row, h) + b for row, b in rows]
                else:
                    h = [f(v) for v in h]
            off.append(abs(h[0] - value))
        assert 0 < max(off) <= found <= 1000 * max(off)


def test_it_is_counted_in_the_certificate():
    torch.manual_seed(0)
    net, box = sobolev.MLP(1, 1, [16], activation="tanh").requires_grad_(False), {"x": (-1, 2)}
    plain, counted = (sobolev.certify(net, "x**2", box, rounding=r) for r in (None, "float32"))
    assert counted.rounding is not None and 0 < counted.rounding.upper < 1e-5
    assert counted.upper[0] >= plain.upper[0] + counted.rounding.upper and counted.upper[1:] == plain.upper[1:]
    assert counted.lower[0] <= plain.lower[0]
    (place,) = counted.where[0]
    assert place == float(np.float32(place))
    error = float(net(torch.tensor([[place]]))) - place**2
    assert counted.lower[0] <= abs(error) <= counted.upper[0]
    assert "|error of f in float32|" in str(counted) and "counted above" in str(counted)
    assert counted.to_dict()["rounding"] == {"precision": "float32", "upper": counted.rounding.upper}
    assert sobolev.certify.check(counted.to_dict(cells=True), cells=1) == []


def test_it_is_counted_in_ranges():
    net = lambda x: torch.tanh(x + 1000.0) - 1  # noqa: E731
    ranges = sobolev.certify(net, None, {"x": (0, 1)}, rounding="float32", order=1).ranges
    x = torch.rand(1000, 1)
    assert ranges["y"][0] <= float(net(x).min()) <= float(net(x).max()) <= ranges["y"][1]


def test_a_library_that_is_farther_off_is_refused(monkeypatch):
    wrong = LIBRARY["tanh"]._replace(computed=lambda x: torch.tanh(x) * (1 + 2e-6))
    monkeypatch.setitem(module.LIBRARY, "tanh", wrong)
    with pytest.raises(NoEnclosureError, match=r"tanh at .* is off by"):
        rounding(torch.tanh, np.array([-1.0]), np.array([1.0]), "float32")


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: torch.asin(x / 8), "asin is not known"),
        (lambda x: x.double().sin(), "changes the precision"),
        (nn.Sequential(nn.Linear(1, 1), nn.Tanh()).forward, "does not run in float64"),
    ],
)
def test_refusals(forward, message):
    with pytest.raises(NoEnclosureError, match=message):
        rounding(forward, np.array([-1.0]), np.array([1.0]), "float64" if "run" in message else "float32")


def test_mistakes_are_explained():
    with pytest.raises(ValueError, match="rounding is 'half'"):
        sobolev.certify(torch.sin, "x", {"x": (0, 1)}, rounding="half")
    with pytest.raises(ValueError, match="not in an equation's"):
        sobolev.certify(torch.sin, domain={"t": (0, 1)}, residual="du_dt = u", rounding="float32")


def test_overflow_is_no_bound():
    assert rounding(lambda x: torch.exp(100 * x) * 1e30, np.array([0.0]), np.array([1.0]), "float32").upper == np.inf


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", LIBRARY)
def test_functions_of_the_library_are_as_near_as_is_assumed(name, precision, points=200):
    low = 1e-3 if name in ("log", "sqrt", "rsqrt") else -30.0
    f, options = LIBRARY[name], OPTIONS.get(name, {})
    assert library_error(f, options, low, 30.0, PRECISIONS[precision], points)[0] <= f.units


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", LIBRARY)
def test_functions_of_the_library_at_many_points(name, precision):
    test_functions_of_the_library_are_as_near_as_is_assumed(name, precision, 20_000)
