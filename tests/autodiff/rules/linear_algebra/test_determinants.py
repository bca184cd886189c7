import pytest
import torch
from matrices import X, matrix, positive
from rule_check import assert_rule

from sobolev.autodiff import reverse
from sobolev.autodiff.taylor import operators as taylor


def small(x):
    return torch.stack([x[:, :2].exp(), x[:, 2:] ** 2], 1)


EXPRESSIONS = {
    "det": lambda x: (
        torch.det(matrix(x)) + torch.linalg.det(small(x)) * matrix(x)[:, :3, :3].det() + small(x)[:, :1, :1].det()
    ),
    "slogdet": lambda x: torch.linalg.slogdet(matrix(x))[1] + torch.logdet(positive(x)) + matrix(x).slogdet().logabsdet,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, orders=(1, 3), rtol=1e-8)


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
