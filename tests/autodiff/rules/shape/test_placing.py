import pytest
import torch
from rule_check import assert_rule

X = torch.linspace(-1, 2, 4 * 2 * 3, dtype=torch.float64).reshape(4, 2, 3)
GRID = torch.tensor([[0, 2], [1, 0]]).expand(4, 2, 2)
SAME = torch.tensor([[0, 0, 2], [1, 1, 1]]).expand(4, 2, 3)
PLACES = torch.tensor([2, 0, 2])
ROW, COLUMN = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 0])
EMPTY = torch.zeros(4, 2, 3, dtype=torch.float64)

MAPS = {
    "scatter_reduce": lambda x: sum(
        torch.scatter_reduce(x, 2, SAME, x.exp(), kind) for kind in ("sum", "mean", "amax", "amin")
    ),
    "scatter_reduce without itself": lambda x: sum(
        (x**2).scatter_reduce(2, SAME, x.sin(), kind, include_self=False) for kind in ("sum", "mean", "amax", "amin")
    ),
    "scatter_reduce, into a constant": lambda x: torch.scatter_reduce(EMPTY, 1, SAME.clamp(max=1), x**2, "amax"),
    "index_reduce": lambda x: x.index_reduce(2, PLACES, x.exp(), "amax") * x.index_reduce(2, PLACES, x.sin(), "mean"),
    "index_put": lambda x: (
        torch.stack([row.index_put((ROW[:2], COLUMN[:2]), row[0, :2] ** 2) * 2 for row in x])
        + torch.stack([row.index_put((ROW, COLUMN), row[1].exp(), accumulate=True) for row in x])
        + torch.stack([torch.index_put(EMPTY[0], (ROW[:2], COLUMN[:2]), row[0, :2] ** 2) for row in x])
    ),
    "diagonal_scatter": lambda x: (
        x.diagonal_scatter(x[:, :, 0] ** 2, 0, 1, 2)
        + torch.diagonal_scatter(EMPTY, x[:, :, 2].exp(), 0, -2, -1)
        + x.diagonal_scatter(x[:, :, 1].exp(), 1, 1, 2)
    ),
    "slices": lambda x: x.select_scatter(x[:, :, 0] ** 2, 2, -1) + torch.slice_scatter(x, x[:, :, :2].exp(), 2, 1),
    "masked_scatter": lambda x: torch.stack([row[0].masked_scatter(row > 9, row.exp()) for row in x]),
    "index_fill": lambda x: torch.stack([row.index_fill(1, PLACES[:2], row[0, 1].exp()) for row in x]),
    "fill_diagonal_": lambda x: torch.stack([(row**2).fill_diagonal_(3.0) for row in x]),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.filterwarnings("ignore:.*(index_reduce|scatter)")
def test_maps(name):
    assert_rule(lambda x: MAPS[name](x.sin()).cos(), X, orders=(1, 3))


def test_equal_extremes_share_the_derivative():
    x = torch.zeros(1, 1, 2, dtype=torch.float64)
    f = lambda x: torch.scatter_reduce(x.exp(), 2, torch.zeros(1, 1, 2, dtype=torch.long), x + 1, "amax")  # noqa: E731
    assert_rule(f, x, orders=(1,))


def test_scatter_that_adds():
    """PyTorch has no derivative of it."""
    assert_rule(
        lambda x: x.scatter(2, GRID, x[..., :2].exp(), reduce="add"),
        X,
        orders=(1,),
        reference=lambda x: x.scatter_add(2, GRID, x[..., :2].exp()),
    )
