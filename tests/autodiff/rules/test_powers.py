import pytest
import torch
from rule_check import assert_rule

B = torch.linspace(0.5, 2, 3, dtype=torch.float64)
X = 0.5 + torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

EXPRESSIONS = {
    "powers": lambda x: x**2 + x**3 + x**-1.5 + 2**x + x**x + x**B + torch.pow(x, 0.5) + x**0,
    "roots": lambda x: x.sqrt() + torch.rsqrt(x) * x.square(),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X)


def test_integer_powers_at_zero():
    assert_rule(lambda x: x**3 + x**2 + x**0, torch.zeros(1, 2, dtype=torch.float64))
