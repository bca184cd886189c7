import pytest
import torch
from matrices import SIGNS, X3, X, matrix, oblong
from rule_check import assert_rule

from sobolev.autodiff.taylor import operators as taylor

B = torch.linspace(-1, 2, 8, dtype=torch.float64).reshape(4, 2)


def solved(x, **options):
    return torch.linalg.lu_solve(*torch.linalg.lu_factor(matrix(x)), x.cos().unsqueeze(2) * B, **options)


EXPRESSIONS = {
    "lu": lambda x: torch.linalg.lu(matrix(x)).L @ (torch.linalg.lu(matrix(x))[2] + 1),
    "packed": lambda x: torch.linalg.lu_factor(matrix(x))[0] * torch.linalg.lu_factor_ex(matrix(x) + 1).LU,
    "old names": lambda x: torch.lu(matrix(x))[0] + torch.lu_unpack(*matrix(x).lu())[1].exp(),
    "solve": lambda x: solved(x) + solved(x, adjoint=True) + torch.lu_solve(B, *torch.linalg.lu_factor(matrix(x))),
    "solve, right": lambda x: torch.linalg.lu_solve(*torch.linalg.lu_factor(matrix(x)), x[:, None], left=False),
    "solve, constant": lambda x: torch.linalg.lu_solve(*torch.linalg.lu_factor(matrix(X[0, None])), x.exp()[..., None]),
}


@pytest.mark.filterwarnings("ignore:torch.lu")
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, orders=(1, 3), rtol=1e-8)


@pytest.mark.parametrize("f", [oblong, lambda x: oblong(x).mT], ids=["tall", "wide"])
def test_oblong_matrices(f):
    assert_rule(lambda x: torch.linalg.lu(f(x)).L[..., :3, :] @ (torch.linalg.lu(f(x)).U[..., :3] + SIGNS), X3, (1, 3))
    assert_rule(lambda x: torch.linalg.lu_factor(f(x)).LU, X3, (1, 3))


def test_high_orders_rebuild_the_matrix():
    direction = torch.ones_like(X3)

    def rebuilt(x):
        p, lower, upper = torch.linalg.lu(oblong(x))
        return torch.matmul(p, torch.matmul(lower, upper))

    exact, ours = (taylor.derivatives(f, X3, 8, direction) for f in (oblong, rebuilt))
    for k in range(9):
        torch.testing.assert_close(ours[k], exact[k], rtol=1e-9, atol=1e-9 * 10**k)
