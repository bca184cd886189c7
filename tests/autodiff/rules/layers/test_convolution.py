import pytest
import torch
from rule_check import assert_rule
from torch import nn
from torch.nn import functional

IMAGES = torch.randn(2, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LINES, VOLUMES = IMAGES[:, :, 0], IMAGES[:1, :1, :, :2, None].expand(1, 1, 4, 2, 2)

LAYERS = {
    "conv1d": (nn.Conv1d(2, 3, 2, padding=1), LINES),
    "conv2d": (nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False), IMAGES),
    "conv2d, circular": (nn.Conv2d(2, 1, 3, padding=1, padding_mode="circular"), IMAGES),
    "conv2d, same": (nn.Conv2d(2, 1, 3, padding="same", dilation=2), IMAGES),
    "conv3d": (nn.Conv3d(1, 2, 2), VOLUMES),
    "transposed 1d": (nn.ConvTranspose1d(2, 1, 3, stride=2, output_padding=1), LINES),
    "transposed 2d": (nn.ConvTranspose2d(2, 1, 2), IMAGES),
    "average": (nn.Sequential(nn.AvgPool2d(2, padding=1), nn.AdaptiveAvgPool2d(1)), IMAGES),
    "average 1d": (nn.Sequential(nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(1)), LINES),
    "maximum": (nn.MaxPool2d(2, stride=1, padding=1), IMAGES),
    "maximum 1d": (nn.MaxPool1d(2), LINES),
    "maximum, adaptive": (nn.AdaptiveMaxPool2d(2), IMAGES),
    "upsampling": (nn.Upsample(scale_factor=2, mode="bilinear"), IMAGES),
    "shuffle": (nn.Sequential(nn.PixelUnshuffle(2), nn.ChannelShuffle(2), nn.PixelShuffle(2)), IMAGES),
    "unfold": (nn.Sequential(nn.Unfold(2, stride=2), nn.Fold((4, 4), 2, stride=2)), IMAGES),
    "glu": (nn.GLU(1), IMAGES),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    torch.manual_seed(0)
    layer, x = LAYERS[name]
    few = nn.Sequential(nn.Tanh(), layer, nn.Flatten(), nn.Tanh()).double()
    weights = torch.randn(few(x).shape[1], 2, dtype=torch.float64)
    assert_rule(
        lambda x: few(x) @ weights if torch.is_tensor(x) else functional.linear(few(x), weights.T), x, orders=(1, 3)
    )


def test_maxima_come_with_their_places():
    def f(x):
        values, places = functional.max_pool2d(x, 2, return_indices=True)
        return values**2 + places

    assert_rule(f, IMAGES, orders=(2,))


def test_one_image_without_a_batch():
    layer = nn.Conv1d(2, 3, 2).double()
    assert_rule(lambda x: torch.stack([layer(image.sin()).mean(1) for image in x]), LINES, orders=(2,))


def test_convolution_along_the_first_axis():
    weight = torch.randn(2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    bias = torch.ones(3, dtype=torch.float64)
    assert_rule(
        lambda x: functional.conv_tbc(x.sin().permute(2, 0, 1), weight, bias, 1).permute(1, 0, 2),
        LINES,
        (1, 3),
        reference=lambda x: functional.conv1d(x.sin(), weight.permute(2, 1, 0), bias, padding=1).mT,
    )


def test_weights_made_from_x_that_do_not_depend_on_it():
    x = torch.randn(2, 1, 5, dtype=torch.float64)
    assert_rule(lambda x: functional.conv1d(x.sin(), torch.ones_like(x[:1, :, :3]), x.new_ones(1)), x, orders=(3,))
