import pytest
import torch
from rule_check import assert_rule

X = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(4, 3)
ONES = torch.ones(4, 2, dtype=torch.float64)

EXPRESSIONS = {
    "stacks": lambda x: torch.hstack([x, ONES, x.sin()]) + torch.column_stack([x[:, 0], x, x.exp(), x[:, 1]]),
    "cat": lambda x: torch.cat([x, torch.ones_like(x), x.exp()], dim=1),
    "what was empty at first": lambda x: torch.cat([torch.tensor([]).double(), x.sin(), torch.tensor([]).double()], 1),
    "stack": lambda x: torch.stack([x, x.exp(), torch.ones_like(x)], dim=-1),
    "dstack": lambda x: torch.dstack([x, x.exp()]) + torch.atleast_3d(x),
    "vstack": lambda x: torch.cat([torch.vstack([row, row.exp()]).reshape(1, 6) for row in x]) * 2,
    "broadcast": lambda x: torch.broadcast_tensors(x[:, :1], ONES)[0] + torch.broadcast_to(x[:, :1], (4, 2)),
    "meshgrid": lambda x: torch.stack([torch.meshgrid(row, row.exp(), indexing="xy")[0].flatten() for row in x]),
    "block_diag": lambda x: torch.stack([torch.block_diag(row[:2], row[None].exp()) for row in x]),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(lambda x: EXPRESSIONS[name](x).sin(), X, orders=(1, 3))
