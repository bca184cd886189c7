import numpy as np
import pytest
import torch
from torch import nn

from sobolev.optimizers import SelfScaledBFGS


def textbook(inverse, s, y, scale):
    """Nocedal & Wright, equation 6.17, on a scaled inverse Hessian."""
    rho, identity = 1 / (y @ s), np.eye(len(s))
    left = identity - rho * np.outer(s, y)
    return left @ (inverse / scale) @ left.T + rho * np.outer(s, s)


@pytest.mark.parametrize("length", [0.3, 1.0, 1.7])
def test_the_update_is_the_textbooks(length):
    """First y·s / y·y times the identity; then scaled by min(1, y·s / s·Bs)."""
    random = np.random.default_rng(0)
    root = random.normal(size=(5, 5))
    hessian = root @ root.T + np.eye(5)
    optimizer, memory, inverse = SelfScaledBFGS([nn.Parameter(torch.zeros(5, dtype=torch.float64))]), {}, None
    for _ in range(4):
        s = length * random.normal(size=5)
        y = hessian @ s
        if inverse is None:
            predicted, inverse, scale = 1.0, np.eye(5) * (y @ s) / (y @ y), 1.0
        else:
            predicted = s @ np.linalg.inv(inverse) @ s
            scale = min(1.0, (y @ s) / predicted)
        inverse = textbook(inverse, s, y, scale)
        optimizer.learn(memory, torch.from_numpy(s), torch.from_numpy(y), predicted)
        np.testing.assert_allclose(memory["inverse"].numpy(), inverse, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(inverse @ y, s, rtol=1e-10)


def test_a_network_too_large_is_refused():
    with pytest.raises(
        ValueError, match=r"need 0\.8 GB for .* 10001 parameters; its limit is 10000.*optimizers\.LBFGS"
    ):
        SelfScaledBFGS([nn.Parameter(torch.zeros(10001))])
