"""The rules hold no branch on values and no host synchronisation: torch.compile takes them in one graph."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sobolev.autodiff import taylor

torch.manual_seed(0)


def written(x):
    y = x.sin()
    y[:, 0] = x[:, 1] ** 2
    y += x
    return functional.relu(y, inplace=True) + y.max(1, keepdim=True).values


MODELS = {
    "layer norm": nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ELU(), nn.Linear(6, 2), nn.Softmax(1)),
    "convolution": nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 3), nn.GroupNorm(1, 2), nn.MaxPool1d(2)),
    "recurrent": nn.GRUCell(4, 3),
    "written": written,
    "linear algebra": lambda x: torch.linalg.solve(torch.eye(2) * 3 + x.reshape(-1, 2, 2), x[:, :2]),
}


@pytest.mark.parametrize("name", MODELS)
def test_compiled(name):
    model, x = MODELS[name], torch.randn(5, 4)
    torch.compiler.reset()

    def f(x):
        with torch.no_grad():
            return taylor.laplacian(model, x)

    compiled = torch.compile(f, fullgraph=True, backend="eager")(x)
    for ours, theirs in zip(compiled, f(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
