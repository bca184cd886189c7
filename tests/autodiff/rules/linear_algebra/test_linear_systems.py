import pytest
import torch
from matrices import X, matrix
from rule_check import assert_rule

LOW = torch.tensor([[2.0, 0], [1, 3]], dtype=torch.float64)

EXPRESSIONS = {
    "inv": lambda x: torch.linalg.inv(matrix(x)) + matrix(x).inverse(),
    "solve": lambda x: torch.linalg.solve(matrix(x), x.exp()) + torch.linalg.solve(matrix(x), matrix(x).mT)[:, 0],
    "solve, constant matrix": lambda x: torch.linalg.solve(LOW, x[:, :2].exp()[..., None]).squeeze(2),
    "solve, right": lambda x: torch.linalg.solve(matrix(x), x.exp().unsqueeze(1), left=False),
    "with info": lambda x: torch.linalg.inv_ex(matrix(x)).inverse + torch.linalg.solve_ex(matrix(x), matrix(x).mT)[0],
    "tensors": lambda x: torch.stack(
        [
            torch.linalg.tensorinv(a.reshape(2, 2, 4)).reshape(4, 4)
            + torch.linalg.tensorsolve(a.reshape(2, 2, 4), b.reshape(2, 2))
            + torch.linalg.tensorsolve(a.reshape(4, 2, 2), b.reshape(2, 2), dims=(0,)).sum()
            for a, b in zip(matrix(x).unbind(), x.exp().unbind(), strict=True)
        ]
    ),
    "triangular": lambda x: (
        torch.linalg.solve_triangular(matrix(x), x.unsqueeze(2), upper=True)
        + torch.linalg.solve_triangular(matrix(x), x.unsqueeze(2), upper=False, unitriangular=True)
    ),
    "triangular, constant": lambda x: torch.linalg.solve_triangular(LOW, x[:, :2, None] ** 2, upper=False),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, orders=(1, 3), rtol=1e-8)
