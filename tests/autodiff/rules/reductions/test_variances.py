import pytest
import torch
from rule_check import assert_rule

from sobolev.autodiff.taylor import operators as taylor

X = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

EXPRESSIONS = {
    "var": lambda x: x.var(2) * torch.var(x**2, dim=(1, 2), correction=0, keepdim=True).squeeze(2),
    "std": lambda x: x.std(1) + torch.std(x**2, 2, unbiased=False, keepdim=True).mean(1),
    "var_mean": lambda x: torch.cat([*torch.var_mean(x**2, 1), *torch.std_mean(x.exp(), dim=1)], 1),
    "of all": lambda x: torch.stack([row.var() + row.std() for row in x]),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X)


def test_standard_deviation_of_equal_numbers_has_no_second_derivative():
    x = torch.ones(1, 3, dtype=torch.float64)
    _, d1, d2 = taylor.derivatives(lambda x: x.std(1), x, 2, torch.tensor([[1.0, 2, 3]], dtype=x.dtype))
    assert d1.item() == 0
    assert d2.isnan().all()
