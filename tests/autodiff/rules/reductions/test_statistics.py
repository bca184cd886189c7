import pytest
import torch
from rule_check import assert_rule

X = torch.randn(3, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
SPACING = torch.tensor([0.0, 1, 3, 4, 6], dtype=torch.float64)


def each(function):
    return lambda x: torch.stack([function(row) for row in x])


EXPRESSIONS = {
    "cumulative_trapezoid": lambda x: (
        torch.cumulative_trapezoid(x**2, dx=0.5)
        + torch.cumulative_trapezoid(x.exp(), SPACING)
        + torch.cumulative_trapezoid(x, x.exp())
    ),
    "gradient": lambda x: torch.gradient(x**2, dim=2)[0] * torch.gradient(x, spacing=(0.5, 2.0), dim=(1, 2))[1],
    "quantile": lambda x: (x**2).quantile(0.3, 2) + torch.quantile(x, torch.tensor([0.2, 0.9]).double(), 2).sum(0),
    "quantile, others": each(
        lambda x: (
            sum(
                torch.quantile(x, 0.3, 1, True, interpolation=kind)
                for kind in ("lower", "higher", "midpoint", "nearest")
            )
            + x.exp().quantile(0.6)
        )
    ),
    "nanmedian": lambda x: torch.where(x > 1, torch.nan, x**2).nanmedian(2).values,
    "mode": lambda x: (x**2).mode(2)[0],
    "cov": each(lambda x: torch.cov(x**2) + x[0].cov(correction=0)),
    "cov of one row": each(lambda x: torch.cov(x[:1] ** 2)),
    "corrcoef": each(lambda x: torch.corrcoef(x.exp())),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, orders=(1, 3))


def test_running_sums_of_exponentials():
    """PyTorch's own derivatives are NaN from the second on."""

    def prefixes(x):
        return torch.stack([x[:, : k + 1].logsumexp(1) for k in range(x.shape[1])], 1)

    far = torch.tensor([[1000.0, 0.0, -1000.0, 1001.0]], dtype=torch.float64)
    for x in (far, far / 1000):
        assert_rule(lambda x: torch.logcumsumexp(x, 1), x, reference=prefixes)
