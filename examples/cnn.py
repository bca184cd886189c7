"""A convolutional surrogate of one's own.

A network of images, (batch, 1, 16, 16) to a number: which pixels matter, and can these sensitivities be trusted? With
ReLU and max pooling the first derivatives are a staircase and the second are 0; with GELU and averages they are right.
"""

import torch
from matplotlib.figure import Figure
from torch import nn

import sobolev


def network(activation, pool):
    """Two convolutions and a mean."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), activation(), pool(2), nn.Conv2d(8, 8, 3, padding=1), activation(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1),
    )  # fmt: skip


torch.manual_seed(0)
y, x = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
places = torch.rand(500, 2) - 0.5
images = (-8 * ((x - places[:, :1, None]) ** 2 + (y - places[:, 1:, None]) ** 2)).exp()[:, None]
labels = (images * (x * x + y)).mean((1, 2, 3), keepdim=False)[:, None] * 20
figure = Figure(figsize=(9, 3.2), layout="constrained")
panels = figure.subplots(1, 3)
panels[0].imshow(images[0, 0])
panels[0].set_title("an image")
for axes, (name, model) in zip(
    panels[1:], {"ReLU, max": network(nn.ReLU, nn.MaxPool2d), "GELU, mean": network(nn.GELU, nn.AvgPool2d)}.items(),
    strict=True,
):  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(images), labels).backward()
        optimizer.step()
    with torch.no_grad():
        _, sensitivity = sobolev.jacobian(model, images[:1])
    axes.imshow(sensitivity[0, 0, 0], cmap="RdBu")
    axes.set_title(f"{name}: d output / d pixel")
    print(f"{name}:", sobolev.audit(model, images[:20]))
figure.savefig("sensitivity.png")
