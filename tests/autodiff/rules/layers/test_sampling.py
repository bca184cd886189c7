import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional

GENERATOR = torch.Generator().manual_seed(0)
IMAGE = torch.randn(1, 2, 4, 5, dtype=torch.float64, generator=GENERATOR)
VOLUME = torch.randn(1, 1, 3, 2, 3, dtype=torch.float64, generator=GENERATOR)
PLACES = 3.2 * torch.rand(3, 2, dtype=torch.float64, generator=GENERATOR) - 1.6
EVERYWHERE = 3.2 * torch.rand(1, 40, 1, 2, dtype=torch.float64, generator=GENERATOR) - 1.6


def sampled(image, **options):
    def f(x):
        grid = x.reshape(len(x), *[1] * (image.dim() - 2), -1)
        return functional.grid_sample(image.expand(len(x), *image.shape[1:]), grid, **options).flatten(1)

    return f


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_at_computed_places(mode, padding, align):
    f = sampled(IMAGE, mode=mode, padding_mode=padding, align_corners=align)
    assert_rule(lambda x: f(x.sin() * 1.4), PLACES, orders=(1, 2))
    _assert_places(mode, padding, align)


def _assert_places(mode, padding, align):
    """Far more places, the derivatives along both axes against reverse mode."""
    grid = EVERYWHERE.clone().requires_grad_()
    expected = functional.grid_sample(IMAGE, grid, mode, padding, align)
    (slope,) = torch.autograd.grad(expected.sum(), grid)
    f = sampled(IMAGE, mode=mode, padding_mode=padding, align_corners=align)
    import sobolev

    y, J = sobolev.jacobian(f, EVERYWHERE.reshape(-1, 2), method="taylor")
    torch.testing.assert_close(y, expected.reshape(2, -1).T)
    torch.testing.assert_close(J.sum(1), slope.reshape(-1, 2))


def test_volumes_and_computed_images():
    x = torch.cat([PLACES, PLACES[:, :1]], 1) / 2
    assert_rule(sampled(VOLUME, padding_mode="border", align_corners=True), x, orders=(1, 2))
    grid = EVERYWHERE[:, :3]

    def warped(x):
        image = (x[:, :, None] * x[:, None].exp()).unsqueeze(1)
        return functional.grid_sample(image, grid.expand(len(x), 3, 1, 2), align_corners=False).flatten(1)

    assert_rule(warped, x, orders=(1, 3))
    nearest = sampled(VOLUME, mode="nearest", align_corners=False)
    torch.testing.assert_close(
        nearest(x),
        functional.grid_sample(
            VOLUME.expand(3, -1, -1, -1, -1), x.reshape(3, 1, 1, 1, 3), "nearest", align_corners=False
        ).flatten(1),
    )


def test_an_affine_map_that_is_computed():
    def f(x):
        theta = torch.stack([x, x.sin()], 1)
        image = IMAGE.expand(len(x), -1, -1, -1)
        return functional.grid_sample(image, functional.affine_grid(theta, (len(x), 2, 2, 2), False)).flatten(1)

    with pytest.warns(UserWarning, match="align_corners"):
        assert_rule(f, torch.rand(2, 3, dtype=torch.float64) / 2, orders=(1, 2))
