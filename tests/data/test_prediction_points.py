"""Points made batch by batch, against numpy; and who of several processes takes which."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sobolev.data.prediction_points import PointsGrid, PointsLoader, points_source


def whole(source, size=7):
    return torch.cat(list(source.batches(size)))


@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=3), size=st.integers(1, 20))
def test_grid_is_the_product_of_its_axes(counts, size):
    names = [f"x{i}" for i in range(len(counts))]
    axes = {name: (-1.0, 2.0 + i, number) for i, (name, number) in enumerate(zip(names, counts, strict=True))}
    expected = list(itertools.product(*(np.linspace(*axes[name]) for name in names)))
    np.testing.assert_allclose(whole(PointsGrid(axes, names), size), expected, atol=1e-15)


@pytest.mark.parametrize("axis", [(0, 1), (0, 1, 0), (0, float("inf"), 3), (0, 1, 2.5), 7, ("a", 1, 2)])
def test_grid_messages(axis):
    with pytest.raises(ValueError, match="low, high and a number of points"):
        PointsGrid({"x": axis}, ["x"])
    with pytest.raises(ValueError, match="axes y, but the inputs are x"):
        PointsGrid({"y": (0, 1, 2)}, ["x"])


@given(total=st.integers(1, 50), size=st.integers(1, 9), world=st.integers(1, 4))
def test_processes_share_all_rows_and_know_their_numbers(total, size, world):
    source = points_source({"x": (0, total - 1, total)}, ["x"])
    seen = []
    for rank in range(world):
        loader = PointsLoader(source, size, torch.float64, rank, world)
        for rows, (x,) in zip(loader.batch_sampler, loader, strict=False):
            torch.testing.assert_close(x[:, 0], torch.tensor(rows[: len(x)], dtype=torch.float64), atol=1e-9, rtol=0)
            seen += rows[: len(x)]
    assert sorted(seen) == list(range(total))


def test_points_beyond_the_precision_are_refused():
    source = points_source({"x": (0, 1, 2), "t": (0, 1e39, 2)}, ["x", "t"])
    with pytest.raises(ValueError, match=r"point 2, input 2 is 1e\+39, beyond torch.float32"):
        list(PointsLoader(source, 2))
