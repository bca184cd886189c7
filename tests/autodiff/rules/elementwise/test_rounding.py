import pytest
import torch
from rule_check import assert_rule

X = torch.tensor([[-2.7, 0.3, 1.9], [5.1, -0.6, 0.01]], dtype=torch.float64)
DIVISOR = torch.tensor([0.7, 2.0, -1.3], dtype=torch.float64)

EXPRESSIONS = {
    "remainders": lambda x: torch.remainder(x**2, DIVISOR) + torch.fmod(x**3, 1.1) + x % 2,
    "parts": lambda x: torch.frac(x**2) + torch.special.round(x) * x + torch.copysign(x.exp(), x),
    "absolute": lambda x: x.sin().abs() * torch.nan_to_num(x),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X)


def test_mantissa():
    """The power of two is locally constant; PyTorch has no second derivative."""
    assert_rule(
        lambda x: torch.frexp(x.exp()).mantissa,
        X,
        reference=lambda x: x.exp() * torch.ldexp(torch.ones_like(x), -torch.frexp(x.exp().detach()).exponent),
    )


def test_remainders_by_what_depends_on_x():
    """PyTorch has no derivative of them."""
    assert_rule(lambda x: 7 % (x**2 + 1), X, reference=lambda x: 7 - (x**2 + 1) * (7 / (x**2 + 1)).detach().floor())
