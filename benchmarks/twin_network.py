"""The published recipe of differential machine learning, in plain torch, to compare with.

Huge & Savine, "Differential Machine Learning" (2020), and the parameters of their public notebook: 4 hidden layers of
20 softplus units, inputs and outputs standardised, Adam for 100 epochs over batches that are never shuffled, a learning
rate that rises to 0.1 and falls to 0 along straight lines, values and differentials weighed 1 : n for n inputs.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

EPOCHS, LAYERS, WIDTH, SMALLEST_BATCH, BATCHES = 100, 4, 20, 256, 16
TIMES, RATES = (0.0, 0.2, 0.6, 0.9, 1.0), (1e-8, 0.1, 0.01, 1e-6, 1e-8)


def train(x: Tensor, y: Tensor, dydx: Tensor, seed: int) -> nn.Module:
    """A network that maps (batch, n) to (batch, 1), trained on states, payoffs (m, 1) and differentials (m, 1, n)."""
    torch.manual_seed(seed)
    moments = [(t.mean(0), t.std(0, correction=0)) for t in (x, y)]
    (x_mean, x_scale), (y_mean, y_scale) = moments
    inputs, values = ((x - x_mean) / x_scale).float(), ((y - y_mean) / y_scale).float()
    gradients = (dydx[:, 0] * x_scale / y_scale).float()
    weights = gradients.square().mean(0).rsqrt()
    network = _network(x.shape[1])
    optimizer = torch.optim.Adam(network.parameters())
    size, share = max(SMALLEST_BATCH, len(x) // BATCHES), 1 / (1 + x.shape[1])
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = float(np.interp(epoch / EPOCHS, TIMES, RATES))
        for batch in zip(inputs.split(size), values.split(size), gradients.split(size), strict=True):
            points, value, gradient = batch
            points = points.clone().requires_grad_()
            predicted = network(points)
            (slope,) = torch.autograd.grad(predicted.sum(), points, create_graph=True)
            loss = share * (predicted - value).square().mean()
            loss = loss + (1 - share) * ((slope - gradient) * weights).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return _InUnits(network, x_mean, x_scale, y_mean, y_scale)


def _network(inputs: int) -> nn.Sequential:
    """Weights from a normal distribution cut at two deviations, of variance 1 / inputs of the layer; biases 0."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise([inputs, *[WIDTH] * LAYERS, 1]):
        linear = nn.Linear(fan_in, fan_out)
        deviation = fan_in**-0.5 / 0.8796  # cutting the tails leaves 0.8796 of the deviation
        nn.init.trunc_normal_(linear.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Softplus()]
    return nn.Sequential(*layers[:-1])


class _InUnits(nn.Module):
    """The network with its normalisation."""

    def __init__(self, network: nn.Module, *moments: Tensor) -> None:
        super().__init__()
        self.network = network
        self.moments = [moment.float() for moment in moments]

    def forward(self, x: Tensor) -> Tensor:
        x_mean, x_scale, y_mean, y_scale = self.moments
        return self.network((x - x_mean) / x_scale) * y_scale + y_mean
