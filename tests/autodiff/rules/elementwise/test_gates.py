import mpmath
import pytest
import torch
from rule_check import assert_rule
from torch import nn
from torch.nn import functional

from sobolev.autodiff.taylor import operators as taylor

X = torch.linspace(-3, 3, 12, dtype=torch.float64).reshape(3, 4)


@pytest.mark.parametrize("layer", [nn.GLU(), nn.Softsign(), nn.Tanhshrink()], ids=str)
def test_layers(layer):
    assert_rule(layer, X)


def test_softsign_far_out():
    x = torch.tensor([[1000.0]])
    derivatives = taylor.derivatives(functional.softsign, x, 4, torch.ones_like(x))
    expected = [float(mpmath.diff(lambda t: t / (1 + t), 1000, k)) for k in range(5)]
    assert [d.item() for d in derivatives] == pytest.approx(expected, rel=1e-4)
