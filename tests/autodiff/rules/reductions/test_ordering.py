import pytest
import torch
from rule_check import assert_rule

from sobolev.autodiff.taylor import operators as taylor

X = torch.randn(5, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

EXPRESSIONS = {
    "amax": lambda x: (x**2).amax(1) + torch.amin(x.exp(), 1) + x.sin().amax((1, 2), keepdim=True).squeeze(1),
    "max": lambda x: (x**2).max(2).values + torch.max(x, dim=2)[0] * x.min(-1, keepdim=True)[0].squeeze(2),
    "max of all": lambda x: torch.cat([row.exp().max().reshape(1) + row.min() ** 2 for row in x]),
    "aminmax": lambda x: sum(torch.aminmax(x**3, dim=1)),
    "sort": lambda x: x.exp().sort(dim=2, descending=True)[0] ** 2 + (x**2).sort().values,
    "topk": lambda x: torch.topk(x**2, 2).values + x.topk(2, 2, largest=False)[0],
    "median": lambda x: (x**2).median(2).values + x.kthvalue(2, dim=2, keepdim=True).values.squeeze(2) ** 2,
    "running": lambda x: (x**2).cummax(2)[0] + (x**3).cummin(2).values,
    "argmax": lambda x: x.gather(2, x.argmax(2, keepdim=True)) ** 2,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X)


def of_single_numbers(x):
    """Each is a tensor without axes."""
    parts = [
        x[0, 0, 0].exp().amax(),
        x[0, 0, 1].sin().max(0)[0],
        x[0, 1, 0].exp().sort(0).values,
        x[0, 0, 2].amin() ** 2,
    ]
    parts += [
        x[0, 0, 3].exp().cumsum(0),
        x[0, 1, 1].sin().prod(0),
        x[0, 1, 2].exp().softmax(0),
        x[0, 1, 3].logsumexp(0),
    ]
    return torch.stack([*parts, x[0, 1, 0].sin().cumprod(0), x[0, 1, 1].exp().index_select(0, torch.tensor([0]))])[None]


def test_tensors_without_axes():
    assert_rule(of_single_numbers, X[:1], orders=(3,))


@pytest.mark.parametrize("function", [torch.maximum, torch.minimum])
def test_ties_share_the_derivative(function):
    x = torch.ones(1, 1)
    assert taylor.jacobian(lambda x: function(x, x**3), x)[1].item() == 2
    assert taylor.jacobian(lambda x: torch.cat([x, x**3], 1).amax(1), x)[1].item() == 2
