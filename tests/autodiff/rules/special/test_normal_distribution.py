import mpmath
import pytest
import torch
from exact import assert_exact
from rule_check import assert_rule

INSIDE = (0.2 + torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))) / 1.3

EXPRESSIONS = {
    "erfinv": lambda x: torch.erfinv(x) + torch.special.ndtri(x) * x,
    "ndtr": lambda x: torch.special.ndtr(x) + torch.special.erf(x),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], INSIDE)


FUNCTIONS = {
    "erfcx": (torch.special.erfcx, lambda x: mpmath.exp(x**2) * mpmath.erfc(x), [-3.0, 0.0, 0.9, 1.1, 4.0, 30.0]),
    "log_ndtr": (torch.special.log_ndtr, lambda x: mpmath.log(mpmath.ncdf(x)), [-6.0, -1.0, 0.0, 1.0, 6.0]),
    "ndtr": (torch.special.ndtr, mpmath.ncdf, [-3.0, 0.0, 5.0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_order_at_ordinary_and_special_points(name):
    assert_exact(*FUNCTIONS[name])
