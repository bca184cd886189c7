import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional

from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor

X = torch.linspace(-1, 2, 5 * 2 * 3, dtype=torch.float64).reshape(5, 2, 3)
PLACES = torch.tensor([2, 0, 2])
GRID = torch.tensor([[0, 2], [1, 0]]).expand(5, 2, 2)

MAPS = {
    "basic": lambda x: x[:, 0] * x[..., 1:, 2] + x[:, -1, ::2].sum() * 0 + x[:, None, 1].squeeze(1) * x[:, 0, :1],
    "columns": lambda x: x[:, 0, 0:1] * x[:, 1, 1:2],
    "advanced": lambda x: x[:, :, PLACES] + x[:, [1, 0]] * x[..., [0, 1, 2]],
    "separated": lambda x: x[:, [0, 1], None, [2, 1]].squeeze(2).T + x[:, 0, [0, 1]],
    "mask": lambda x: x[:, torch.tensor([[True, False, True], [False, True, False]])],
    "gather": lambda x: x.gather(2, GRID) + torch.take_along_dim(x, GRID[:1], 2) + x.index_select(-1, PLACES)[..., :2],
    "take": lambda x: torch.stack([row.take(PLACES) + row.masked_select(row > -9)[:3] for row in x]),
    "put": lambda x: torch.stack(
        [row.put(PLACES[:2], row[0, 1:].exp()) + row.put(PLACES, row[1].sin(), accumulate=True) for row in x]
    ),
    "narrow": lambda x: x.narrow(1, 1, 1) + x.select(2, -1).unsqueeze(1).sum(2, keepdim=True),
    "diagonal": lambda x: x.diagonal(dim1=1, dim2=2) + x[:, :, :2].diag_embed().diagonal(0, 1, 3).sum(1),
    "triangles": lambda x: x.tril() + x.triu(1) + x[0, 0].diag().diag() * 0,
    "flip": lambda x: x.flip(1) + torch.flip(x, (1, 2)) + x.roll(1, -1) + x.roll((1, 2), (1, 2)) + x.flip([-1]),
    "rot90": lambda x: x.rot90(1, (1, 2)).roll(2, 1),
    "repeat": lambda x: x.repeat(1, 2, 2) + torch.tile(x, (2, 2)) + x.tile(2).repeat_interleave(2, 1),
    "windows": lambda x: x.unfold(2, 2, 1),
    "pad": lambda x: (
        functional.pad(x, (1, 2), value=3.0)
        + functional.pad(x, (1, 2), "reflect")
        + functional.pad(x, (2, 1), mode="circular")
    ),
    "index_add": lambda x: (
        x.index_add(2, PLACES, x.sin())
        + x.index_fill(2, PLACES[:1], 0.5)
        + x.index_copy(2, PLACES[:2], x[..., :2].exp())
    ),
    "masked_scatter": lambda x: x.masked_scatter(x > -9, x.flip(2).contiguous() ** 2),
}
MAPS["scatter"] = lambda x: (
    torch.zeros_like(x).scatter(2, GRID, x[..., :2].exp())
    + x.scatter(2, GRID, 2.0)
    + torch.ones(5, 2, 3, dtype=x.dtype).scatter_add(2, GRID, x[..., :2])
)


@pytest.mark.parametrize("name", MAPS)
def test_maps(name):
    assert_rule(lambda x: MAPS[name](x).sin(), X)
    assert_rule(lambda x: MAPS[name](x.sin()), X, orders=(3,))


@pytest.mark.parametrize("index", [(slice(None), 0), (Ellipsis, 1), ([1, 0],), (0, Ellipsis, None, [0, 2]), None, 2])
def test_every_coefficient_is_indexed_like_the_value(index):
    x = taylor._identity(X, 2, "pairs")
    picked = (x**2)[index]
    assert picked.full.shape[1:] == picked.value.shape
    torch.testing.assert_close(picked.full[3], (x**2).full[3][index])


def test_numbers_that_have_derivatives_are_no_indices():
    with pytest.raises(NoRuleError, match="index"):
        taylor.jacobian(lambda x: torch.arange(9)[x], X)
    with pytest.raises(NoRuleError, match="indices"):
        taylor.jacobian(lambda x: functional.embedding(x, x), X)
    places = taylor.jacobian(lambda x: x * torch.bucketize(x, torch.arange(3.0)), X)
    torch.testing.assert_close(places[1].sum((3, 4)), torch.bucketize(X, torch.arange(3.0)).double())
    points = taylor.jacobian(lambda x: torch.eye(4, dtype=x.dtype)[x.clamp(0).long()], X)
    assert not torch.as_tensor(points[1]).any()
