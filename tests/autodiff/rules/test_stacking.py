import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional

X = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(4, 3)
ONES = torch.ones(4, 2, dtype=torch.float64)

EXPRESSIONS = {
    "stacks": lambda x: torch.hstack([x, ONES, x.sin()]) + torch.column_stack([x[:, 0], x, x.exp(), x[:, 1]]),
    "dstack": lambda x: torch.dstack([x, x.exp()]) + torch.atleast_3d(x),
    "vstack": lambda x: torch.cat([torch.vstack([row, row.exp()]).reshape(1, 6) for row in x]) * 2,
    "broadcast": lambda x: torch.broadcast_tensors(x[:, :1], ONES)[0] + torch.broadcast_to(x[:, :1], (4, 2)),
    "meshgrid": lambda x: torch.stack([torch.meshgrid(row, row.exp(), indexing="xy")[0].flatten() for row in x]),
    "block_diag": lambda x: torch.stack([torch.block_diag(row[:2], row[None].exp()) for row in x]),
    "splits": lambda x: x.tensor_split(2, 1)[0] * x.split_with_sizes([2, 1], 1)[0] + torch.hsplit(x, [1, 2])[2],
    "scatters": lambda x: x.select_scatter(x[:, 0] ** 2, 1, -1) + torch.slice_scatter(x, x[:, :2].exp(), 1, 1),
    "losses": lambda x: (
        functional.mse_loss(x, x.sin(), reduction="none") + functional.huber_loss(x, x**3, reduction="none", delta=0.3)
    ),
    "loss of each row": lambda x: torch.stack([functional.mse_loss(row, row.exp()) for row in x]),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(lambda x: EXPRESSIONS[name](x).sin(), X, orders=(1, 3))
