"""Points of a class of somebody's own, as PINA's LabelTensor: f gets what it asks for, and the numbers are right."""

import pytest
import torch
from torch import nn

import sobolev


class Labelled(torch.Tensor):
    """Columns with names, without which it can be neither cloned nor sliced."""

    @staticmethod
    def __new__(cls, x, labels):
        return torch.Tensor.as_subclass(x, cls)

    def __init__(self, x, labels):
        self._labels = labels

    def extract(self, label):
        column = self._labels.index(label)
        return self.as_subclass(torch.Tensor)[:, column : column + 1]

    def clone(self, *args, **kwargs):
        return Labelled(super().clone(*args, **kwargs), self._labels)

    def __getitem__(self, index):
        return Labelled(super().__getitem__(index), self._labels)

    def detach(self):
        return Labelled(super().detach(), self._labels)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x):
        return torch.sin(self.factor * x.extract("x")) * x.extract("t") ** 2


X = torch.rand(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def exact(x):
    return torch.sin(2 * x[:, :1]) * x[:, 1:] ** 2


@pytest.mark.parametrize("chunk_size", ["auto", 4])
@pytest.mark.parametrize("operator", [sobolev.jacobian, sobolev.hessian, sobolev.laplacian])
def test_operators(operator, chunk_size):
    found = operator(Network(), Labelled(X, ["x", "t"]), chunk_size=chunk_size)
    assert all(type(t) is torch.Tensor for t in found)
    torch.testing.assert_close(tuple(t.detach() for t in found), operator(exact, X))


def test_the_audit():
    found = sobolev.audit(Network(), Labelled(X, ["x", "t"]))
    assert found.trustworthy
    layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).double()  # their results have no labels
    assert sobolev.audit(layers, Labelled(X, ["x", "t"])).findings == ()
    assert found.method == "reverse"


def test_a_class_that_is_returned_becomes_an_ordinary_tensor():
    class Own(torch.Tensor):
        pass

    y, slope = sobolev.derivatives(lambda x: x**3, X[:, :1].as_subclass(Own), 1, method="reverse")
    assert type(y) is type(slope) is torch.Tensor
    torch.testing.assert_close(slope, 3 * X[:, :1] ** 2)
