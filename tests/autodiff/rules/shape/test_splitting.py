import pytest
import torch
from rule_check import assert_rule

X = torch.linspace(-1, 2, 5 * 2 * 3, dtype=torch.float64).reshape(5, 2, 3)

EXPRESSIONS = {
    "split": lambda x: x.split([1, 2], 2)[1] * x.chunk(2, 1)[0].unbind(2)[1].unsqueeze(-1),
    "places": lambda x: x.tensor_split(2, 2)[1] * torch.dsplit(x, [1, 2])[2] + x.split_with_sizes([2, 1], 2)[1],
    "vectors": lambda x: torch.stack([torch.hsplit(row[0], 3)[1] for row in x]) * torch.hsplit(x, 2)[1][:, 0],
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(lambda x: EXPRESSIONS[name](x.sin()).sin(), X, orders=(1, 3))
