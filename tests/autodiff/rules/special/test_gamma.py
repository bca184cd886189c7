import mpmath
import pytest
import torch
from exact import assert_exact
from rule_check import assert_rule

import sobolev

INSIDE = (0.2 + torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))) / 1.3

TWO = torch.linspace(1.5, 3, 6, dtype=torch.float64).reshape(2, 3)
EXPRESSIONS = {
    "polygamma": lambda x: torch.polygamma(2, x) + x.polygamma(1),
    "mvlgamma": lambda x: torch.mvlgamma(x + 2, 3) + torch.special.multigammaln(x + 1, 2),
    "broadcast": lambda x: (
        torch.special.zeta(TWO, x[:, None]) * torch.igamma(TWO, x[:, None]) + torch.igammac(TWO, x[:, :1, None])
    ),
    "igamma": lambda x: torch.igamma(torch.tensor(1.5).double(), x) + torch.special.gammaincc(x.new_full((3,), 2.0), x),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], INSIDE)


FUNCTIONS = {
    "zeta": (lambda q: torch.special.zeta(torch.tensor(2.5).double(), q), lambda q: mpmath.zeta(2.5, q), [0.01, 1, 30]),
    "lgamma": (torch.lgamma, mpmath.loggamma, [0.5, 3.0]),
    "digamma": (torch.digamma, mpmath.digamma, [0.5, 3.0]),
    "polygamma": (lambda x: torch.polygamma(1, x), lambda x: mpmath.polygamma(1, x), [0.5, 3.0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_order_at_ordinary_and_special_points(name):
    assert_exact(*FUNCTIONS[name])


def test_the_second_derivative_of_lgamma_has_all_digits():
    x = torch.tensor([1.0, 2.3, 0.3], dtype=torch.float64)
    exact = [float(mpmath.psi(1, mpmath.mpf(p))) for p in x.tolist()]
    second = sobolev.derivatives(torch.lgamma, x, 2, method="taylor")[2]
    torch.testing.assert_close(second, torch.tensor(exact, dtype=torch.float64), rtol=1e-14, atol=0)
