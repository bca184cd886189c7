import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sobolev.losses import scaled_squared_error


@pytest.mark.parametrize("scale", [1.0, 2.5, torch.tensor([0.5, 4.0])])
def test_agrees_with_numpy(scale):
    predicted, target = torch.randn(20, 2, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)
    expected = np.mean(((predicted.numpy() - target.numpy()) / np.asarray(scale)) ** 2)
    assert scaled_squared_error(predicted, target, scale).item() == pytest.approx(expected, rel=1e-14)


@given(st.integers(-60, 60))
def test_a_power_of_two_as_unit_changes_no_digit(power):
    """Values, scale and unit together: the loss and its gradient do not know the unit."""
    unit = 2.0**power
    predicted, target = torch.randn(8, 1, requires_grad=True), torch.randn(8, 1)
    plain = scaled_squared_error(predicted, target, 3.0)
    scaled = scaled_squared_error(unit * predicted, unit * target, 3.0 * unit)
    assert torch.equal(plain, scaled)
    assert torch.equal(torch.autograd.grad(plain, predicted)[0], torch.autograd.grad(scaled, predicted)[0])
