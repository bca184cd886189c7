import pytest
import torch
from matrices import FIXED, SIGNS, X3, symmetric
from rule_check import assert_rule

from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor


def square(x):
    """(rows, 3, 3), of which some have a pair of complex eigenvalues."""
    return FIXED[:3] + x.unsqueeze(1) * x.exp().unsqueeze(2)


def spectrum(x):
    return torch.linalg.eigvals(square(x))


EXPRESSIONS = {
    "eigh": lambda x: torch.linalg.eigh(symmetric(x))[1] * SIGNS + torch.linalg.eigh(symmetric(x)).eigenvalues[:, None],
    "eigvalsh": lambda x: torch.linalg.eigvalsh(symmetric(x)),
    "eigvals": lambda x: spectrum(x).abs() * spectrum(x).real,
    "eig": lambda x: torch.linalg.eig(square(x)).eigenvectors.abs().square() * SIGNS,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X3, orders=(1, 3), rtol=1e-8)


def test_equal_eigenvalues_have_first_derivatives_only():
    x = torch.ones(1, 1, dtype=torch.float64)
    _, d1, d2 = taylor.derivatives(lambda x: torch.linalg.eigvalsh(torch.eye(2) * x.unsqueeze(2)), x, 2, x)
    assert d1.tolist() == [[1, 1]]
    assert d2.isnan().all()


def test_complex_symmetric_matrices_are_refused():
    with pytest.raises(NoRuleError, match="complex"):
        taylor.jacobian(lambda x: torch.linalg.eigh(symmetric(x) + 0j)[0], X3)


def test_high_orders_rebuild_the_matrix():
    direction = torch.ones_like(X3)

    def rebuilt(x):
        values, vectors = torch.linalg.eig(square(x))
        return torch.matmul(vectors * values.unsqueeze(1), torch.linalg.inv(vectors)).real

    exact, ours = (taylor.derivatives(f, X3, 8, direction) for f in (square, rebuilt))
    for k in range(9):
        torch.testing.assert_close(ours[k], exact[k], rtol=1e-8, atol=1e-8 * 10**k)
