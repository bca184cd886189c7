import pytest
import torch
from rule_check import assert_rule
from torch import fft

X = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def flat(z):
    return (torch.view_as_real(z) if z.is_complex() else z).flatten(1)


EXPRESSIONS = {
    "fft": lambda x: fft.fft(x, dim=1).abs() + fft.ifft(torch.complex(x, x.sin()), 4, 1, "ortho").imag,
    "rfft": lambda x: flat(fft.rfft(x**2, dim=1)),
    "irfft": lambda x: fft.irfft(fft.rfft(x, dim=1) * torch.arange(3)[:, None], 4, 1),
    "hfft": lambda x: fft.hfft(torch.complex(x, x.exp()), dim=1) + fft.ihfft(x, 10, 1).real,
    "two axes": lambda x: fft.ifft2(fft.fft2(x) ** 2).real + fft.irfft2(fft.rfft2(x.sin()) * 2j, (4, 3)),
    "all axes": lambda x: flat(fft.rfftn(x, dim=(1, 2))) ** 2,
    "shift": lambda x: fft.fftshift(x, 1) * fft.ifftshift(x, (1, 2)),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, orders=(1, 3))
