"""What second derivatives are worth in values: kinks and jumps of several widths, smooth functions, noise."""

import pytest
import torch

import sobolev
from sobolev.readout.curvature import curvature, is_paid

X = torch.linspace(-1, 1, 4001, dtype=torch.float64)[:, None]


def test_curvature_is_that_along_random_directions():
    x = 2 * torch.rand(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    assert curvature(torch.nn.Linear(2, 1).double(), x, torch.ones(1), "auto") == 0.0

    class Parabola(torch.nn.Linear):
        def forward(self, x):
            return self.weight * x[:, :1] ** 2

    parabola = Parabola(1, 1).double()
    torch.nn.init.constant_(parabola.weight, 5.0)
    # 2 v² of a normal v with the variance 1/3 of the points, in units of 5
    assert curvature(parabola, x, torch.tensor([5.0]), "auto") == pytest.approx(2 * 3**0.5 / 3, rel=0.05)


def resolved(function, width):
    """The error of the values and the size of the second derivative of what is rounded to a width."""
    y, _, bend = (tensor[:, 0] for tensor in sobolev.derivatives(lambda x: function[0](x, width), X, 2))
    error = (y - function[1](X)[:, 0]).square().mean().sqrt()
    return float(error / function[1](X).std()), float(bend.square().mean().sqrt())


KINK = (lambda x, w: (x * x + w * w).sqrt(), torch.abs)
JUMP = (lambda x, w: torch.tanh(x / w), torch.sign)


@pytest.mark.parametrize("function", [KINK, JUMP])
@pytest.mark.parametrize("widths", [(0.2, 0.1), (0.1, 0.02), (0.2, 0.005)])
def test_a_kink_or_a_jump_never_pays(function, widths):
    errors, curvatures = zip(*(resolved(function, width) for width in widths), strict=True)
    assert errors[1] < errors[0] and curvatures[1] > curvatures[0]
    assert not is_paid(errors, curvatures)


def test_what_is_smooth_or_was_not_learnt_pays():
    assert is_paid((1e-2, 1e-3), (1.0, 1.05))
    assert is_paid((3e-2, 1e-3), (1.0, 1.5))
    assert is_paid((2.2e-2, 2.0e-2), (1.0, 1.02))  # noise hides by how much
    assert is_paid((0.97, 1e-2), (0.01, 50.0))
    assert is_paid((0.97, 0.9), (0.01, 50.0))  # noise hides most of it
    assert not is_paid((0.5, 0.4), (1.0, 2.0))
    assert not is_paid((2.2e-2, 2.1e-2), (1.0, 1.5))
    assert is_paid((0.9, 1e-9), (0.0, 1.0))
