"""Ways to call forward, the likeliest first."""

import pytest
import torch
from torch import nn

from sobolev.monitor.forward_calls import calls, floating, taken

X, T, IDS = torch.rand(3, 1), torch.rand(3, 1), torch.arange(3)


class By(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.forward = forward


def whole(batch):
    return batch


def two(x, t, ids=None):
    return x


@pytest.mark.parametrize(
    ("forward", "batch", "paths"),
    [
        (two, (X, T, IDS), ["0", "1"]),
        (two, {"ids": IDS, "t": T, "x": X, "y": X}, ["ids", "t", "x"]),
        (whole, {"x": X, "ids": IDS}, ["x", "ids"]),
        (two, ({"x": X, "t": T}, IDS), ["0.x", "0.t"]),
    ],
)
def test_the_first_way_hands_over_what_forward_asks_for(forward, batch, paths):
    first = next(calls(By(forward), batch, None))
    assert taken(first, batch) == paths
    args, kwargs = first.of(batch)
    forward(*args, **kwargs)


def test_targets_among_the_arguments_cannot_be_told_apart():
    batch = {"x": X, "y": T}
    first = next(calls(By(whole), batch, None))
    assert first.whole and floating(first, batch) == ()
    assert floating(next(calls(By(two), (X, T, IDS), None)), (X, T, IDS)) == ("0", "1")
