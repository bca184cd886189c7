"""A readout never buys smaller errors of the values with the derivatives; noise of labels is no such error."""

import pytest
import torch
from torch import nn

import sobolev
from sobolev import MLP, Function
from sobolev.readout import solve_readout
from sobolev.readout.layer import find_layer
from sobolev.readout.roughness import Roughness


def points(n, seed, half=2.0):
    return (torch.rand(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1) * half


def relative_errors(model, function, x):
    """Of f, f', f'', relative L2."""
    found, truth = sobolev.derivatives(model, x), Function(function).derivatives(x, 2)
    return [float((y.detach() - t).norm() / t.norm()) for y, t in zip(found, truth, strict=True)]


def solved(model, function, x, held_out, noise=0.0):
    """The errors before and after a readout, and what it said."""
    f, generator = Function(function), torch.Generator().manual_seed(5)

    def labelled(x):
        return x, f(x) + noise * torch.randn(len(x), 1, generator=generator, dtype=torch.float64)

    before = relative_errors(model, function, held_out)
    training, rest = labelled(x), labelled(held_out)
    result = solve_readout(model, lambda: [training], lambda: [rest])
    return before, relative_errors(model, function, held_out), result


@pytest.mark.parametrize("seed", range(4))
def test_staircases_do_not_pay_for_values_with_derivatives(seed):
    """tanh saturates on raw inputs: the features are steps, and least squares takes differences of them."""
    torch.manual_seed(seed)
    model = MLP(1, 1, (64, 64), "tanh").double()
    with torch.no_grad():
        model[0].weight.mul_(8)
        model[-1].weight.mul_(0.1)
    before, after, _ = solved(model, "x**2/1000", points(4000, 1, 50.0), points(1000, 2, 50.0))
    assert after[0] <= before[0]
    assert (after[1] <= 1.5 * before[1] and after[2] <= 2 * before[2]) or after[0] < 0.01 * before[0]


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_network_that_is_too_smooth_may_bend(noise):
    """All of the curvature is still to be learnt, and the noise hides how much better the values get."""
    torch.manual_seed(0)
    model = MLP(1, 1, (64, 64), "tanh").double()
    nn.init.zeros_(model[-1].weight)
    _, after, result = solved(model, "sin(3*x) + x", points(2000, 1), points(500, 2), noise)
    assert result.changed and after[0] < 0.05 and after[1] < 0.1 and after[2] < 0.2


def test_noise_is_told_from_the_function():
    x = points(2000, 1)
    values = torch.sin(2 * x) + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    for scale, labels, least, most in ((1.0, values, 0.01, 0.0125), (3.0, values, 0.09, 0.1125), (1.0, x, 0.0, 1e-4)):
        roughness = Roughness(torch.zeros(2, 2, 1).double(), torch.tensor([scale]).double(), x.std(0))
        roughness._keep(x, labels.double())
        assert least <= float(roughness._noise()) <= most


@pytest.mark.parametrize("unit", [1e-3, 1e4])
def test_curvature_is_measured_in_the_units_of_inputs_and_labels(unit):
    """The same network, candidates and function in other units bend as much, and as many candidates may be taken."""
    plain, scaled = (_roughness_in_units(u) for u in (1.0, unit))
    torch.testing.assert_close(scaled.squares, plain.squares, rtol=1e-6, atol=0)
    errors = torch.logspace(0, -1, plain.squares.numel(), dtype=torch.float64).expand_as(plain.squares)
    assert torch.equal(scaled.admissible(errors), plain.admissible(errors)) and not plain.admissible(errors).all()


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e4])
def test_a_readout_is_as_good_in_any_units(unit):
    torch.manual_seed(0)
    model = sobolev.Standardized(MLP(1, 1, (32, 32), "silu")).double()
    training, held_out = ((x * unit, torch.sin(6 * x) / unit) for x in (points(2000, 1), points(500, 2)))
    model.fit(*training)
    solve_readout(model, lambda: [training], lambda: [held_out])
    found, exact = sobolev.derivatives(model, held_out[0])[2], -36 * torch.sin(6 * held_out[0] / unit) / unit**3
    assert (found.detach() - exact).norm() < 1e-3 * exact.norm()


def _roughness_in_units(unit):
    torch.manual_seed(0)
    x = points(2000, 1)
    model = sobolev.Standardized(MLP(1, 1, (32, 32), "silu")).double()
    model.fit(x * unit, torch.sin(6 * x) / unit)
    found = find_layer(model, x * unit)
    weights = torch.randn(8, 33, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    spread = (torch.sin(6 * x) / unit).std(0)
    roughness = Roughness(weights, found.scale / spread, (x * unit).std(0))
    values = torch.sin(6 * x) / unit / found.scale
    roughness.add(model, found, x * unit, values, "auto")
    return roughness
