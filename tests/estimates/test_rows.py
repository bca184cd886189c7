import torch

from sobolev.estimates.rows import denser, repeated_noise, shuffled


def test_the_order_in_which_rows_come_does_not_matter():
    x = torch.rand(50, 2, dtype=torch.float64)
    y = x.sum(1, keepdim=True)
    order = torch.randperm(50)
    for one, other in zip(shuffled(x, y), shuffled(x[order], y[order]), strict=True):
        assert torch.equal(one, other)


def test_repeated_inputs_show_the_noise():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(400, 1, generator=generator, dtype=torch.float64).repeat(2, 1)
    y = x[:, 0] + 0.1 * torch.randn(800, generator=generator, dtype=torch.float64)
    assert 0.09 < repeated_noise(x, y) < 0.11
    assert repeated_noise(x[:400], y[:400]) is None


def test_more_rows_fill_the_space_between_the_present_ones():
    angle = 6.3 * torch.rand(100, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.cat([angle.cos(), 100 * angle.sin()], 1)
    more = denser(x, 4)
    assert more.shape == (400, 2)
    assert all((more == row).all(1).any() for row in x)
    radius = (more / torch.tensor([1.0, 100.0])).norm(dim=1)
    assert radius.max() <= 1 + 1e-12 and radius.min() > 0.8  # along the circle, not across it
