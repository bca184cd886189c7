"""Many networks, deep and steep ones among them, at very many points of random cells: none may lie outside."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import sobolev
from sobolev.autodiff.operators import derivative_tensors
from sobolev.certify.enclosure import variables
from sobolev.certify.space import space_of

ACTIVATIONS = ("tanh", "silu", "gelu", "softplus", "sigmoid")


def _outside(seed: int, cells: int, points: int) -> int:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    inputs, steepness = 1 + seed % 3, math.exp(rng.uniform(-1, 1.5))
    hidden = [int(rng.integers(4, 40))] * int(rng.integers(1, 5))
    net = sobolev.MLP(inputs, 1, hidden, ACTIVATIONS[seed % 5]).double().requires_grad_(False)
    for layer in net:
        if isinstance(layer, nn.Linear):
            layer.weight *= steepness
    order, indices = (5, 3, 3)[inputs - 1], space_of(inputs, 2).indices
    centre, half = rng.uniform(-3, 3, (cells, inputs)), 10 ** rng.uniform(-6, 0.5, (cells, inputs))
    with np.errstate(all="ignore"):
        parts = [
            net(variables(centre[i : i + 200], half[i : i + 200], order)).over_cell() for i in range(0, cells, 200)
        ]
    mid, rad = (
        np.concatenate([part.mid for part in parts], 1)[..., 0],
        np.concatenate([p.rad for p in parts], 1)[..., 0],
    )
    found = 0
    for n in range(points):
        t = rng.uniform(-1, 1, centre.shape)
        t = np.sign(t) if n % 3 == 0 else t  # corners
        with torch.no_grad():
            derivatives = derivative_tensors(net, torch.tensor(centre + half * t), 2)
        for index in (index for index in indices if sum(index) <= 2):
            row, place = space_of(inputs, order).place[index], [i for i, k in enumerate(index) for _ in range(k)]
            scale = np.prod(half ** np.array(index), 1) / math.prod(map(math.factorial, index))
            values = derivatives[sum(index)][(slice(None), 0, *place)].numpy() * scale
            rounding = 1e-12 * steepness**4 * float(derivatives[sum(index)].abs().max()) * scale
            found += int(np.sum(np.abs(values - mid[row]) > rad[row] + rounding))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_nothing_lies_outside(seed):
    assert _outside(seed, cells=200, points=3) == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(32))
def test_nothing_lies_outside_at_a_million_points(seed):
    assert _outside(seed, cells=10_000, points=100) == 0
