import pytest
import torch
from matrices import SIGNS, X3, matrix, symmetric
from rule_check import assert_rule

EXPRESSIONS = {
    "power": lambda x: torch.linalg.matrix_power(matrix(x) / 4, 5) + torch.matrix_power(matrix(x), -1),
    "matrix_exp": lambda x: torch.linalg.matrix_exp(symmetric(x) / 9) + torch.matrix_exp(x[:, None] * SIGNS[:, None]),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X3, orders=(1, 3), rtol=1e-8)
