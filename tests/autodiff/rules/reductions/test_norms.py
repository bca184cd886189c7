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


SMOOTH = {
    "square of a norm": (lambda x: torch.exp(-(torch.linalg.vector_norm(x, dim=1) ** 2)), -2),
    "of a scaled one": (lambda x: torch.exp(-0.5 * (x.norm(dim=1) / 2) ** 2), -0.25),
    "its opposite": (lambda x: (-x.norm(dim=1)).square(), 2),
    "cosine": (lambda x: torch.cos(torch.linalg.norm(x, dim=1)), -1),
    "log cosh": (lambda x: torch.log(torch.cosh(x.norm(dim=1, keepdim=True))).squeeze(1), 1),
    "by itself": (lambda x: (lambda r: r * r)(torch.linalg.vector_norm(x, dim=1)), 2),
    "of a matrix": (lambda x: torch.linalg.matrix_norm(x[:, :, None]) ** 2, 2),
    "of absolute values": (lambda x: torch.exp(-(x.abs() ** 2)).sum(1), -2),
    "fourth power": (lambda x: torch.linalg.vector_norm(x, dim=1) ** 4, 0),
    "distances": (lambda x: torch.cdist(x, torch.zeros(1, x.shape[1]).double()).square().sum(1), 2),
}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("inputs", [1, 3])
@pytest.mark.parametrize("name", SMOOTH)
def test_even_functions_of_a_norm_are_smooth_where_it_is_zero(name, inputs, mode):
    f, curvature = SMOOTH[name]
    x = torch.zeros(2, inputs, dtype=torch.float64)
    x[1] = 0.5
    expected = curvature * torch.eye(inputs, dtype=torch.float64)
    with mode():
        (H, _), (h, _), (trace, _) = (
            operator(f, x, method="taylor")[2]
            for operator in (sobolev.hessian, sobolev.hessian_diagonal, sobolev.laplacian)
        )
    torch.testing.assert_close(H, expected)
    torch.testing.assert_close(h, expected.diagonal())
    torch.testing.assert_close(trace, expected.trace())
    if name != "distances":  # autograd differentiates `cdist` once
        apart = sobolev.hessian(f, x[1:], method="reverse")
        torch.testing.assert_close(tuple(t[1:] for t in sobolev.hessian(f, x, method="taylor")), apart)


def test_every_order_and_the_gradient_of_a_weight_at_zero():
    w = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    x = torch.zeros(1, 1, dtype=torch.float64)
    rows = sobolev.derivatives(lambda x: torch.cos(w * x.norm(dim=1, keepdim=True)), x, 6, method="taylor")
    torch.testing.assert_close(
        torch.cat(rows)[:, 0], torch.stack([(-1) ** (k // 2) * (k % 2 == 0) * w**k for k in range(7)])
    )
    (gradient,) = torch.autograd.grad(rows[4].sum(), w)
    torch.testing.assert_close(gradient, 4 * w.detach() ** 3)


@pytest.mark.parametrize("operator", [sobolev.hessian, sobolev.laplacian])
@pytest.mark.parametrize("f", [lambda x: x.norm(dim=1), lambda x: (-x.norm(dim=1)).exp()])
def test_a_norm_itself_has_no_second_derivative_where_it_is_zero(f, operator):
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            _, J, second = operator(f, torch.zeros(1, 3, dtype=torch.float64), method="taylor")
        assert not J.any()
        assert second.isnan().any()


@pytest.mark.parametrize("operator", [sobolev.hessian, sobolev.laplacian])
def test_the_cube_of_a_norm_has_one(operator):
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            _, J, second = operator(lambda x: x.norm(dim=1) ** 3, torch.zeros(1, 3).double(), method="taylor")
        assert not J.any() and not second.any()
