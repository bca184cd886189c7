import torch

from sobolev.estimates.rows import repeated_noise, shuffled


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
