import torch

from sobolev.estimates.domain import Domain


def test_points_beyond_a_range_or_far_from_all_rows_are_outside():
    angle = torch.linspace(0, 6.28, 200, dtype=torch.float64)
    ring = torch.stack([torch.cos(angle), 1000 * torch.sin(angle)], 1)
    domain = Domain.of(ring, 64)
    x = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.2, 0.0], [0.0, 999.0]], dtype=torch.float64)
    assert domain.outside(x).tolist() == [False, True, True, False]


def test_probes_lie_between_rows():
    x = torch.rand(300, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    domain = Domain.of(x.repeat(2, 1), 100)
    assert domain.probes.shape == (100, 3)
    assert not domain.outside(domain.probes).any()
    assert torch.cdist(domain.probes, x).amin(1).median() > 0.02


def test_what_is_known_at_probes_is_averaged_around_a_point():
    x = torch.linspace(0, 1, 400, dtype=torch.float64)[:, None]
    domain = Domain.of(x, 256)
    around = domain.around(torch.tensor([[0.25], [0.75]], dtype=torch.float64), domain.probes.square())
    assert (around[:, 0].sqrt() - torch.tensor([0.25, 0.75], dtype=torch.float64)).abs().max() < 0.05
