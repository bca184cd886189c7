import pytest
import torch
from rule_check import assert_rule

from sobolev.autodiff import reverse, taylor

X = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LOW = torch.tensor([[2.0, 0], [1, 3]], dtype=torch.float64)


def matrix(x):
    """(rows, n, n), well conditioned and smooth in x."""
    return torch.eye(4, dtype=x.dtype) * 3 + x.unsqueeze(1) * x.sin().unsqueeze(2) / 2 + torch.diag_embed(x.cos())


def positive(x):
    a = matrix(x)
    return a @ a.mT


def small(x):
    return torch.stack([x[:, :2].exp(), x[:, 2:] ** 2], 1)


EXPRESSIONS = {
    "inv": lambda x: torch.linalg.inv(matrix(x)) + matrix(x).inverse(),
    "solve": lambda x: torch.linalg.solve(matrix(x), x.exp()) + torch.linalg.solve(matrix(x), matrix(x).mT)[:, 0],
    "solve, constant matrix": lambda x: torch.linalg.solve(LOW, x[:, :2].exp()[..., None]).squeeze(2),
    "solve, right": lambda x: torch.linalg.solve(matrix(x), x.exp().unsqueeze(1), left=False),
    "triangular": lambda x: (
        torch.linalg.solve_triangular(matrix(x), x.unsqueeze(2), upper=True)
        + torch.linalg.solve_triangular(matrix(x), x.unsqueeze(2), upper=False, unitriangular=True)
    ),
    "triangular, constant": lambda x: torch.linalg.solve_triangular(LOW, x[:, :2, None] ** 2, upper=False),
    "det": lambda x: (
        torch.det(matrix(x)) + torch.linalg.det(small(x)) * matrix(x)[:, :3, :3].det() + small(x)[:, :1, :1].det()
    ),
    "slogdet": lambda x: torch.linalg.slogdet(matrix(x))[1] + torch.logdet(positive(x)) + matrix(x).slogdet().logabsdet,
    "cholesky": lambda x: (
        torch.linalg.cholesky(positive(x)) + torch.cholesky_solve(matrix(x), torch.linalg.cholesky(positive(x)))
    ),
    "power": lambda x: torch.linalg.matrix_power(matrix(x) / 4, 5) + torch.matrix_power(matrix(x), -1),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X[:2], orders=(1, 3), rtol=1e-8)


@pytest.mark.parametrize("n", [2, 3])
def test_determinant_of_a_singular_matrix(n):
    def f(x):
        return torch.linalg.det(x) if not isinstance(x, torch.Tensor) else written_out(x)

    def written_out(a):
        if n == 2:
            return a[:, 0, 0] * a[:, 1, 1] - a[:, 0, 1] * a[:, 1, 0]
        return (a[:, 0] * torch.linalg.cross(a[:, 1], a[:, 2])).sum(1)

    x = torch.ones(1, n, n, dtype=torch.float64)
    for ours, theirs in zip(taylor.hessian(f, x), reverse.hessian(written_out, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
