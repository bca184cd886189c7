"""Points in a box: how many, where, and none of them twice."""

import pytest
import torch

from sobolev.data.sampling import disjoint_samples, interval, sample

DOMAIN = {"x": (-1.0, 2.0), "t": (100.0, 100.5)}


def generator():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("sampling", ["uniform", "grid", "chebyshev", "sobol"])
def test_three_sets_of_points_in_the_box_that_share_none(sampling):
    sets = disjoint_samples(sampling, (16, 5, 7), DOMAIN, generator())
    assert [tuple(points.shape) for points in sets] == [(16, 2), (5, 2), (7, 2)]
    points = torch.cat(sets)
    low, high = torch.tensor(list(DOMAIN.values()), dtype=torch.float64).T
    assert ((points >= low) & (points <= high)).all()
    assert len(points.float().unique(dim=0)) == 28
    assert torch.equal(points, torch.cat(disjoint_samples(sampling, (16, 5, 7), DOMAIN, generator())))


def test_products_over_the_inputs():
    low, high = torch.tensor([0.0, 0.0]).double(), torch.tensor([1.0, 2.0]).double()
    grid = sample("grid", 9, low, high, generator())
    assert grid.tolist() == [[x, t] for x in (0, 0.5, 1) for t in (0, 1, 2)]
    nodes = sample("chebyshev", 3, low[:1], high[:1], generator())
    torch.testing.assert_close(nodes[:, 0], 0.5 - 0.5 * torch.tensor([3**0.5 / 2, 0, -(3**0.5) / 2]).double())
    with pytest.raises(ValueError, match=r"needs the same number on each: 9 \(3 on each\) or 16 \(4 on each\)"):
        sample("grid", 10, low, high, generator())
    with pytest.raises(ValueError, match="choose one of uniform, grid, chebyshev, sobol"):
        sample("sobel", 4, low, high, generator())


@pytest.mark.parametrize(
    ("ends", "message"),
    [(ends, "give two numbers") for ends in (3, (0, "a"), (0, 1, 2))]
    + [(ends, "must be below") for ends in ((1, 1), (0, float("inf")))],
)
def test_what_is_no_interval(ends, message):
    with pytest.raises(ValueError, match=message):
        interval("x", ends)


def test_an_interval():
    assert interval("x", ["-1", 2]) == (-1.0, 2.0)
