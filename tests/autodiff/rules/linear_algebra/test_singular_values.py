import pytest
import torch
from matrices import SIGNS, X3, oblong, symmetric
from rule_check import assert_rule

from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor

EXPRESSIONS = {
    "svd": lambda x: torch.linalg.svd(oblong(x), full_matrices=False)[0] @ torch.linalg.svd(symmetric(x)).Vh * SIGNS,
    "svd, wide": lambda x: torch.linalg.svd(oblong(x).mT, False).Vh * SIGNS[0] + torch.svd(oblong(x).mT)[1][..., None],
    "svdvals": lambda x: torch.linalg.svdvals(oblong(x)),
    "norms": lambda x: (
        sum(torch.linalg.matrix_norm(oblong(x), p, keepdim=True) for p in (2, -2, "nuc"))
        + oblong(x).norm("nuc", dim=(1, 2), keepdim=True)
    ),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X3, orders=(1, 3), rtol=1e-8)


def rebuilt(x):
    u, s, v = torch.linalg.svd(oblong(x), False)
    return (u * s.unsqueeze(1)) @ v


def test_high_orders_rebuild_the_matrix():
    """What the factors multiply to has the derivatives of the matrix, order by order."""
    direction = torch.ones_like(X3)
    exact, ours = (taylor.derivatives(f, X3, 8, direction) for f in (oblong, rebuilt))
    for k in range(9):
        torch.testing.assert_close(ours[k], exact[k], rtol=1e-8, atol=1e-8 * 10**k)


def test_what_is_not_unique_is_refused():
    with pytest.raises(NoRuleError, match="full_matrices"):
        taylor.jacobian(lambda x: torch.linalg.svd(oblong(x))[1], X3)


@pytest.mark.parametrize("function", [torch.linalg.svdvals, torch.linalg.eigvalsh])
def test_values_that_are_equal_but_for_rounding(function):
    """Of x xᵀ all but one are 0: the first derivative of their sum is 2 x, the second of each of them unknown."""
    _, d1, d2 = taylor.derivatives(
        lambda x: function(x.unsqueeze(-1) * x.unsqueeze(-2)).sum(-1), X3.double(), 2, torch.ones(1, 3).double()
    )
    torch.testing.assert_close(d1, 2 * X3.double().sum(-1))
    assert d2.isnan().all()
