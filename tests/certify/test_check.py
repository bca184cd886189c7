"""The second proof: it confirms what is true, and finds gaps, bounds that are too low and values that are not there."""

import copy
import json

import pytest
import torch
from torch import nn

import sobolev
from sobolev.certify import check
from sobolev.certify.check import covers
from sobolev.networks.chebyshev_features import ChebyshevFeatures


def _certificate(tmp_path, inputs=1, activation="tanh", function="x**2*exp(-x/3)", order=2):
    torch.manual_seed(0)
    net = sobolev.Standardized(sobolev.MLP(inputs, 1, [6, 5], activation=activation))
    net.fit(torch.randn(100, inputs) * 2, torch.randn(100, 1) * 3 + 1)
    domain = {"x": (-1.0, 2.0), "t": (0.0, 1.5)}
    certificate = sobolev.certify(net, function, dict(list(domain.items())[:inputs]), order)
    certificate.save(tmp_path / "proof.json")
    return json.loads((tmp_path / "proof.json").read_text())


@pytest.mark.parametrize("activation", ["tanh", "silu", "softplus", "sigmoid", "gelu"])
def test_what_is_proved_is_proved_again(tmp_path, activation):
    assert check(_certificate(tmp_path, activation=activation)) == []


def test_polynomials(tmp_path):
    ends = torch.ones(2, dtype=torch.float64)
    features = ChebyshevFeatures(torch.tensor([[5, 0], [2, 3]]), ends / 2, -ends, ends)
    sobolev.certify(features, domain={"x": (-1, 1), "y": (0, 1)}, order=1).save(tmp_path / "proof.json")
    assert check(json.loads((tmp_path / "proof.json").read_text())) == []


def test_two_inputs_and_the_network_alone(tmp_path):
    assert check(_certificate(tmp_path, 2, function="sin(x)*cos(t)", order=1), cells=1) == []
    assert check(_certificate(tmp_path, 1, function=None), cells=2) == []


class Scaled(nn.Module):
    """A plain forward, as users write it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(2, 6), nn.Linear(6, 6), nn.Linear(6, 1)])
        self.register_buffer("low", torch.tensor([-1.0, 0.0]))
        self.register_buffer("high", torch.tensor([2.0, 1.5]))

    def forward(self, x):
        h = 2 * (x - self.low) / (self.high - self.low) - 1
        for layer in self.layers[:-1]:
            h = torch.sin(layer(h)) + 0.1 * h.sum(1, keepdim=True)
        return self.layers[-1](h)


FORWARDS = {
    "scaled": Scaled(),
    "quotient and powers": lambda x: (1 - x[:, :1]) / (3 + x[:, 1:] ** 3) - (x[:, :1] + 4) ** -2,
    "parts": lambda x: torch.cat([x.sin(), x[:, :1].unbind(1)[0][:, None] * 2], dim=1).mean(1, keepdim=True),
    "columns": lambda x: torch.stack([x[:, 0] * x[..., 1], torch.sqrt(x[:, 0] + 4)], dim=1).sum(1),
    "softplus and gelu": lambda x: (
        nn.functional.softplus(x, beta=2.0).sum(1) + nn.functional.gelu(x[:, 0], approximate="tanh")
    ),
    "normal": lambda x: (torch.erf(x) * torch.special.ndtr(x) - torch.special.erfc(x) * x.square()).sum(-1),
    "inverse functions": lambda x: (torch.atan(x) + torch.asin(x / 4) - torch.acos(x / 5) + torch.asinh(x)).sum(1),
    "exponentials": lambda x: (torch.exp(-x) * torch.log(x + 3) + x.cosh() - torch.expm1(x) * torch.rsqrt(x + 3)).sum(
        1
    ),
}


@pytest.mark.parametrize("name", FORWARDS)
@pytest.mark.parametrize("function", ["x*t + 1", None])
def test_plain_forwards_are_read_from_the_certificate(name, function):
    box = {"x": (-1.0, 2.0), "t": (0.0, 1.5)}
    data = sobolev.certify(FORWARDS[name], function, box, order=1, tolerance=0.3).to_dict(cells=True)
    data = json.loads(json.dumps(data, allow_nan=False))
    assert check(data, cells=1, slack=0.03) == []
    data["bounds"][0]["lower"] *= 1.2
    assert any("not attained" in line for line in check(data, cells=1, slack=0.03))


@pytest.mark.parametrize(
    "function", ["tan(x/2) + acos(x/4)", "Phi(x)*erf(x)", "cbrt(x+3) - log10(x+2)", "(x+3)**x", "abs(x+7)"]
)
def test_formulas(function):
    data = sobolev.certify(torch.sin, function, {"x": (-1, 2)}).to_dict(cells=True)
    assert check(data, cells=2) == []


def test_a_callable_as_target_is_read_too():
    data = sobolev.certify(torch.sin, sobolev.Function(torch.tanh, ("x",)), {"x": (-1, 2)}).to_dict(cells=True)
    assert check(data, cells=2) == []
    data["target"][0]["operation"] = "atan"
    assert check(data, cells=1)


EQUATION = "du_dt + u*du_dx = 0.1*d2u_dx2"
CONDITIONS = ["u(0, x) = -sin(pi*x)", "u(t, -1) = u(t, 1)", "du_dx(t, 1) = 3*t", "u(0, 0) = 1"]


@pytest.mark.filterwarnings("ignore:no condition holds")
def test_equations_and_conditions():
    torch.manual_seed(0)
    net = sobolev.MLP(2, 1, [4, 4], activation="tanh")
    found = sobolev.certify(
        net, domain={"t": (0, 1), "x": (-1, 1)}, residual=EQUATION, conditions=CONDITIONS, tolerance=0.1
    )
    data = json.loads(json.dumps(found.to_dict(cells=True)))
    assert check(data, cells=2, slack=0.03) == []
    for bound, part in zip(data["bounds"], data["parts"], strict=True):
        low = {**part, "upper": [[0.8 * value[0]] for value in part["upper"]]}
        wrong = {**data, "bounds": [{**bound, "upper": 0.8 * bound["upper"]}], "parts": [low]}
        assert any("could not be proved" in line for line in check(wrong, cells=1)), bound["name"]
        wrong = {**data, "bounds": [{**bound, "lower": 1.2 * bound["lower"]}], "parts": [part]}
        assert any("not attained" in line for line in check(wrong, cells=1)), bound["name"]


def test_a_search_of_a_part_of_the_domain_is_found(tmp_path):
    data = _certificate(tmp_path)
    part = data["parts"][0]
    keep = [i for i, low in enumerate(part["low"]) if low[0] >= 0]
    for key in ("low", "high", "upper"):
        part[key] = [part[key][i] for i in keep]
    part["domain"][0][0] = min(low[0] for low in part["low"])
    assert any("was looked at" in line for line in check(data, cells=1))


def test_a_range_that_is_too_narrow_is_found(tmp_path):
    data = _certificate(tmp_path, 1, function=None)
    assert check(data, cells=1) == []
    data["ranges"]["dy_dx"][0] += 0.1 * abs(data["ranges"]["dy_dx"][0]) + 0.01
    assert any("dy_dx" in line for line in check(data, cells=1))


def test_a_gap_is_found(tmp_path):
    data = _certificate(tmp_path)
    part = data["parts"][0]
    for key in ("low", "high", "upper"):
        del part[key][5]
    assert any("gap" in line for line in check(data, cells=1))


def test_a_bound_that_is_too_low_is_found(tmp_path):
    data = _certificate(tmp_path)
    for k in range(3):
        wrong = copy.deepcopy(data)
        wrong["bounds"][k]["upper"] *= 0.9
        assert any("above" in line for line in check(wrong, cells=1))
        for row in wrong["parts"][0]["upper"]:
            row[k] *= 0.9
        assert any("could not be proved" in line for line in check(wrong, cells=1))


def test_what_is_not_attained_is_found(tmp_path):
    data = _certificate(tmp_path)
    data["bounds"][1]["lower"] *= 1.05
    assert any("not attained" in line for line in check(data, cells=1))


def test_another_network_is_found(tmp_path):
    data = _certificate(tmp_path)
    layer = next(step for step in data["network"] if step["operation"] == "linear")
    layer["operands"][1]["constant"][0][0] += 0.5
    assert check(data, cells=2)


def test_without_cells_or_layers_there_is_nothing_to_check(tmp_path):
    data = _certificate(tmp_path)
    with pytest.raises(ValueError, match="no network"):
        check({**data, "network": None})
    del data["parts"]
    with pytest.raises(ValueError, match="no cells"):
        check(data)


def test_covers():
    quarters = [[(0, 1), (0, 2)], [(1, 2), (0, 1)], [(1, 2), (1, 2)]]
    assert covers([(0, 2), (0, 2)], quarters)
    assert not covers([(0, 2), (0, 2.5)], quarters)
    assert not covers([(0, 2), (0, 2)], quarters[:2])
    assert not covers([(0, 2), (0, 2)], [quarters[0], quarters[1], [(1, 2), (1.0000001, 2)]])
    assert not covers([(0, 1)], [])
