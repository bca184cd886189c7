import pytest
import torch
from rule_check import assert_rule
from torch import nn

import sobolev
from sobolev.autodiff.taylor import operators as taylor

X = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
W = torch.randn(3, 2, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))

TWO = torch.tensor(2.0, dtype=torch.float64)
EXPRESSIONS = {
    "parts": lambda x: torch.complex(x, x.exp()).real * torch.imag(torch.complex(x, x.sin()) ** 2),
    "arithmetic": lambda x: ((x * 1j + 1) * torch.complex(x, x**2) / (x + 2j)).real + (1 / (x + 1j)).imag,
    "conjugate": lambda x: (torch.complex(x, x.exp()).conj() * torch.complex(x, x**2)).imag + x.conj() * x.real,
    "absolute": lambda x: torch.complex(x, x.exp()).abs() + abs(x * 1j + 2),
    "angle": lambda x: (
        torch.angle(torch.complex(x, x.exp())) + torch.atan2(x, x.cos() - 2) + torch.atan2(x, torch.ones(3))
    ),
    "sign": lambda x: torch.sgn(torch.complex(x, x.exp())).real,
    "functions": lambda x: torch.exp(1j * x).real + torch.sin(x + 1j * x).imag + torch.tanh(x * (0.3 + 1j)).imag,
    "views": lambda x: torch.view_as_real(torch.view_as_complex(x[:, :2].exp().unsqueeze(1)) ** 2).flatten(1),
    "polar": lambda x: torch.polar(x.exp(), x**2).imag,
    "matmul": lambda x: (x.to(torch.complex128) @ W).abs() + (torch.complex(x, x.exp()) @ W.conj()).mH.mH.imag,
    "parts of other shapes": lambda x: (
        (torch.complex(x, x[0, 0].detach() * 0 + 1) ** 2).imag + torch.complex(TWO, x).abs()
    ),
    "adjoint": lambda x: torch.adjoint(torch.complex(x, x.exp())).imag.T * torch.complex(x, x.sin()).adjoint().imag.T,
    "power": lambda x: ((1 + 2j) ** torch.complex(x, x**2)).imag,
    "hypot": lambda x: torch.hypot(x, x.exp()) + torch.hypot(x, torch.tensor(2.0, dtype=x.dtype)),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X)


def test_complex_layers():
    net = nn.Sequential(nn.Linear(3, 4, dtype=torch.complex128), nn.Tanh(), nn.Linear(4, 2, dtype=torch.complex128))
    assert_rule(lambda x: torch.view_as_real(net(x.to(torch.complex128))).flatten(1), X)


def test_angle_far_out_and_on_the_axes():
    x = torch.tensor([[1.0], [0.0], [-1.0], [0.0]])
    y = torch.tensor([[0.0], [1.0], [1e-30], [-1.0]])
    _, slope = taylor.derivatives(lambda x: torch.atan2(y, x), x, 1, torch.ones_like(x))
    torch.testing.assert_close(slope, -y / (x**2 + y**2))
    near = torch.tensor([[1e-30]], dtype=torch.float64)
    results = taylor.derivatives(lambda y: torch.atan2(y, torch.full_like(y, -1.5)), near, 4, torch.ones_like(near))
    exact = [-2 / 3, 2 * 1e-30 * 1.5 / 1.5**4, 2 / 1.5**3, -24 * 1e-30 / 1.5**5]
    assert [d.item() for d in results[1:]] == pytest.approx(exact, rel=1e-13, abs=0)
    far = torch.tensor([[1e30]])
    _, slope = taylor.derivatives(lambda x: torch.atan2(far, x), far, 1, torch.ones_like(far))
    torch.testing.assert_close(slope * 1e30, torch.tensor([[-0.5]]))


def test_sums_of_real_and_complex_jets():
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)
    assert_rule(lambda x: torch.exp(1j * x - x * x).real + (x.sin() - torch.exp(1j * x)).imag, x)


def test_sign_and_angle_at_zero_are_those_of_pytorch():
    x = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    y, J = sobolev.jacobian(lambda x: torch.sgn(torch.complex(x, x)).real, x, method="taylor")
    torch.testing.assert_close(y, torch.tensor([[0.0, 0.5**0.5]], dtype=torch.float64))
    torch.testing.assert_close(J, torch.zeros(1, 2, 2, dtype=torch.float64))
    y, J = sobolev.jacobian(lambda x: torch.atan2(x[:, 0], x[:, 0] * x[:, 1]), x, method="taylor")
    assert y.item() == 0
    assert not J.any()
