"""Digits at high orders, far from 0, where the chain rule would cancel them; the truth is the same jet in float64."""

import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional

import sobolev

POINTS = torch.tensor([-3000.0, -300.0, -30.0, 30.0, 300.0, 3000.0])
FUNCTIONS = {
    "quotient": lambda x: x / (1 + x * x),
    "number over jet": lambda x: 2 / (1 + x * x),
    "reciprocal": lambda x: (1 + x * x).reciprocal(),
    "rsqrt": lambda x: torch.rsqrt(1 + x * x),
    "negative power": lambda x: (1 + x * x) ** -3,
    "log": lambda x: torch.log(2 + x * x),
    "log1p": lambda x: torch.log1p(x * x),
    "atan": lambda x: torch.atan(x * x),
    "asinh": lambda x: torch.asinh(x * x),
    "normalize": lambda x: functional.normalize(torch.stack([x, x * x + 1], -1), dim=-1)[..., 0],
    "rms_norm": lambda x: functional.rms_norm(torch.stack([x, x * x + 1], -1), (2,))[..., 0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_digits_in_single_precision(name):
    ours, truth = (sobolev.derivatives(FUNCTIONS[name], x, 8, method="taylor") for x in (POINTS, POINTS.double()))
    for order, (a, b) in enumerate(zip(ours, truth, strict=True)):
        scale = torch.maximum(b.abs(), truth[order - 1].abs() / POINTS.abs()) if order else b.abs()
        error = ((a.double() - b).abs() / scale)[b.abs() > 1e-30]
        assert error.max() < 1e-4, f"order {order}: {error.max():.1e}"


COMPOSED = {
    "exp": lambda x: torch.exp(torch.sin(2 * x)),
    "log": lambda x: torch.log(2 + torch.sin(2 * x)),
    "roots": lambda x: (2 + torch.sin(x)).sqrt() * (2 + x**2) ** -0.7 + 1 / (2 + x.cos()) ** 3,
    "quotients": lambda x: torch.sin(x) / (2 + x * x) + 3 / torch.exp(x) + torch.ones_like(x) / (x.cosh()),
    "constant divisor": lambda x: x.sin() / (2 * torch.ones_like(x)),
    "broadcast": lambda x: x[:, :, None] / (2 + x.sin())[:, None, :],
    "functions by their slope": lambda x: torch.atan(x * x) + torch.erf(x.sin()) + functional.softplus(x**3),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_compositions(name):
    x = torch.linspace(-1.5, 1.3, 8, dtype=torch.float64).reshape(4, 2)
    assert_rule(COMPOSED[name], x, orders=(1, 2, 3, 4, 5))


@pytest.mark.parametrize("size", [1e-18, 1e-12, 1e12, 1e18])
def test_a_quotient_of_small_or_large_numbers_does_not_overflow(size):
    x = torch.tensor([[3.0, 4.0]]) * size
    ours, truth = (sobolev.hessian(lambda x: x / x.sum(-1, keepdim=True), t, method="taylor") for t in (x, x.double()))
    for a, b in zip(ours, truth, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=0)


def test_square_root_at_zero_is_as_steep_as_in_pytorch():
    x = torch.tensor([0.0, 4.0])
    _, first, second, third = sobolev.derivatives(lambda x: torch.sqrt(x + x * x), x, 3, method="taylor")
    assert first[0] == torch.inf
    assert not torch.isfinite(second[0])
    assert torch.isfinite(torch.stack([first, second, third])[:, 1]).all()
