import pytest
import torch
from matrices import FIXED, SIGNS, X3, oblong
from rule_check import assert_rule

from sobolev.autodiff.taylor import operators as taylor

EXPRESSIONS = {
    "qr": lambda x: torch.linalg.qr(oblong(x)).Q @ (torch.linalg.qr(oblong(x)).R + SIGNS),
    "reflections": lambda x: torch.linalg.householder_product(oblong(x), x[:, :2].sin()) + torch.orgqr(FIXED, X3[0]),
    "reflections, constant vectors": lambda x: torch.linalg.householder_product(FIXED.expand(2, 4, 3), x.sin()),
    "qr, wide": lambda x: torch.linalg.qr(oblong(x).mT)[1] * SIGNS[0],
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X3, orders=(1, 3), rtol=1e-8)


def test_the_triangle_alone():
    for ours, theirs in zip(
        taylor.hessian(lambda x: torch.linalg.qr(oblong(x), "r").R, X3),
        taylor.hessian(lambda x: torch.linalg.qr(oblong(x)).R, X3),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_high_orders_rebuild_the_matrix():
    """What the factors multiply to has the derivatives of the matrix, order by order."""
    direction = torch.ones_like(X3)
    functions = (oblong, lambda x: torch.matmul(*torch.linalg.qr(oblong(x))))
    exact, ours = (taylor.derivatives(f, X3, 8, direction) for f in functions)
    for k in range(9):
        torch.testing.assert_close(ours[k], exact[k], rtol=1e-8, atol=1e-8 * 10**k)
