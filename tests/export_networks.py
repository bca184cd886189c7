"""Networks to export, by name, with the number of their inputs."""

import torch
from torch import nn

import sobolev


class Encoder(nn.Module):
    """A Transformer layer that reads the inputs one after the other."""

    def __init__(self, inputs):
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.place = nn.Parameter(torch.randn(inputs, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, activation="gelu", batch_first=True)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        return self.out(self.layer(self.embed(x.unsqueeze(-1)) + self.place).mean(1))


class Signal(nn.Module):
    """Convolutions along the inputs."""

    def __init__(self, inputs):
        super().__init__()
        self.first, self.second = nn.Conv1d(1, 4, 3, padding=1), nn.Conv1d(4, 4, 3, stride=2)
        self.out = nn.Linear(4 * ((inputs - 3) // 2 + 1), 1)

    def forward(self, x):
        y = torch.tanh(self.second(torch.tanh(self.first(x.unsqueeze(1)))))
        return self.out(y.flatten(1))


class Recurrent(nn.Module):
    """A GRU along the inputs."""

    def __init__(self):
        super().__init__()
        self.recurrent, self.out = nn.GRU(1, 6, batch_first=True), nn.Linear(6, 1)

    def forward(self, x):
        return self.out(self.recurrent(x.unsqueeze(-1))[0][:, -1])


class Residual(nn.Module):
    """BatchNorm whose statistics are no longer 0 and 1."""

    def __init__(self, inputs):
        super().__init__()
        self.inner, self.norm, self.out = nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        y = nn.functional.silu(self.inner(x))
        return self.out(y + self.norm(y).sin())


def normalized(inputs):
    layers = [nn.Linear(inputs, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 16), nn.LayerNorm(16), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(16, 1))


def standardized(inputs=1):
    network = sobolev.Standardized(sobolev.MLP(inputs, 1, (16, 16)))
    x = torch.linspace(-40, 60, 32)[:, None] * torch.arange(1, inputs + 1)
    return network.fit(x, x.square().sum(1, keepdim=True))


def regressor(inputs=1):
    return sobolev.Regressor(standardized(inputs))


def mlp(inputs, activation, outputs=1):
    return lambda: sobolev.MLP(inputs, outputs, (16, 16), activation)


ONE = {
    **{name: mlp(1, name) for name in ("tanh", "silu", "gelu", "softplus")},
    "two outputs": mlp(1, "silu", 2),
    "standardized": standardized,
    "regressor": regressor,
    "layer norm": lambda: normalized(1),
}
SEVERAL = {
    **{name: (mlp(3, name), 3) for name in ("tanh", "silu", "gelu", "softplus")},
    "two outputs": (mlp(3, "silu", 2), 3),
    "standardized": (lambda: standardized(3), 3),
    "layer norm": (lambda: normalized(3), 3),
    "Transformer": (lambda: Encoder(3), 3),
    "convolution": (lambda: Signal(8), 8),
    "ten inputs": (mlp(10, "tanh"), 10),
}
