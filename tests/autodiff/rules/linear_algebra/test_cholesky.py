import pytest
import torch
from matrices import X, matrix, positive
from rule_check import assert_rule

EXPRESSIONS = {
    "cholesky": lambda x: (
        torch.linalg.cholesky(positive(x)) + torch.cholesky_solve(matrix(x), torch.linalg.cholesky(positive(x)))
    ),
    "upper": lambda x: torch.linalg.cholesky_ex(positive(x), upper=True).L.mH,
    "inverse": lambda x: torch.cholesky_inverse(torch.linalg.cholesky(positive(x))),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, orders=(1, 3), rtol=1e-8)
