"""Enclosures of networks and operations hold the values and derivatives that reverse mode finds in float64."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import sobolev
from sobolev.autodiff.operators import derivative_tensors
from sobolev.certify.enclosure import Enclosure, variables
from sobolev.certify.registry import NoEnclosureError

CELLS = 100


def _violations(f, inputs: int, order: int, seed: int = 0, around: float = 0.0) -> int:
    """How many values and derivatives at random points of random cells lie outside."""
    rng = np.random.default_rng(seed)
    centre = around + rng.uniform(-1.5, 1.5, (CELLS, inputs))
    half = 10 ** rng.uniform(-4, -0.3, (CELLS, inputs))
    with np.errstate(all="ignore"), torch.no_grad():
        over = f(variables(centre, half, order))
    assert isinstance(over, Enclosure)
    ball, bad = over.over_cell(), 0
    for _ in range(3):
        x = torch.tensor(centre + half * rng.uniform(-1, 1, centre.shape))
        found = derivative_tensors(f, x, min(order + 1, 3))
        for row, index in enumerate(over.space.indices):
            if sum(index) > 3:
                continue
            place = [i for i, n in enumerate(index) for _ in range(n)]
            value = found[sum(index)].detach().numpy()[(..., *place)] if place else found[0].detach().numpy()
            scale = np.prod(half ** np.array(index), 1) / math.prod(map(math.factorial, index))
            value = value * scale.reshape(-1, *(1,) * (value.ndim - 1))
            off = np.abs(value - ball.mid[row])
            bad += int(np.sum(~(off <= ball.rad[row] + 1e-11 * (np.abs(value) + scale[:, None]))))
    return bad


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.SiLU, nn.GELU, nn.Softplus, nn.Sigmoid])
@pytest.mark.parametrize(("inputs", "order"), [(1, 4), (2, 3), (3, 2)])
def test_networks(activation, inputs, order):
    torch.manual_seed(inputs)
    net = nn.Sequential(nn.Linear(inputs, 12), activation(), nn.Linear(12, 9), activation(), nn.Linear(9, 2))
    assert _violations(net, inputs, order) == 0


FORWARDS = {
    "sine": lambda x: torch.sin(3 * x) * x.cos(),
    "quotient": lambda x: (1 - x) / (2.5 + x**2) - x / 3,
    "powers": lambda x: x**3 - (x + 4) ** -2 + (x + 4).sqrt() + (x + 4) ** 1.5,
    "exponential": lambda x: torch.exp(-x * x) + torch.log(x + 5),
    "gelu by tanh": lambda x: nn.functional.gelu(x, approximate="tanh"),
    "softplus with beta": lambda x: nn.functional.softplus(x, beta=2.0),
    "parts": lambda x: torch.cat([x[:, :1] * x[..., 1:], x.sum(1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1),
    "matrices": lambda x: x @ torch.tensor([[1.0, 2.0], [0.5, -1.0]]) + torch.ones(2),
    "columns": lambda x: torch.stack([x.unbind(1)[0] - x[:, 1], x[:, 0].tanh() * x[:, 1].sigmoid()], dim=-1),
    "shapes": lambda x: x.unsqueeze(2).reshape(len(x) if isinstance(x, torch.Tensor) else x.shape[0], 2).view(-1, 2),
    "numbers on the left": lambda x: 2 - torch.ones(2) * x + torch.tensor([1.0, 2.0]) / (x + 3),
    "the same number for each sample": lambda x: torch.cat([x, x * torch.ones(x.shape[0], 1)], 1),
    "ones beside": lambda x: torch.cat([x, torch.ones(x.shape[0], 1)], 1),
    "of the same shape": lambda x: 2 * torch.ones_like(x) - x.flip(1) * x + torch.zeros_like(x),
    "repeated": lambda x: x.sum(1, keepdim=True).sin().expand(-1, 2) + x.cos().expand(x.shape[0], 2),
    "precision": lambda x: x.float().to(torch.float64).to("cpu") * 2,
    "tangent": lambda x: torch.tan(x / 4) + torch.atan(3 * x),
    "inverse sines": lambda x: torch.asin(x / 4) + torch.arccos(x / 4),
    "hyperbolic": lambda x: torch.sinh(x) - x.cosh() + torch.asinh(x) + torch.acosh(x + 4) + torch.atanh(x / 4),
    "near zero": lambda x: torch.expm1(x) * torch.log1p(x / 4),
    "erf": lambda x: torch.erf(x) + torch.special.erfc(x) * x,
}


@pytest.mark.parametrize("name", FORWARDS)
def test_plain_forwards(name):
    assert _violations(FORWARDS[name], 2, 3) == 0


def test_derivatives_of_an_enclosure():
    f = lambda x: torch.sin(x[:, :1] * x[:, 1:])  # noqa: E731
    with np.errstate(all="ignore"):
        whole = f(variables(np.array([[0.3, 0.5]]), np.array([[0.1, 0.1]]), 4))
        mixed = whole.derivative((1, 1), 2)
    x = torch.tensor([[0.33, 0.45]])
    truth = 0.01 * derivative_tensors(f, x, 2)[2][0, 0, 0, 1].item()
    ball = mixed.over_cell()[0]
    assert abs(ball.mid[0, 0] - truth) <= ball.rad[0, 0] < 0.01
    assert mixed.space.order == 2


def _shifted(y):
    y += 1
    return y


def _written(y):
    y[:, 0] = 1.0
    return y


REFUSED = {
    "relu": lambda x: torch.relu(x),
    "norm over the batch": lambda x: x - x.mean(0),
    "rows": lambda x: x[0:1],
    "comparison": lambda x: x * (x > 0),
    "two factors": lambda x: x @ x.T,
    "dropout": lambda x: nn.functional.dropout(x, 0.5, training=True),
    "layer norm": nn.LayerNorm(2),
    "convolution": nn.Conv1d(1, 1, 1),
    "softmax": lambda x: x.softmax(1),
    "detach": lambda x: x.detach() * x,
    "in place": lambda x: x.sin().add_(1),
    "in place, by an operator": lambda x: _shifted(x.sin()),
    "in place, a column": lambda x: _written(x.sin()),
    "in place, an activation": nn.SiLU(inplace=True),
    "whole numbers": lambda x: x.to(torch.int64) * x,
    "half precision": lambda x: x.to(dtype=torch.float16),
    "numbers for each sample": lambda x: x * torch.arange(3.0)[:, None],
    "samples in reverse": lambda x: x.flip(0),
    "repeated along a new axis": lambda x: x.expand(2, *x.shape),
    "an axis in front": lambda x: x * torch.ones(2, 1, 1),
    "samples against columns": lambda x: x.sum(1) + x,
    "columns that miss an axis": lambda x: torch.cat([x, x.sum(1)], 1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused(name):
    with pytest.raises(NoEnclosureError):
        REFUSED[name](variables(np.zeros((3, 2)), np.ones((3, 2)), 2))


def test_modules_with_standardisation():
    torch.manual_seed(0)
    net = sobolev.Standardized(sobolev.MLP(2, 1, [8], activation="tanh")).double()
    net.fit(torch.randn(50, 2) * 3 + 1, torch.randn(50, 1) * 5)
    assert _violations(net, 2, 3) == 0
