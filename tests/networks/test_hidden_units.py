"""Units that were trained and random ones beside them."""

import pytest
import torch

from sobolev import MLP
from sobolev.networks.hidden_units import HiddenUnits


@pytest.mark.parametrize("hidden", [(5,), (7, 5)])
def test_trained_units_stay_and_random_ones_see_the_inputs(hidden):
    network, x = MLP(3, 2, hidden, "tanh").double(), torch.randn(200, 3, dtype=torch.float64)
    units = HiddenUnits.of(network, x, 20)
    found = units(x)
    assert units.width == found.shape[1] == 25
    torch.testing.assert_close(found[:, :5], network[:-1](x), rtol=1e-14, atol=1e-14)
    assert (found[:, 5:].std(0) > 0.05).all()
    assert torch.linalg.matrix_rank(found) == 25
    assert torch.equal(HiddenUnits.of(network, x, 20)(x), found)


def test_a_state_tells_its_structure():
    units = HiddenUnits([2, 4, 6], "softplus").double()
    again = HiddenUnits.like(units.state_dict()).double()
    again.load_state_dict(units.state_dict())
    x = torch.rand(10, 2, dtype=torch.float64)
    assert torch.equal(again(x), units(x))
