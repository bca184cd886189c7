import pytest
import torch
from rule_check import assert_rule
from torch import nn

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


def test_a_constant_made_from_x_as_an_exponent():
    assert_rule(lambda x: (x - 1) ** torch.full_like(x, 3.0) + torch.pow(x - 1, 2 * torch.ones_like(x)), X)


class Power(nn.Module):
    """x² + 1 to powers that are learnt."""

    def __init__(self, exponent):
        super().__init__()
        self.exponent = nn.Parameter(exponent)

    def forward(self, x):
        return (x * x + 1) ** self.exponent


class SamePower(Power):
    """The same by exponential and logarithm."""

    def forward(self, x):
        return torch.exp(self.exponent * torch.log(x * x + 1))


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, [0.0, 1.0, 2.0], [3.0, -1.0, 0.5]], ids=str)
def test_a_learnt_exponent_gets_its_gradient_where_it_is_whole(exponent):
    exponent = torch.tensor(exponent, dtype=torch.float64)
    direction, gradients = torch.ones(3, dtype=torch.float64), []
    for module, method in ((Power(exponent), "taylor"), (SamePower(exponent), "reverse")):
        results = sobolev.derivatives(module, X, 3, direction, method=method)
        gradients.append(torch.autograd.grad(sum(d.sin().sum() for d in results), module.exponent)[0])
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)
