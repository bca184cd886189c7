"""Certificates against dense samples: nothing exceeds the bounds, and they are near."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import sobolev
from sobolev.certify.search import Batch, Search
from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.networks.surrogate import Surrogate


def _net(inputs: int, outputs: int = 1, activation: str = "tanh", seed: int = 0, hidden=(16, 16)) -> nn.Module:
    torch.manual_seed(seed)
    return sobolev.MLP(inputs, outputs, hidden, activation=activation).double().requires_grad_(False)


def _dense(net: nn.Module, function: sobolev.Function, box: dict, points: int) -> list[float]:
    """The largest error of each order among random points."""
    low, high = torch.tensor(list(box.values()), dtype=torch.float64).T
    x = low + (high - low) * torch.rand(points, len(low), dtype=torch.float64)
    x[: 2 ** len(low)] = torch.cartesian_prod(*torch.stack([low, high], 1)).reshape(-1, len(low))
    return [float((a - b).abs().max()) for a, b in zip(sobolev.hessian(net, x), function.tensors(x, 2), strict=True)]


@pytest.mark.parametrize("activation", ["tanh", "silu", "gelu", "softplus", "sigmoid"])
@pytest.mark.parametrize("seed", range(3))
def test_one_input(activation, seed):
    net, box = _net(1, activation=activation, seed=seed), {"x": (-5, 4)}
    certificate = sobolev.certify(net, "x**2*exp(-x/3)", box)
    sampled = _dense(net, sobolev.Function("x**2*exp(-x/3)"), box, 20_000)
    assert certificate.complete
    for k, largest in enumerate(sampled):
        assert largest <= certificate.upper[k] * (1 + 1e-12)
        assert certificate.lower[k] <= certificate.upper[k] <= 1.02 * certificate.lower[k] * (1 + 1e-12)
        assert largest >= 0.97 * certificate.lower[k]


@pytest.mark.parametrize("activation", ["tanh", "silu", "gelu", "softplus"])
def test_two_inputs_and_outputs(activation):
    net, box = _net(2, 2, activation), {"x": (-2, 2), "y": (-1, 3)}
    certificate = sobolev.certify(net, "sin(x)*cos(y), x*y", box, tolerance=0.1)
    sampled = _dense(net, sobolev.Function("sin(x)*cos(y), x*y", ("x", "y")), box, 20_000)
    assert certificate.complete
    assert all(s <= u * (1 + 1e-12) for s, u in zip(sampled, certificate.upper, strict=True))
    assert all(u <= 1.1001 * low for u, low in zip(certificate.upper, certificate.lower, strict=True))


def test_three_inputs():
    net, box = _net(3, hidden=(8,)), {"x": (-1, 1), "y": (-1, 1), "z": (0, 1)}
    certificate = sobolev.certify(net, "x*y*z", box, tolerance=0.3)
    sampled = _dense(net, sobolev.Function("x*y*z"), box, 20_000)
    assert certificate.complete
    assert all(s <= u for s, u in zip(sampled, certificate.upper, strict=True))


def test_the_point_where_it_is_attained():
    net = _net(1)
    certificate = sobolev.certify(net, "sin(x)", {"x": (-3, 3)})
    for k, (place,) in enumerate(certificate.where):
        x = torch.tensor([[place]], dtype=torch.float64)
        error = sobolev.derivatives(net, x, 2)[k] - sobolev.Function("sin(x)").derivatives(x, 2)[k]
        assert float(error.abs()) == pytest.approx(certificate.lower[k], rel=1e-9)


def test_ranges_of_the_network_alone():
    net = _net(2, activation="silu")
    certificate = sobolev.certify(net, None, {"x": (-1, 1), "t": (0, 2)})
    x = torch.rand(20_000, 2, dtype=torch.float64) * 2 + torch.tensor([-1.0, 0.0], dtype=torch.float64)
    with torch.no_grad():
        y, J, H = sobolev.hessian(net, x)
    for name, values in {"y": y, "dy_dx": J[..., 0], "dy_dt": J[..., 1], "d2y_dxdt": H[..., 0, 1]}.items():
        low, high = certificate.ranges[name]
        assert low <= values.min() <= values.max() <= high
        assert high - low <= 1.1 * float(values.max() - values.min()) + 0.05 * float(values.abs().max())
    assert certificate.complete


def test_a_monotone_convex_network_is_proved_to_be_one():
    class Price(nn.Module):
        def forward(self, x):
            return nn.functional.softplus(3 * x - 1) / 3

    ranges = sobolev.certify(Price(), None, {"x": (-2, 2)}).ranges
    assert ranges["dy_dx"][0] > 0 and ranges["dy_dx"][1] < 1 and ranges["d2y_dx2"][0] > 0


def test_time_limit_returns_what_is_proved_so_far():
    net = _net(3, hidden=(32, 32))
    certificate = sobolev.certify(net, "sin(3*x)*y*z", dict.fromkeys("xyz", (-3, 3)), tolerance=1e-5, seconds=0.01)
    assert not certificate.complete and "time" in str(certificate)
    assert all(low <= up for low, up in zip(certificate.lower, certificate.upper, strict=True))


def test_nan_and_infinity_never_count_as_proved():
    broken = _net(1)
    with torch.no_grad():
        broken[0].weight[0, 0] = torch.nan
    targets = ("1/x", "log(x)", "sqrt(x)", "tanh(log(x))", "sin(1/x)", "atan(1/x)", "sigmoid(sqrt(x))")
    for net, function in ((broken, "x"), *((_net(1), target) for target in targets)):
        certificate = sobolev.certify(net, function, {"x": (-1, 1)}, seconds=0.2)
        assert not certificate.complete
        assert certificate.upper[0] == np.inf
        json.dumps(certificate.to_dict(cells=True), allow_nan=False)


@pytest.mark.parametrize(
    ("function", "domain"),
    [
        ("atan(3*x)", (-2, 2)),
        ("asin(x) + acos(x/2)", (-0.9, 0.9)),
        ("asinh(x) + acosh(x + 3)", (-1, 1)),
        ("atanh(x)", (-0.9, 0.9)),
    ],
)
def test_inverse_functions_as_targets(function, domain):
    certificate = sobolev.certify(_net(1), function, {"x": domain})
    sampled = _dense(_net(1), sobolev.Function(function), {"x": domain}, 20_000)
    assert certificate.complete
    assert all(0.97 * low <= s <= up for s, low, up in zip(sampled, certificate.lower, certificate.upper, strict=True))


@pytest.mark.parametrize(
    ("function", "reason"), [("gamma(x)", "the gamma function"), ("j0(x)", "Bessel"), ("atan2(x, 1)", "jumps")]
)
def test_functions_that_are_not_bounded_are_refused_with_the_reason(function, reason):
    with pytest.raises(TypeError, match=rf"through {function.partition('(')[0]}.*{reason}"):
        sobolev.certify(_net(1), function, {"x": (1, 2)})


@pytest.mark.parametrize(("function", "place"), [("abs(x - 0.3)", "x = 0.3"), ("where(x > 0.25, x**2, 1)", "x = 0.25")])
def test_a_kink_of_the_target_is_said_with_its_place(function, place):
    certificate = sobolev.certify(_net(1), function, {"x": (-1, 1)})
    sampled = _dense(_net(1), sobolev.Function(function), {"x": (-1, 1)}, 20_000)
    assert np.isfinite(certificate.upper).tolist() == [True, False, False]
    assert 0.99 * sampled[0] <= certificate.upper[0] <= 1.03 * sampled[0]
    assert f"|error of f'| and |error of f''| at {place}: there is a kink" in str(certificate)
    assert any(place in remark for remark in certificate.to_dict()["remarks"])


def test_a_kink_along_a_line_leaves_the_value_bounded():
    certificate = sobolev.certify(_net(2), "abs(x - y)", {"x": (-1, 1), "y": (-1, 1)}, order=1, tolerance=0.1)
    assert certificate.upper[0] <= 1.1 * certificate.lower[0] * (1 + 1e-12)
    assert certificate.upper[1] == np.inf and "a kink" in str(certificate)


def test_a_bound_of_nan_in_a_single_cell_is_seen():
    def evaluate(centre, half):
        cells = len(centre)
        upper = np.where(np.abs(centre - 0.3) <= half, np.nan, 1.0)
        return Batch(
            upper, np.full((cells, 1), 1.0), np.zeros((cells, 1)), np.zeros((cells, 1, 1)), np.zeros((cells, 1, 1))
        )

    outcome = Search(evaluate, np.zeros(1), np.ones(1), lambda best: 0.02 * best, 5, 64, [4]).run()
    assert outcome.upper[0] == np.inf and not outcome.reached[0]


def test_cells_tile_the_domain_without_gaps():
    certificate = sobolev.certify(_net(2), "x*y", {"x": (-1.3, 0.7), "y": (0.1, 0.9)})
    cover = certificate.parts[0].cover
    x = np.random.default_rng(0).uniform([-1.3, 0.1], [0.7, 0.9], (5000, 2))
    inside = (cover.low[:, None] <= x) & (x <= cover.high[:, None])
    assert inside.all(2).any(0).all()
    volume = np.prod(cover.high - cover.low, axis=1).sum()
    assert volume == pytest.approx(2.0 * 0.8, rel=1e-12)


def test_the_table_and_the_json():
    certificate = sobolev.certify(_net(1), "x**2", {"x": (-5, 5)})
    text, data = str(certificate), certificate.to_dict(cells=True)
    assert "for all x in [-5, 5]" in text and "|error of f''|" in text
    assert data["complete"] is True and len(data["parts"][0]["low"]) == data["cells"] == certificate.cells
    for bound, row in zip(certificate.bounds, text.splitlines()[2:], strict=False):
        assert float(row.split()[-3]) >= bound.upper and float(row.split()[-2]) <= bound.lower


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"domain": None}, "interval of each input"),
        ({"domain": {"x": (1, 0)}}, "lower one first"),
        ({"domain": {"x": (0, float("nan"))}}, "lower one first"),
        ({"order": -1}, "order is -1"),
        ({"order": 9}, "order is 9"),
        ({"tolerance": 0}, "tolerance"),
        ({"domain": dict.fromkeys("abcdef", (0, 1))}, "6 inputs"),
        ({"function": "z"}, "unknown name 'z'"),
        ({"function": "x, x**2"}, "1 output"),
    ],
)
def test_mistakes_are_explained(arguments, message):
    arguments = {"function": "x**2", "domain": {"x": (-1, 1)}, **arguments}
    with pytest.raises(ValueError, match=message):
        sobolev.certify(_net(1), **arguments)


@pytest.mark.parametrize("f", [lambda x: x / x.shape[0], lambda x: x if isinstance(x, torch.Tensor) else 2 * x])
def test_a_forward_that_does_something_else_on_tensors_is_found_out(f):
    with pytest.raises(TypeError, match="other values on tensors"):
        sobolev.certify(f, "x", {"x": (0, 1)})


def _chebyshev(degrees: list[list[int]]) -> ChebyshevFeatures:
    """From -1 to 1, of size 1."""
    sizes, ends = torch.ones(len(degrees), dtype=torch.float64), torch.ones(len(degrees[0]), dtype=torch.float64)
    return ChebyshevFeatures(torch.tensor(degrees), sizes, -ends, ends)


@pytest.mark.parametrize("degree", [2, 7, 120])
def test_chebyshev_polynomials_reach_their_bounds(degree):
    """Over [-1, 1] |T_n| <= 1, |T_n'| <= n² and |T_n''| <= n²(n² - 1)/3, attained at the ends (the brothers Markov)."""
    certificate = sobolev.certify(_chebyshev([[degree]]), domain={"x": (-1, 1)}, order=2)
    ranges = [certificate.ranges[name] for name in ("y", "dy_dx", "d2y_dx2")]
    bounds = [1, degree**2, degree**2 * (degree**2 - 1) / 3]
    assert certificate.complete
    for (low, high), bound in zip(ranges, bounds, strict=True):
        assert bound * (1 - 1e-12) <= max(-low, high) <= bound * 1.03 + 1e-12


def test_a_surrogate_of_polynomials_is_proved_to_be_near_its_function():
    features = _chebyshev([[i, j] for i in range(9) for j in range(9) if 1 < i + j < 9])
    network = Surrogate([features], 2, 1).double().requires_grad_(False)
    x = 2 * torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1
    known = torch.cat([x, features(x), torch.ones_like(x[:, :1])], 1)
    *weights, bias = torch.linalg.lstsq(known, (x[:, 0] * x[:, 1]).exp(), driver="gelsd").solution
    network.last.weight[0], network.last.bias[0] = torch.stack(weights), bias
    box = {"x": (-1, 1), "y": (-1, 1)}
    certificate = sobolev.certify(network, "exp(x*y)", box, order=1, tolerance=0.5)
    dense = _dense(network, sobolev.Function("exp(x*y)", variables=["x", "y"]), box, 2000)
    assert certificate.complete and certificate.upper[0] < 1e-2
    assert all(found <= bound for found, bound in zip(dense, certificate.upper, strict=False))


def test_a_refusal_names_operation_and_module():
    net = nn.Sequential(nn.Linear(1, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
    with pytest.raises(TypeError, match=r"relu.*1\.0 \(ReLU\)"):
        sobolev.certify(net, "x", {"x": (-1, 1)})
    with pytest.raises(TypeError, match="gamma"):
        sobolev.certify(_net(1), "gamma(x)", {"x": (1, 2)})
