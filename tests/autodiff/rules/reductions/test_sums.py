import pytest
import torch
from rule_check import assert_rule

X = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
SPACING = torch.tensor([0.0, 1, 3], dtype=torch.float64)

EXPRESSIONS = {
    "sum": lambda x: x.exp().sum(1) + torch.sum(x**2, dim=(1,)) + x.sum((1, 2), keepdim=True).squeeze(1),
    "sum of all": lambda x: x.sin().sum() * x,
    "mean": lambda x: x.exp().mean(2) * torch.mean(x**2, (1, 2)).unsqueeze(1),
    "cumsum": lambda x: torch.cumsum(x**2, -1).sin(),
    "diff": lambda x: x.sin().diff() * torch.diff(x, dim=1, prepend=x[:, :1]).sum(),
    "trapezoid": lambda x: torch.trapezoid(x**2, dx=0.5) + torch.trapz(x**3, SPACING, dim=2) + torch.trapz(x, x.exp()),
    "sum_to_size": lambda x: x.exp().sum_to_size(5, 1, 3) * x.sin().sum_to_size((5, 2, 1)),
    "trace": lambda x: x[0].exp()[:, :2].trace() * x,
    "prod": lambda x: x.prod(2) + torch.prod(x.exp(), 1, keepdim=True).sum(2) + x.prod(),
    "cumprod": lambda x: torch.cumprod(x, 2) * x.cumprod(1),
    "nansum": lambda x: torch.where(x > 1, torch.nan, x**2).nansum(1) + torch.where(x > 1, torch.nan, x**2).nanmean(1),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name] if name not in ("sum of all", "prod", "trace", "diff") else one_row(name), X)


def one_row(name):
    """What mixes rows is differentiated row by row."""

    def f(x):
        return torch.cat([EXPRESSIONS[name](row.unsqueeze(0)) for row in x.unbind(0)])

    return f


def test_products_with_zeros():
    x = X.clone()
    x[0, 0, 0] = x[1, 0, :2] = x[2, 0, :] = 0
    assert_rule(lambda x: x.prod(2), x, orders=(1, 2, 3))
