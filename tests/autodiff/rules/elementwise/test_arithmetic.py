import pytest
import torch
from rule_check import assert_rule

B = torch.linspace(0.5, 2, 3, dtype=torch.float64)

EXPRESSIONS = {
    "number": lambda x: 2 + x * 3 - 1 / x - x / 2 + (1 - x) - (-x),
    "tensor": lambda x: B + x * B - B / x - x / B + (B - x) + torch.add(x, B, alpha=2) - torch.rsub(x, B, alpha=3),
    "larger tensor": lambda x: (x.unsqueeze(1) * torch.ones(4, 3, dtype=x.dtype)) * x.unsqueeze(1).exp(),
    "fewer axes": lambda x: x.sin() * x.reshape(-1).reshape(-1, 3).transpose(0, 1).transpose(0, 1),
    "jets": lambda x: x * x.sin() + x.exp() / x - torch.mul(x, x),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    generator = torch.Generator().manual_seed(0)
    assert_rule(EXPRESSIONS[name], 0.5 + torch.rand(5, 3, dtype=torch.float64, generator=generator))
