import numpy as np
import pytest
import torch
from torch import nn

from sobolev.optimizers import LBFGS


def test_the_direction_is_that_of_the_dense_formula():
    """Of the last three steps, on y·s / y·y times the identity."""
    random = np.random.default_rng(1)
    root = random.normal(size=(6, 6))
    hessian = root @ root.T + np.eye(6)
    optimizer = LBFGS([nn.Parameter(torch.zeros(6, dtype=torch.float64))], history=3)
    memory, steps = {}, random.normal(size=(5, 6))
    for s in steps:
        optimizer.learn(memory, torch.from_numpy(s), torch.from_numpy(hessian @ s), 1.0)
    last, gradient = hessian @ steps[-1], random.normal(size=6)
    inverse = np.eye(6) * (last @ steps[-1]) / (last @ last)
    for s in steps[-3:]:
        y = hessian @ s
        left = np.eye(6) - np.outer(s, y) / (y @ s)
        inverse = left @ inverse @ left.T + np.outer(s, s) / (y @ s)
    found = optimizer.direction(memory, torch.from_numpy(gradient)).numpy()
    np.testing.assert_allclose(found, -inverse @ gradient, rtol=1e-10)


def test_a_loss_below_the_threshold_of_torch_is_still_lowered():
    """Where torch.optim.LBFGS, even with its tolerances at 0, has nothing left to learn from."""
    ends = []
    for kind in (LBFGS, lambda p: torch.optim.LBFGS(p, 1, 20, 50, 0, 0, 100, "strong_wolfe")):
        x = nn.Parameter(torch.zeros(20, dtype=torch.float64))
        optimizer = kind([x])
        curvature = torch.logspace(0, 4, 20, dtype=torch.float64)

        def closure(x=x, optimizer=optimizer, curvature=curvature):
            optimizer.zero_grad()
            loss = 1e-14 * (curvature * (x - 1).square()).sum()
            loss.backward()
            return loss

        for _ in range(20):
            optimizer.step(closure)
        ends.append((x - 1).abs().max().item())
    assert ends[0] < 1e-8 < 1e-3 < ends[1]


def test_a_history_of_nothing_is_refused():
    with pytest.raises(ValueError, match="history is 0"):
        LBFGS([nn.Parameter(torch.zeros(1))], history=0)
