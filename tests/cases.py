"""Models, data and references that many tests share."""

import itertools
import os
import subprocess
import sys

import numpy as np
import sympy
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Plain(LightningModule):
    """Somebody's own module, in the fewest lines."""

    def __init__(self, network=None, lr=1e-2):
        super().__init__()
        self.network, self.lr = network or nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)), lr

    def forward(self, x):
        return self.network(x)

    def training_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        pass

    def test_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Products(nn.Module):
    """No chain of layers: products and quotients of what depends on x."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(5, 7), nn.Linear(7, 5), nn.Linear(5, 1)

    def forward(self, x):
        hidden = torch.tanh(self.first(x)) * self.first(x) / (2 + torch.sin(self.first(x)))
        return self.last(self.second(hidden) * x - x.exp())


def quiet_trainer(folder, *callbacks, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    options = {**quiet, "logger": False, "max_epochs": 1, "accelerator": "cpu", "devices": 1, **options}
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), **options)


def loader(*tensors, batch_size=16, **options):
    return DataLoader(TensorDataset(*tensors), batch_size=batch_size, **options)


def formulas(network, variables):
    """The outputs of linear and tanh layers as sympy expressions, with the very weights."""
    values = sympy.Matrix(variables)
    for layer in network:
        if isinstance(layer, nn.Linear):
            weight, bias = (sympy.Matrix(p.detach().double().tolist()) for p in (layer.weight, layer.bias))
            values = weight * values + bias
        else:
            values = values.applyfunc(sympy.tanh)
    return list(values)


def tower(expressions, variables, points, order):
    """Derivative tensors (points, outputs, inputs, ...) of every order up to `order`, by sympy, in float64."""
    columns = list(np.asarray(points, dtype=np.float64).T)

    def entry(expression, by):
        derivative = sympy.diff(expression, *by) if by else expression
        return np.broadcast_to(sympy.lambdify(variables, derivative, "numpy")(*columns), len(points))

    return [
        np.stack([entry(e, by) for e in expressions for by in itertools.product(variables, repeat=k)], axis=1).reshape(
            len(points), len(expressions), *(len(variables),) * k
        )
        for k in range(order + 1)
    ]


SMALL = [
    *("--trainer.max_epochs", "2", "--data.samples", "300", "--data.validation_samples", "40"),
    *("--data.test_samples", "40", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
]
"""The default job, small."""


def environment(**variables):
    """One thread, and none of the variables by which Lightning would take us for a process of a cluster."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "LOCAL_RANK", "MASTER", "SOBOLEV"))}
    return {**kept, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200", **variables}


def command(folder, *arguments, module="sobolev", **variables):
    """`python -m sobolev` as a user types it."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder, env=environment(**variables), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
