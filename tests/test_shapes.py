"""That the tests check shapes at all."""

import pytest
import torch

from sobolev.losses.sobolev_loss import scaled_squared_error


def test_a_shape_that_would_broadcast_is_refused():
    with pytest.raises(TypeError, match="batch outputs"):
        scaled_squared_error(torch.ones(3, 1), torch.ones(3))
