import pytest
import torch
from matrices import X3, X, deficient, matrix, oblong
from rule_check import assert_rule

LOW = torch.tensor([[2.0, 0], [1, 3]], dtype=torch.float64)

EXPRESSIONS = {
    "inv": lambda x: torch.linalg.inv(matrix(x)) + matrix(x).inverse(),
    "solve": lambda x: torch.linalg.solve(matrix(x), x.exp()) + torch.linalg.solve(matrix(x), matrix(x).mT)[:, 0],
    "solve, constant matrix": lambda x: torch.linalg.solve(LOW, x[:, :2].exp()[..., None]).squeeze(2),
    "solve, right": lambda x: torch.linalg.solve(matrix(x), x.exp().unsqueeze(1), left=False),
    "triangular": lambda x: (
        torch.linalg.solve_triangular(matrix(x), x.unsqueeze(2), upper=True)
        + torch.linalg.solve_triangular(matrix(x), x.unsqueeze(2), upper=False, unitriangular=True)
    ),
    "triangular, constant": lambda x: torch.linalg.solve_triangular(LOW, x[:, :2, None] ** 2, upper=False),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, orders=(1, 3), rtol=1e-8)


OBLONG = {
    "pinv": lambda x: torch.linalg.pinv(oblong(x)) + oblong(x).mT.pinverse().mT,
    "pinv, deficient": lambda x: torch.linalg.pinv(deficient(x)),
}


@pytest.mark.parametrize("name", OBLONG)
def test_oblong_matrices(name):
    assert_rule(OBLONG[name], X3, orders=(1, 3), rtol=1e-8)
