import pytest
import torch
from matrices import FIXED, X3, deficient, oblong, symmetric
from rule_check import assert_rule

B = torch.linspace(-1, 2, 8, dtype=torch.float64).reshape(4, 2)

EXPRESSIONS = {
    "pinv": lambda x: torch.linalg.pinv(oblong(x)) + oblong(x).mT.pinverse().mT,
    "pinv, deficient": lambda x: torch.linalg.pinv(deficient(x)),
    "lstsq": lambda x: torch.linalg.lstsq(oblong(x), x.exp().unsqueeze(1) * B[:, :1]).solution,
    "lstsq, constant matrix": lambda x: (
        torch.linalg.lstsq(FIXED.expand(2, 4, 3), x.exp().unsqueeze(1) * FIXED.sin()).solution
    ),
    "lstsq, vectors": lambda x: torch.linalg.lstsq(oblong(x).mT, x.exp())[0],
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X3, orders=(1, 3), rtol=1e-8)


def test_condition_numbers():
    """PyTorch's own derivative writes over what it needs."""

    def definition(x):
        a = symmetric(x)
        return sum(
            torch.linalg.matrix_norm(a, p) * torch.linalg.matrix_norm(torch.linalg.inv(a), p)
            for p in (2, 2, -2, 1, "fro")
        )

    kinds = (None, 2, -2, 1, "fro")
    assert_rule(lambda x: sum(torch.linalg.cond(symmetric(x), p) for p in kinds), X3, (1, 3), reference=definition)


def test_residuals():
    """PyTorch has no derivative of them."""

    def f(x):
        return torch.linalg.lstsq(oblong(x), x.cos().unsqueeze(1) * FIXED.exp(), driver="gels").residuals

    def definition(x):
        b = x.cos().unsqueeze(1) * FIXED.exp()
        return (oblong(x) @ torch.linalg.pinv(oblong(x)) @ b - b).square().sum(1)

    assert_rule(f, X3, orders=(1, 3), rtol=1e-8, reference=definition)


def test_the_rank_has_no_derivatives():
    assert_rule(lambda x: torch.linalg.matrix_rank(deficient(x)).unsqueeze(1) * x.exp(), X3, orders=(1,))
