import math

import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional

import sobolev
from sobolev.autodiff.taylor import operators as taylor

X = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

EXPRESSIONS = {
    "norm": lambda x: x.norm(dim=1) + torch.norm(x, 2, -1) + x.norm(3, 1) + x.norm(p=1, dim=1) + x.norm(1.5, 1),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, 4, 1, keepdim=True) + torch.linalg.norm(x, dim=1).unsqueeze(1),
    "largest": lambda x: torch.linalg.vector_norm(x**2, math.inf, 1) + x.norm(-math.inf, dim=1) * x.norm(0, 1),
    "matrix_norm": lambda x: sum(
        torch.linalg.matrix_norm(x[:, :, None] * x[:, None].exp(), k) for k in ("fro", 1, -math.inf)
    ),
    "normalize": lambda x: functional.normalize(x) + functional.normalize(x, p=3.0, dim=-1),
    "renorm": lambda x: x.renorm(2, 0, 1.0),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, rtol=1e-8)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_squares_neither_vanish_nor_overflow(size):
    x = torch.tensor([[3.0, 4.0]]) * size
    _, d1, d2 = taylor.derivatives(lambda x: x.norm(dim=1), x, 2, torch.tensor([[4.0, -3.0]]) * size)
    assert d1.item() == pytest.approx(0, abs=1e-6 * size)
    assert d2.item() == pytest.approx(5 * size, rel=1e-5)


def test_a_norm_at_zero_has_slope_zero_and_no_curvature():
    x = torch.zeros(1, 2)
    _, d1, d2 = taylor.derivatives(lambda x: x.norm(dim=1), x, 2, torch.ones_like(x))
    assert d1.item() == 0
    assert d2.isnan().all()


@pytest.mark.parametrize("size", [1e-30, 1e-18, 1e18, 1e30])
def test_curvature_where_squares_vanish_or_overflow(size):
    x = torch.tensor([[3.0, 4.0]]) * size
    H = sobolev.hessian(lambda x: x.norm(dim=1), x, method="taylor")[2]
    torch.testing.assert_close(H, torch.tensor([[[0.128, -0.096], [-0.096, 0.072]]]) / size, rtol=1e-5, atol=0)


def test_other_norms_are_flat_at_zero_as_in_pytorch():
    x = torch.zeros(1, 4, dtype=torch.float64)
    for f in (lambda x: x.norm(p=3, dim=1), lambda x: functional.lp_pool1d(x[:, None], 2.0, 2)[:, 0]):
        results = sobolev.hessian(f, x, method="taylor")
        assert not any(result.any() for result in results)
