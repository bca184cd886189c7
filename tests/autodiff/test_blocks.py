"""How many rows are computed at a time."""

import pytest
import torch
from torch import nn

from sobolev.autodiff.blocks import block_rows, cached_numbers


def test_a_gpu_gets_more_rows_at_a_time():
    """PyTorch's device without numbers stands in for it."""
    network, options = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 1)), {"order": 2}
    here, there = (torch.empty(10**6, 1, device=device) for device in ("cpu", "meta"))
    rows, more = (block_rows(network, x, "auto", "derivatives", options) for x in (here, there))
    assert rows * 64 * 3 <= cached_numbers(here.device)
    assert more * 64 * 3 <= cached_numbers(there.device)
    assert more > 10 * rows


@pytest.mark.parametrize(("operator", "inputs"), [("hessian", 3000), ("laplacian", 300), ("jacobian", 100_000)])
def test_a_block_has_a_row_at_least(operator, inputs):
    assert block_rows(lambda x: x, torch.empty(5, inputs), "auto", operator, {}) >= 1


def test_pairs_of_inputs_are_carried_along_in_smaller_blocks():
    """A unit has 20,300 coefficients of each row of 200 inputs."""
    network, x = nn.Linear(200, 500), torch.empty(1000, 200)
    rows = block_rows(network, x, "auto", "pairs", {})
    assert rows * 20_300 * 500 <= 16e6 < 1000 * 201 * 500
    assert block_rows(network, x, "auto", "hessian", {}) > 10 * rows


def test_features_that_are_no_weights_count_by_the_layer_behind_them():
    class Features(nn.Module):
        def forward(self, x):
            return x.expand(len(x), 6000)

    network, x = nn.Sequential(Features(), nn.Linear(6000, 1)), torch.empty(2000, 1)
    assert block_rows(network, x, "auto", "hessian", {}) <= 200
