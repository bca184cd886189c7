import pytest
import torch
from rule_check import assert_rule
from torch import nn

X = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
W = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
P = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def square(x):
    return torch.stack([x.sin(), x, x.exp()], 1)


EXPRESSIONS = {
    "matmul": lambda x: x @ W + torch.matmul(x, W) * (x @ W[:, 0]).unsqueeze(1) + torch.mm(x, W).sin(),
    "matrices": lambda x: square(x) @ square(x.cos()) @ W,
    "bmm": lambda x: (
        torch.bmm(square(x), square(x)) + torch.baddbmm(square(x), square(x), P[:1].expand(4, 3, 3), beta=2, alpha=3)
    ),
    "broadcast": lambda x: (square(x).unsqueeze(1) @ P).sum(1) + (P.unsqueeze(0) @ square(x).unsqueeze(1))[:, 0],
    "vectors": lambda x: torch.stack(
        [row.dot(row.exp()) + torch.mv(P[0], row).sum() + (row @ P[0] @ row) for row in x]
    ),
    "left": lambda x: (W.T @ x.exp().T).T + (W.T @ x.unsqueeze(-1)).squeeze(-1) + torch.addmm(W[:1], x, W, beta=0.5),
    "outer": lambda x: torch.stack([torch.outer(row, row.sin()) for row in x]),
    "cross": lambda x: torch.linalg.cross(x, x.exp()) + torch.cross(x, W.T[:1].expand(4, 3), dim=1),
    "addbmm": lambda x: torch.stack([torch.addbmm(P[0], P, row.outer(row).expand(2, 3, 3), beta=0) for row in x]),
    "vecdot": lambda x: torch.linalg.vecdot(x, x.sin()),
    "kron": lambda x: torch.stack([torch.kron(row, row.exp()) for row in x]),
    "tensordot": lambda x: torch.tensordot(square(x), P, ([1, 2], [1, 2])) + torch.tensordot(x, W, 1),
    "einsum": lambda x: torch.einsum("bi,bj,ij->b", x, x.sin(), P[0]) + torch.einsum("bij->b", square(x)),
    "einsum, ellipsis": lambda x: torch.einsum("...i,...ij,jk->...k", x, square(x), W) + torch.einsum("...i,ik", x, W),
    "einsum, diagonal": lambda x: torch.einsum("bii->bi", square(x)) + torch.einsum("bii,i->bi", square(x), W[:, 0]),
    "lerp": lambda x: (
        torch.lerp(x, x.exp(), 0.3) + torch.addcmul(x, x, x.sin(), value=2) + torch.addcdiv(x, x, x.exp())
    ),
    "multi_dot": lambda x: torch.linalg.multi_dot([x, P[0], W]),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, orders=(1, 3))
    assert_rule(lambda x: EXPRESSIONS[name](x * x.mean(1, keepdim=True)), X, orders=(3,))


def test_bilinear_layer():
    layer = nn.Bilinear(3, 2, 2).double()
    assert_rule(lambda x: layer(x, x[:, :2].sin()), X, orders=(3,))


@pytest.mark.filterwarnings("ignore:Using torch.cross without specifying the dim")
def test_cross_along_the_first_axis_of_length_3():
    assert_rule(lambda x: torch.cross(square(x)[:, :, :2], P[0, :, :2].expand(4, 3, 2)), X)
