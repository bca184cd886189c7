"""Points that a figure is drawn at: a line, a grid, lines through the middle of the data."""

from types import SimpleNamespace

import pytest
import torch

from sobolev.monitor.drawing_points import drawing_points, on_coarser_grid, on_whole_grid

SEEN = {inputs: torch.rand(31, inputs, dtype=torch.float64) for inputs in (1, 2, 4)}


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_line_or_a_grid_spans_the_domain_where_it_is_known(inputs):
    domain = {name: (-2.0, 3.0 + i) for i, name in enumerate("xy"[:inputs])}
    x = drawing_points(SEEN[inputs], SimpleNamespace(domain=domain))
    assert x.amin(0).tolist() == [-2.0] * inputs and x.amax(0).tolist() == [3.0, 4.0][:inputs]
    assert [len(column.unique()) for column in x.T] == ([400] if inputs == 1 else [53, 53])


def test_else_the_rows_of_the_training_then_the_points_themselves():
    rows = SimpleNamespace(inputs=torch.tensor([[-5.0], [7.0]]).double())
    x = drawing_points(SEEN[1], SimpleNamespace(training=rows))
    assert (x.min(), x.max()) == (-5.0, 7.0)
    x = drawing_points(SEEN[1], None)
    assert (x.min(), x.max()) == (SEEN[1].min(), SEEN[1].max())


def test_along_each_of_many_inputs_through_the_medians():
    x = drawing_points(SEEN[4], None).reshape(4, -1, 4)
    low, high = SEEN[4].aminmax(dim=0)
    for i, block in enumerate(x):
        others = [k for k in range(4) if k != i]
        torch.testing.assert_close(block[:, others], SEEN[4].median(0).values[others].expand(len(block), 3))
        assert block[0, i] == low[i] and block[-1, i] == high[i]


def test_bands_of_a_quarter_of_a_grid_stand_for_all_of_it():
    x = drawing_points(SEEN[2], SimpleNamespace(domain={"x": (-1.0, 1.0), "y": (0.0, 2.0)}))
    bands = (x @ torch.tensor([[1.0], [2.0]], dtype=x.dtype) + 3.0)[:, :, None] * torch.tensor([1.0, 0.0])
    coarser = on_coarser_grid(bands)
    assert coarser.shape == (27 * 27, 1, 2)
    torch.testing.assert_close(on_whole_grid(coarser), bands, rtol=1e-12, atol=0)
