"""What the audit recommends runs in training, too, or it is said that it does not; rounding is no other branch."""

import torch
from torch import nn
from torch.autograd.function import once_differentiable

import sobolev

X = torch.linspace(-1, 1, 16, dtype=torch.float64)[:, None]


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return gradient * torch.cos(*ctx.saved_tensors)


class Network(nn.Module):
    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.function = nn.Linear(1, 8).double(), nn.Linear(8, 1).double(), function

    def forward(self, x):
        return self.last(self.function(self.first(x)))


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.sin(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def test_what_the_audit_recommends_runs_in_training():
    network = Network(Once.apply)
    found = sobolev.audit(network, X)
    assert (found.method, found.trustworthy) == ("taylor", True)
    assert not any("no loss" in finding.message for finding in found.findings)
    sobolev.derivatives(network, X, method="taylor")[2].sum().backward()


def test_derivatives_that_are_right_but_cannot_be_trained():
    found = sobolev.audit(Network(Reversed.apply), X)
    assert (found.method, found.trustworthy) == ("taylor", True)
    assert any("no loss on these derivatives" in finding.message for finding in found.findings)


def test_a_detached_part_can_be_trained_around():
    found = sobolev.audit(Network(lambda x: torch.sin(x) + x.detach() ** 2), X)
    assert found.method == "taylor"
    assert not any("no loss" in finding.message for finding in found.findings)


class Cancelling(nn.Module):
    """A readout whose weights cancel to a part in 1e13 of their size."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        centres = torch.linspace(-1, 1, 30, dtype=torch.float64)
        self.first = nn.Linear(1, 60).double()
        with torch.no_grad():
            self.first.bias.copy_(torch.cat([centres, centres + 1e-9]))
            self.first.weight.fill_(0.7)
            self.weight = nn.Parameter(size * torch.cat([torch.ones(30), -torch.ones(30)]).double())

    def forward(self, x):
        return self.first(x).tanh() @ self.weight[:, None]


def test_rounding_in_weights_that_cancel_is_not_taken_for_another_branch():
    for size in (1e6, 1e9, 1e12):
        found = sobolev.audit(Cancelling(size), X)
        assert not any("isinstance" in finding.message for finding in found.findings)


def test_another_branch_still_is():
    found = sobolev.audit(lambda x: torch.sin(x) * (1 if isinstance(x, torch.Tensor) else 1.001), X)
    assert any("isinstance" in finding.message for finding in found.findings)
