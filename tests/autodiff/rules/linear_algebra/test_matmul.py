import pytest
import torch
from rule_check import assert_rule
from torch import nn
from torch.nn import functional as F  # noqa: N812

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(4, 2, 3, dtype=torch.float64, generator=GENERATOR)
W = torch.randn(3, 3, dtype=torch.float64, generator=GENERATOR)
STACK = torch.randn(5, 1, 3, 2, dtype=torch.float64, generator=GENERATOR)
NOTHING = torch.full((3,), torch.nan, dtype=torch.float64)
T3 = torch.randn(4, 3, 2, dtype=torch.float64, generator=GENERATOR)

PRODUCTS = {
    "linear": lambda x: F.linear(x, W, W[0]),
    "linear with a jet as weight": lambda x: F.linear(W, x.reshape(8, 3)).T.reshape(4, 2, 3),
    "matmul by a matrix": lambda x: x @ W + W.T.matmul(x.mT).mT,
    "matmul by a vector": lambda x: x @ W[0] + torch.matmul(W[:2, 0], x).unbind(1)[0].unsqueeze(1),
    "matmul by more axes": lambda x: (x @ STACK).movedim(0, 1),
    "bmm": lambda x: torch.bmm(x, T3) + torch.bmm(x.exp(), x.mT),
    "matmul of jets": lambda x: x.sin() @ x.mT,
    "baddbmm": lambda x: torch.baddbmm(x, x @ x.mT, x.exp(), beta=0.5, alpha=2),
    "addmm": lambda x: torch.addmm(W[0], x.reshape(8, 3), W).reshape(4, 2, 3),
    "einsum, one": lambda x: torch.einsum("bij->bji", x.sin()),
    "einsum, implicit": lambda x: torch.einsum("bij,jk", x, W),
    "einsum, two": lambda x: torch.einsum("bij,bkj->bik", x, x.exp()),
    "einsum, three": lambda x: torch.einsum("b i j, jk, b i k -> b i", x, W, x.sin()),
    "einsum, ellipsis": lambda x: torch.einsum("...ij,...j->...i", W, x),
    "sums that leave out what is not asked for": lambda x: (
        torch.addmm(NOTHING, x.reshape(8, 3), W, beta=0).reshape(4, 2, 3)
        + torch.baddbmm(NOTHING, x, W.expand(4, 3, 3), beta=0.0, alpha=2)
    ),
    "bilinear": lambda x: F.bilinear(x, x.sin(), W.expand(2, 3, 3)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name):
    assert_rule(PRODUCTS[name], X)


def test_layers_that_share_a_weight():
    torch.manual_seed(0)
    layer = nn.Linear(3, 3)
    assert_rule(nn.Sequential(layer, nn.Tanh(), layer).double(), X)
