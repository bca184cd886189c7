"""Where proofs go wrong: huge, tiny and zero weights, intervals of no width, functions at the edge of being defined."""

import math

import mpmath
import numpy as np
import pytest
import torch
from torch import nn

import sobolev


def _network(activation: str, scale: float, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = sobolev.MLP(1, 1, [8, 8], activation=activation).double().requires_grad_(False)
    for layer in net:
        if isinstance(layer, nn.Linear):
            layer.weight *= scale
    return net


def _exceeded(certificate, net, low: float, high: float) -> bool:
    """Whether a sampled derivative of the network alone lies above what is proved, but for rounding."""
    x = low + (high - low) * torch.rand(5000, 1, dtype=torch.float64)
    x[:2, 0] = torch.tensor([low, high])
    found = sobolev.derivatives(net, x, len(certificate.upper) - 1)
    largest = (float(f.abs().max()) for f in found)
    return any(value > upper * (1 + 1e-9) + 1e-300 for value, upper in zip(largest, certificate.upper, strict=True))


@pytest.mark.parametrize("activation", ["tanh", "silu", "gelu", "softplus", "sigmoid"])
@pytest.mark.parametrize("scale", [0.0, 5e-324, 1e-310, 1e-160, 1e6, 1e308])
@pytest.mark.parametrize("order", [0, 2])
def test_extreme_weights(activation, scale, order):
    net = _network(activation, scale)
    certificate = sobolev.certify(net, None, {"x": (-1.0, 2.0)}, order=order, seconds=0.05)
    assert not _exceeded(certificate, net, -1.0, 2.0)
    assert all(low <= up for low, up in zip(certificate.lower, certificate.upper, strict=True))
    if scale < 1:
        assert max(certificate.upper) < 10


@pytest.mark.parametrize(
    "domain", [(1.0, np.nextafter(1.0, 2)), (0.0, 5e-324), (-1e-310, 1e-310), (1e300, 1.1e300), (-1e150, 1e150)]
)
def test_extreme_domains(domain):
    net = _network("tanh", 1.0)
    certificate = sobolev.certify(net, "x/3", {"x": tuple(map(float, domain))}, order=1, seconds=0.3)
    x = torch.tensor(np.linspace(domain[0], domain[1], 11))[:, None]
    error = float((net(x) - x / 3).abs().max())
    assert error <= certificate.upper[0] * (1 + 1e-12)
    assert not certificate.lower[0] > certificate.upper[0]


def test_a_domain_without_width_is_refused():
    with pytest.raises(ValueError, match="lower one first"):
        sobolev.certify(_network("tanh", 1.0), "x", {"x": (1.0, 1.0)})


EDGES = {
    "sqrt(x)": (True, False), "x**1.5": (True, False), "log(x)": (False, False), "1/x": (False, False),
    "x**-0.5": (False, False), "cbrt(x)": (True, False), "x*log(x)": (True, False), "asin(1 - x)": (True, False),
    "acosh(1 + x)": (True, False), "atanh(1 - x)": (False, False), "x**3": (True, True), "x**0": (True, True),
}  # fmt: skip
"""Functions at the end of where they are defined: whether value and second derivative are bounded there."""


@pytest.mark.parametrize("function", EDGES)
def test_a_domain_that_touches_the_edge(function):
    bounded, curved = EDGES[function]
    certificate = sobolev.certify(_network("tanh", 1.0), function, {"x": (0, 1)}, seconds=0.7)
    assert curved == np.isfinite(certificate.upper[2])
    assert bounded or not np.isfinite(certificate.upper[0])  # a bound that exists need not be found
    near = sobolev.certify(_network("tanh", 1.0), function, {"x": (0.01, 1)}, order=1, seconds=20)
    assert near.complete and np.isfinite(near.upper).all()


@pytest.mark.parametrize("order", [0, 1])
def test_low_orders_are_those_of_higher_ones(order):
    net = _network("silu", 2.0)
    low, high = (sobolev.certify(net, "sin(x)", {"x": (-3, 3)}, order=k) for k in (order, 3))
    assert len(low.upper) == order + 1
    for k in range(order + 1):
        assert max(low.lower[k], high.lower[k]) <= min(low.upper[k], high.upper[k])


def test_errors_that_vanish_are_bounded_by_rounding():
    certificate = sobolev.certify(lambda x: x * x, "x**2", {"x": (-1, 1)}, seconds=1)
    assert max(certificate.upper) < 1e-13 and certificate.lower == (0.0, 0.0, 0.0)
    touching = sobolev.certify(lambda x: (x - 0.3) ** 2, None, {"x": (-1, 1)}, order=1, seconds=1).ranges
    assert -1e-3 < touching["y"][0] <= 0 and touching["y"][1] >= 1.69


def test_a_spike_between_samples_is_found():
    """A bump of width 1e-5 that 10,000 points miss."""
    spike = lambda x: torch.exp(-(((x - 0.123456) * 1e5) ** 2))  # noqa: E731
    x = torch.linspace(-1, 1, 10_000, dtype=torch.float64)[:, None]
    certificate = sobolev.certify(spike, "0*x", {"x": (-1, 1)}, order=1, seconds=20)
    assert float(spike(x).max()) < 1e-6
    assert 1 <= certificate.upper[0] <= 1.03 and certificate.where[0][0] == pytest.approx(0.123456, abs=1e-6)
    assert certificate.upper[1] == pytest.approx(1e5 * math.sqrt(2 / math.e), rel=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_values_at_points_are_those_of_mpmath(seed):
    """What is said to be attained, in sixty digits."""
    net = _network("tanh", 3.0, seed)
    certificate = sobolev.certify(net, "exp(-x**2)", {"x": (-2, 2)}, order=0)
    (place,) = certificate.where[0]
    with mpmath.workdps(60):
        h = [mpmath.mpf(place)]
        for layer in net:
            linear = isinstance(layer, nn.Linear)
            h = (
                [mpmath.fdot(w, h) + b for w, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)]
                if linear
                else [mpmath.tanh(v) for v in h]
            )
        error = abs(h[0] - mpmath.exp(-(mpmath.mpf(place) ** 2)))
    assert certificate.lower[0] <= error <= certificate.upper[0]
    assert float(error) == pytest.approx(certificate.lower[0], rel=1e-12)
