"""A readout buys no smaller errors of the values with the derivatives; noise of labels is no such error."""

import pytest
import torch
from torch import nn

import sobolev
from sobolev import MLP, Function
from sobolev.readout import solve_readout
from sobolev.readout.certainty import Certainty
from sobolev.readout.exchange import alone
from sobolev.readout.solve import _Solver


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


def test_noise_is_told_from_what_the_features_cannot_say():
    """Mean squares of the residuals of a constant and of a wave of .1; the noise is as large."""
    x = points(2000, 1)
    wave, noise = (
        0.1 * torch.sin(8 * x),
        0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double(),
    )
    for values, constant, knowing in ((noise, 0.0, 0.005), (wave, 0.005, 0.0), (wave + noise, 0.005, 0.0)):
        certainty = Certainty(torch.tensor([[[0.0]], [[1.0]]]).double(), [], x.std(0))
        certainty._keep(x, wave, values)
        assert certainty._misfit()[0].tolist() == pytest.approx([constant, knowing], abs=2e-3)


@pytest.mark.parametrize("unit", [1e-3, 1e4])
def test_certainty_is_the_same_in_any_units(unit):
    plain, scaled = (_certainty_in_units(u) for u in (1.0, unit))
    ratios = [
        (c._misfit() * c.uncertain / c.changed)[..., :36] for c in (plain, scaled)
    ]  # weaker ridges hang on rounding
    torch.testing.assert_close(*ratios, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(("activation", "learns"), [("silu", False), ("tanh", True)])
@pytest.mark.parametrize("seed", range(3))
def test_curvature_that_the_values_do_not_support_is_not_bought(activation, learns, seed):
    """A wave of 1e-3 on what is known: by silu's features a part of it could be had, with ends that bend too much."""
    torch.manual_seed(seed)
    model, x, held_out = MLP(1, 1, (32, 32), activation).double(), points(400, 1), points(100, 2)
    dense, function = torch.linspace(-2, 2, 1001, dtype=torch.float64)[:, None], "sin(2*x) + 0.001*sin(12*x)"
    solved(model, "sin(2*x)", x, held_out)
    before = relative_errors(model, function, dense)
    _, _, result = solved(model, function, x, held_out)
    after = relative_errors(model, function, dense)
    assert all(b <= 1.05 * a for a, b in zip(before, after, strict=True))
    assert not learns or (result.changed and after[2] < 0.1 * before[2])


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e4])
def test_a_readout_is_as_good_in_any_units(unit):
    torch.manual_seed(0)
    model = sobolev.Standardized(MLP(1, 1, (32, 32), "silu")).double()
    training, held_out = ((x * unit, torch.sin(6 * x) / unit) for x in (points(2000, 1), points(500, 2)))
    model.fit(*training)
    solve_readout(model, lambda: [training], lambda: [held_out])
    found, exact = sobolev.derivatives(model, held_out[0])[2], -36 * torch.sin(6 * held_out[0] / unit) / unit**3
    assert (found.detach() - exact).norm() < 1e-3 * exact.norm()


def _certainty_in_units(unit):
    torch.manual_seed(0)
    x = points(500, 1)
    y = torch.sin(6 * x) + x.abs()
    model = sobolev.Standardized(MLP(1, 1, (32, 32), "silu")).double()
    model.fit(x * unit, y / unit)
    solver = _Solver(model, "auto", alone)
    solver.start(lambda: [(x * unit, y / unit)])
    paths = solver.paths(lambda: [(x * unit, y / unit)])
    certainty = Certainty(solver._candidates(paths), paths, (x * unit).std(0))
    with solver._evaluating():
        new = solver._equations((x * unit, y / unit))
        certainty.add(model, solver.found, x * unit, new.targets, "auto")
    return certainty
