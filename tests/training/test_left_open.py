"""What labels leave open, by counting which polynomials they cannot see."""

import pytest
import torch

from sobolev.training.left_open import left_open


def labels(rows, inputs, outputs=1):
    """None of any order."""
    return [torch.full((rows, outputs, *(inputs,) * k), torch.nan, dtype=torch.float64) for k in range(3)]


def said(given, names=("x", "z", "t"), outputs=("y",)):
    d = given[1].shape[2]
    points = 10 + torch.rand(len(given[0]), d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return list(left_open(points, given, names[:d], outputs))


@pytest.mark.parametrize(
    ("values", "orders", "missing", "count"),
    [
        (1, (2,), "leave dy/dx undetermined", "1 more value of y"),
        (0, (2,), "leave a constant of y, dy/dx undetermined", "2 more values of y"),
        (0, (1,), "leave a constant of y undetermined", "1 more value of y"),
    ],
)
def test_a_constant_and_a_slope(values, orders, missing, count):
    given = labels(50, 1)
    given[0][:values] = 1.0
    for order in orders:
        given[order][:] = 1.0
    (sentence,) = said(given)
    assert missing in sentence
    assert count in sentence


def test_what_is_determined_is_not_mentioned():
    given = labels(50, 2)
    given[0][:] = 1.0
    assert not said(given)  # values alone
    given[1][..., 0] = 1.0
    assert not said(given)  # and one slope
    given[0][2:] = torch.nan
    given[1][:] = 1.0
    assert not said(given)  # all slopes and two values


def test_one_slope_leaves_the_other_input_open_and_a_diagonal_the_mixed_derivative():
    given = labels(60, 2)
    given[1][..., 0] = 1.0
    assert "a constant of y, dy/dz, d2y/dz2" in said(given)[0]
    given = labels(60, 2)
    given[0][0] = 1.0
    given[2][..., 0, 0] = given[2][..., 1, 1] = 1.0
    assert "dy/dx, dy/dz, d2y/dxdz" in said(given)[0]


def test_each_output_for_itself_and_many_inputs():
    given = labels(60, 2, outputs=2)
    given[0][:, 0] = 1.0
    given[1][:] = 1.0
    (sentence,) = said(given, outputs=("p", "q"))
    assert "a constant of q" in sentence
    names = [f"x{i}" for i in range(30)]
    assert "a constant of y" in said([label[:, :1] for label in labels(9, 30)[:2]], names)[0]
