"""Which candidate is taken; the rest of it is tested where readouts are solved."""

import torch

from sobolev.readout.choice import HeldOut
from sobolev.readout.equations import Equations


def held_out(large, dtype=torch.float64):
    """Three candidates of two equal features: weights that cancel, the same predictions without, and what came in."""
    weights = torch.tensor([[1 + large, -large], [0.5, 0.5], [0.0, 0.0]], dtype=torch.float64)[:, :, None]
    found = HeldOut(weights, [0], torch.ones(1).double(), 8 * torch.finfo(dtype).eps)
    targets = torch.arange(-25, 25, dtype=torch.float64)[:, None] / 64
    found.add(Equations(targets.expand(50, 2), targets, 50, (0,)))
    return found


def test_weights_that_cancel_are_not_taken():
    """The first candidate is the proposed one, and the values are as good: the difference is exact."""
    allowed = torch.ones(1, 3, dtype=torch.bool)
    assert held_out(2.0**20).choose(allowed) == [0]
    assert held_out(2.0**40).choose(allowed) == [1]


def test_as_many_digits_may_be_lost_in_single_precision():
    allowed = torch.ones(1, 3, dtype=torch.bool)
    assert held_out(2.0**4, torch.float32).choose(allowed) == [0]
    assert held_out(2.0**20, torch.float32).choose(allowed) == [1]


def test_what_is_not_admissible_is_not_taken():
    assert held_out(1.0).choose(torch.tensor([[False, False, True]])) == [2]
    assert held_out(1.0).choose(torch.tensor([[False, True, True]])) == [1]
