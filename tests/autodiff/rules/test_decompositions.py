import pytest
import torch
from rule_check import assert_rule

from sobolev.autodiff import taylor
from sobolev.autodiff.rules import NoRuleError

X = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FIXED = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def oblong(x):
    """(rows, 4, 3), of full rank."""
    return FIXED + torch.stack([x, x.sin(), x.exp(), x**2], 1) / 2


def symmetric(x):
    a = oblong(x)
    return a.mT @ a


def deficient(x):
    """(rows, 4, 3), of rank 2."""
    return oblong(x)[:, :, :2] @ oblong(x.cos())[:, :2]


SIGNS = torch.tensor([1.0, -2, 3], dtype=torch.float64)

EXPRESSIONS = {
    "eigh": lambda x: torch.linalg.eigh(symmetric(x))[1] * SIGNS + torch.linalg.eigh(symmetric(x)).eigenvalues[:, None],
    "eigvalsh": lambda x: torch.linalg.eigvalsh(symmetric(x)),
    "svd": lambda x: torch.linalg.svd(oblong(x), full_matrices=False)[0] @ torch.linalg.svd(symmetric(x)).Vh * SIGNS,
    "svd, wide": lambda x: torch.linalg.svd(oblong(x).mT, False).Vh * SIGNS[0] + torch.svd(oblong(x).mT)[1][..., None],
    "svdvals": lambda x: torch.linalg.svdvals(oblong(x)),
    "qr": lambda x: torch.linalg.qr(oblong(x)).Q @ (torch.linalg.qr(oblong(x)).R + SIGNS),
    "qr, wide": lambda x: torch.linalg.qr(oblong(x).mT)[1] * SIGNS[0],
    "pinv": lambda x: torch.linalg.pinv(oblong(x)) + oblong(x).mT.pinverse().mT,
    "pinv, deficient": lambda x: torch.linalg.pinv(deficient(x)),
    "matrix_exp": lambda x: torch.linalg.matrix_exp(symmetric(x) / 9) + torch.matrix_exp(x[:, None] * SIGNS[:, None]),
    "norms": lambda x: (
        sum(torch.linalg.matrix_norm(oblong(x), p, keepdim=True) for p in (2, -2, "nuc"))
        + oblong(x).norm("nuc", dim=(1, 2), keepdim=True)
    ),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, orders=(1, 3), rtol=1e-8)


def test_the_triangle_alone():
    for ours, theirs in zip(
        taylor.hessian(lambda x: torch.linalg.qr(oblong(x), "r").R, X),
        taylor.hessian(lambda x: torch.linalg.qr(oblong(x)).R, X),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def rebuilt(x):
    u, s, v = torch.linalg.svd(oblong(x), False)
    return (u * s.unsqueeze(1)) @ v


def test_high_orders_rebuild_the_matrix():
    """What the factors multiply to has the derivatives of the matrix, order by order."""
    direction = torch.ones_like(X)
    exact = taylor.derivatives(oblong, X, 8, direction)
    u_s_v = taylor.derivatives(rebuilt, X, 8, direction)
    q_r = taylor.derivatives(lambda x: torch.matmul(*torch.linalg.qr(oblong(x))), X, 8, direction)
    for k in range(9):
        torch.testing.assert_close(u_s_v[k], exact[k], rtol=1e-8, atol=1e-8 * 10**k)
        torch.testing.assert_close(q_r[k], exact[k], rtol=1e-8, atol=1e-8 * 10**k)


def test_equal_eigenvalues_have_first_derivatives_only():
    x = torch.ones(1, 1, dtype=torch.float64)
    _, d1, d2 = taylor.derivatives(lambda x: torch.linalg.eigvalsh(torch.eye(2) * x.unsqueeze(2)), x, 2, x)
    assert d1.tolist() == [[1, 1]]
    assert d2.isnan().all()


def test_what_is_not_unique_is_refused():
    with pytest.raises(NoRuleError, match="full_matrices"):
        taylor.jacobian(lambda x: torch.linalg.svd(oblong(x))[1], X)
    with pytest.raises(NoRuleError, match="complex"):
        taylor.jacobian(lambda x: torch.linalg.eigh(symmetric(x) + 0j)[0], X)
