import math

import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional

from sobolev.autodiff import taylor

X = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
CENTRES = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

EXPRESSIONS = {
    "norm": lambda x: x.norm(dim=1) + torch.norm(x, 2, -1) + x.norm(3, 1) + x.norm(p=1, dim=1) + x.norm(1.5, 1),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, 4, 1, keepdim=True) + torch.linalg.norm(x, dim=1).unsqueeze(1),
    "largest": lambda x: torch.linalg.vector_norm(x**2, math.inf, 1) + x.norm(-math.inf, dim=1) * x.norm(0, 1),
    "matrix_norm": lambda x: sum(
        torch.linalg.matrix_norm(x[:, :, None] * x[:, None].exp(), k) for k in ("fro", 1, -math.inf)
    ),
    "cdist": lambda x: torch.cdist(x[:, None], CENTRES) + torch.cdist(x[:, None], CENTRES, p=1.0),
    "pairwise": lambda x: functional.pairwise_distance(x, CENTRES[:1]) + (x - CENTRES[0]).norm(dim=-1),
    "normalize": lambda x: functional.normalize(x) + functional.normalize(x, p=3.0, dim=-1),
    "cosine": lambda x: functional.cosine_similarity(x, CENTRES[:1]) + functional.cosine_similarity(x, x.exp(), dim=-1),
    "renorm": lambda x: x.renorm(2, 0, 1.0),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    if name == "cdist":  # PyTorch has no second derivative of it
        f = EXPRESSIONS[name]
        assert_same(f, lambda x: sum((x[:, None, None] - CENTRES).norm(p, dim=-1) for p in (2, 1)))
    else:
        assert_rule(EXPRESSIONS[name], X, rtol=1e-8)


def assert_same(f, g):
    for ours, theirs in zip(taylor.hessian(f, X), taylor.hessian(g, X), strict=True):
        torch.testing.assert_close(ours, theirs.reshape(ours.shape))


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_squares_neither_vanish_nor_overflow(size):
    x = torch.tensor([[3.0, 4.0]]) * size
    _, d1, d2 = taylor.derivatives(lambda x: x.norm(dim=1), x, 2, torch.tensor([[4.0, -3.0]]) * size)
    assert d1.item() == pytest.approx(0, abs=1e-6 * size)
    assert d2.item() == pytest.approx(5 * size, rel=1e-5)


def test_the_distance_to_oneself_is_zero_with_all_derivatives():
    distances = taylor.derivatives(lambda x: torch.cdist(x.unsqueeze(2), x.unsqueeze(2)), X, 3, torch.ones_like(X))
    for d in distances:
        assert not d.diagonal(dim1=1, dim2=2).any()
        assert d.isfinite().all()


def test_a_norm_at_zero_has_slope_zero_and_no_curvature():
    x = torch.zeros(1, 2)
    _, d1, d2 = taylor.derivatives(lambda x: x.norm(dim=1), x, 2, torch.ones_like(x))
    assert d1.item() == 0
    assert d2.isnan().all()
