import pytest
import torch
from matrices import SIGNS, X3, symmetric
from rule_check import assert_rule

from sobolev.autodiff import taylor
from sobolev.autodiff.rules import NoRuleError

EXPRESSIONS = {
    "eigh": lambda x: torch.linalg.eigh(symmetric(x))[1] * SIGNS + torch.linalg.eigh(symmetric(x)).eigenvalues[:, None],
    "eigvalsh": lambda x: torch.linalg.eigvalsh(symmetric(x)),
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
