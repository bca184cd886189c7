import torch

from sobolev.data.adaptive_points import adapted


def draw(residual, count=2000, seed=0):
    return adapted(residual, count, {"x": (0, 2), "y": (-1, 1)}, torch.Generator().manual_seed(seed))


def test_points_lie_where_the_residual_is_large_and_everywhere_else_a_little():
    x = draw(lambda x: (x[:, 0] < 0.2).double())  # a tenth of the domain
    share = (x[:, 0] < 0.2).double().mean()  # (1 / 0.1 + 1) of 0.1, over the sum of that and 1 of 0.9
    assert abs(share - 1.1 / 2) < 0.05  # less than that is drawn for want of candidates
    assert len(torch.unique(x, dim=0)) == 2000
    assert (x[:, 0] >= 0).all() and (x[:, 0] <= 2).all() and (x[:, 1].abs() <= 1).all()


def test_a_residual_that_is_even_or_zero_or_no_number_draws_evenly():
    for residual in (lambda x: x[:, 0] * 0 + 3, lambda x: x[:, 0] * 0, lambda x: x[:, 0] * torch.nan):
        assert abs((draw(residual)[:, 0] < 1).double().mean() - 0.5) < 0.05


def test_the_same_seed_draws_the_same_points():
    assert torch.equal(draw(lambda x: x[:, 0]), draw(lambda x: x[:, 0]))
    assert not torch.equal(draw(lambda x: x[:, 0]), draw(lambda x: x[:, 0], seed=1))
