import pytest
import torch
from torch.nn import functional

from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor

X = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_what_is_drawn_does_not_depend_on_x():
    _, J = taylor.jacobian(lambda x: x * torch.empty_like(x).uniform_(1, 2) + x.clone().normal_(), X)
    factors = J.diagonal(dim1=1, dim2=2)
    assert (factors > 1).all()
    assert (factors < 2).all()
    with pytest.raises(NoRuleError, match="bernoulli_"):
        taylor.jacobian(lambda x: torch.empty_like(x).bernoulli_(x.sigmoid()), X)


def test_gumbel_softmax():
    torch.manual_seed(0)
    ours = taylor.hessian(lambda x: functional.gumbel_softmax(x, 0.7), X)
    torch.manual_seed(0)
    noise = -torch.empty_like(X).exponential_().log()
    theirs = taylor.hessian(lambda x: torch.softmax((x + noise) / 0.7, -1), X)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(NoRuleError, match="hard"):
        taylor.jacobian(lambda x: functional.gumbel_softmax(x, hard=True), X)
