import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional

from sobolev.autodiff.taylor import operators as taylor

X = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
CENTRES = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
PAIRS = ((0, 1), (0, 2), (1, 2))

EXPRESSIONS = {
    "pairwise": lambda x: functional.pairwise_distance(x, CENTRES[:1]) + (x - CENTRES[0]).norm(dim=-1),
    "cosine": lambda x: functional.cosine_similarity(x, CENTRES[:1]) + functional.cosine_similarity(x, x.exp(), dim=-1),
    "cosine of other shapes": lambda x: functional.cosine_similarity(torch.stack([x, x.exp()], 1), CENTRES[:1], dim=-2),
    "dist": lambda x: torch.stack([torch.dist(row, row.sin(), 3) for row in x]),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, rtol=1e-8)


def test_distances_of_all_pairs():
    """PyTorch has no second derivative of cdist and pdist."""
    assert_rule(
        lambda x: torch.cdist(x[:, None], CENTRES) + torch.cdist(x[:, None], CENTRES, p=1.0),
        X,
        reference=lambda x: sum((x[:, None, None] - CENTRES).norm(p, dim=-1) for p in (2, 1)),
    )
    assert_rule(
        lambda x: torch.stack([functional.pdist(row.outer(row.exp())) for row in x]),
        X,
        reference=lambda x: torch.stack([(x[:, i] - x[:, j]).abs() * x.exp().norm(dim=1) for i, j in PAIRS], 1),
    )


def test_the_distance_to_oneself_is_zero_with_all_derivatives():
    distances = taylor.derivatives(lambda x: torch.cdist(x.unsqueeze(2), x.unsqueeze(2)), X, 3, torch.ones_like(X))
    for d in distances:
        assert not d.diagonal(dim1=1, dim2=2).any()
        assert d.isfinite().all()
