import pytest
import torch

from sobolev.autodiff.rules.elementwise import compiled_tanh

POINTS = torch.cat([torch.linspace(-12, 12, 200_001), torch.logspace(-44, 1.9, 2000), torch.tensor([0.55, -0.55, 0.0])])
UNIT = torch.finfo(torch.float32).eps


def units_off(found, exact):
    """The largest error, in units of float32's relative precision; where that is denormal, of the smallest normal."""
    return ((found.double() - exact).abs() / exact.abs().clamp(min=1e-38)).max() / UNIT


@pytest.fixture
def compiled():
    torch.compiler.reset()
    yield torch.compile(compiled_tanh.tanh_and_slope, fullgraph=True, backend="eager")
    torch.compiler.reset()


def test_precision(compiled):
    y, slope = compiled(POINTS)
    exact = POINTS.double()
    assert units_off(y, exact.tanh()) < 2.5
    assert units_off(slope, exact.cosh() ** -2) < 4


def test_special_points(compiled):
    y, slope = compiled(torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan]))
    assert torch.equal(y[:4], torch.tensor([0.0, 0.0, 1.0, -1.0])) and torch.signbit(y[1]) and y[4].isnan()
    assert torch.equal(slope[:4], torch.tensor([1.0, 1.0, 0.0, 0.0])) and slope[4].isnan()


def test_gradients(compiled):
    x = torch.linspace(-9, 9, 1001, requires_grad=True)
    y, slope = compiled(x)
    exact = x.detach().double().requires_grad_()
    expected = torch.autograd.grad(exact.tanh().sum() + 3 * (exact.cosh() ** -2).sum(), exact)[0]
    (found,) = torch.autograd.grad(y.sum() + 3 * slope.sum(), x)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_only_compiled_float32_on_the_cpu_takes_it():
    assert not compiled_tanh.suits(POINTS)
