import pytest
import torch
from torch import nn

from sobolev.audit.trace import traced


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 3), nn.ReLU())

    def forward(self, x):
        return torch.sin(self.layers(x)).sum(-1)


def test_steps_name_module_operation_and_line():
    net = Net()
    steps = traced(net, torch.ones(2, 1), dict(net.named_modules()))
    places = list(dict.fromkeys(step.where for step in steps))
    assert places[:2] == ["layers.0 (Linear)", "layers.1 (ReLU)"]
    assert any(place.startswith("Net, sin, test_trace.py:") for place in places)
    assert steps[-1].output.shape == (2,)
    assert all(step.recorded for step in steps)


def test_hooks_are_gone_afterwards():
    net = Net()
    traced(net, torch.ones(2, 1), dict(net.named_modules()))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_hooks_are_gone_after_an_exception():
    net = Net()
    with pytest.raises(RuntimeError):
        traced(net, torch.ones(2, 7), dict(net.named_modules()))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_what_runs_without_a_graph_says_so():
    def f(x):
        with torch.no_grad():
            return x * 2

    assert not traced(f, torch.ones(1), {})[0].recorded
