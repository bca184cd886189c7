import pytest
import torch
from rule_check import assert_rule

import sobolev

B = torch.linspace(0.5, 2, 3, dtype=torch.float64)
X = 0.5 + torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

EXPRESSIONS = {
    "powers": lambda x: x**2 + x**3 + x**-1.5 + 2**x + x**x + x**B + torch.pow(x, 0.5) + x**0,
    "roots": lambda x: x.sqrt() + torch.rsqrt(x) * x.square(),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X)


def test_integer_powers_at_zero():
    assert_rule(lambda x: x**3 + x**2 + x**0, torch.zeros(1, 2, dtype=torch.float64))


BASES = {
    "whole numbers": torch.tensor([2, 3, 7]),
    "single precision": torch.tensor(1.5),
    "number": 2,
    "complex": 1 + 2j,
    "complex tensor": torch.tensor([1j, 2.0, 1 - 1j]),
}


@pytest.mark.parametrize("name", BASES)
def test_logarithms_of_bases_have_all_digits(name):
    base = BASES[name]
    exact = torch.as_tensor(base, dtype=torch.complex128 if "complex" in name else torch.float64)
    parts = lambda z: torch.view_as_real(z).flatten(1) if z.is_complex() else z  # noqa: E731
    assert_rule(lambda x: parts(base**x), X, reference=lambda x: parts(torch.exp(x * exact.log())))


def test_a_base_of_zero():
    zero = torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64)
    y, J, H = sobolev.hessian(lambda x: zero**x, X, method="taylor")
    assert torch.equal(y[:, [0, 2]], torch.zeros(5, 2, dtype=torch.float64))
    assert not J[:, [0, 2]].any()
    assert not H[:, [0, 2]].any()
