import mpmath
import pytest
import torch
from exact import assert_exact, bessel
from rule_check import assert_rule

from sobolev.autodiff import taylor

special = torch.special
POINTS = [1e-3, 0.3, 0.49, 0.51, 2.0, 7.0, 31.0, 60.0, 1000.0, 1e8]

FUNCTIONS = {
    "i0e": (special.i0e, lambda x: mpmath.exp(-x) * mpmath.besseli(0, x), POINTS),
    "i1e": (special.i1e, lambda x: mpmath.exp(-x) * mpmath.besseli(1, x), POINTS),
    "i0e, negative": (special.i0e, lambda x: mpmath.exp(x) * mpmath.besseli(0, x), [-0.5, -60.0]),
    "i1e, negative": (special.i1e, lambda x: mpmath.exp(x) * mpmath.besseli(1, x), [-0.5, -60.0]),
    "k0e": (special.scaled_modified_bessel_k0, bessel(mpmath.besselk, 0, -1, scaled=True), POINTS),
    "k1e": (special.scaled_modified_bessel_k1, bessel(mpmath.besselk, 1, -1, scaled=True), POINTS),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_order_at_ordinary_and_special_points(name):
    assert_exact(*FUNCTIONS[name])


def test_against_reverse_mode():
    x = torch.linspace(-3, 4, 6, dtype=torch.float64).reshape(3, 2)
    assert_rule(lambda x: special.i0e(x) * special.i1e(x.sin() + 2), x)


def test_both_sides_of_zero():
    """The even derivatives of exp(-|x|) I_0 agree there; the odd ones are 0, between both."""
    x = torch.zeros(1, 1, dtype=torch.float64)
    found = [d.item() for d in taylor.derivatives(special.i0e, x, 3, torch.ones_like(x))]
    assert found == pytest.approx([1, 0, 1.5, 0])
