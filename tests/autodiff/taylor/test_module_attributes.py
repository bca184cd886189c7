"""What a module keeps of a pass on jets are ordinary tensors, as after a plain call."""

import torch
from torch import nn

import sobolev


class Keeping(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.kept = nn.Linear(2, 3), []
        self.register_buffer("last", torch.zeros(3))

    def forward(self, x):
        y = torch.tanh(self.layer(x))
        self.kept = [x, y]
        self.named, self.pair, self.penalty = {"y": y}, (y, 1), y.square().mean()
        self.last = y[0]
        return y


def test_attributes_lists_dictionaries_tuples_and_buffers():
    f, x = Keeping(), torch.randn(4, 2)
    sobolev.laplacian(f, x, method="taylor")
    y = torch.tanh(f.layer(x))
    for kept in (f.kept[1], f.named["y"], f.pair[0]):
        assert type(kept) is torch.Tensor
        torch.testing.assert_close(kept, y)
    assert type(f.kept[0]) is torch.Tensor
    assert f.pair[1] == 1
    torch.testing.assert_close(f.state_dict()["last"], y[0])


def test_a_penalty_that_the_forward_stored_trains():
    f, x = Keeping(), torch.randn(4, 2)
    sobolev.jacobian(f, x, method="taylor")
    (f.penalty + 1).backward()
    expected = torch.autograd.grad(torch.tanh(f.layer(x)).square().mean(), f.layer.weight)[0]
    torch.testing.assert_close(f.layer.weight.grad, expected)


def test_of_a_method_and_of_a_part():
    f, x = nn.Sequential(Keeping(), nn.Linear(3, 1)), torch.randn(4, 2)
    sobolev.jacobian(f.forward, x, method="taylor")
    assert type(f[0].kept[1]) is torch.Tensor


class Memory:
    hidden = None


class Recurrent(nn.Module):
    """Keeps its hidden state in an object."""

    def __init__(self):
        super().__init__()
        self.cell, self.memory = nn.GRUCell(2, 3), Memory()

    def forward(self, x):
        self.memory.hidden = self.cell(x, self.memory.hidden)
        self.memory.seen = [x]
        return self.memory.hidden


class Called:
    """No module."""

    def __init__(self):
        self.last = 0.0

    def __call__(self, x):
        self.last = x.sin() + self.last * 0
        return self.last


def test_objects_of_somebodys_own():
    f, g, x = Recurrent(), Called(), torch.randn(4, 2)
    sobolev.jacobian(f, x, method="taylor")
    assert {type(kept) for kept in (f.memory.hidden, f.memory.seen[0], f(x))} == {torch.Tensor}
    sobolev.hessian(g, x)
    assert type(g.last) is torch.Tensor
    torch.testing.assert_close(g(x), x.sin())
