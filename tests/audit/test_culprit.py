import pytest
import torch
from torch import nn

import sobolev


class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.tanh(x)

    @staticmethod
    def backward(ctx, g):
        return 0.5 * g


class Net(nn.Module):
    def __init__(self, middle):
        super().__init__()
        self.first, self.last, self.middle = nn.Linear(1, 8), nn.Linear(8, 1), middle

    def forward(self, x):
        return self.last(self.middle(torch.tanh(self.first(x))))


def without_graph(z):
    with torch.no_grad():
        return z.sin()


@pytest.mark.parametrize(
    ("middle", "kind", "named"),
    [
        (lambda z: z.detach() * z, "detached", ("Net, detach", "test_culprit.py:")),
        (without_graph, "detached", ("Net, sin", "test_culprit.py:")),
        (Halved.apply, "autograd-disagrees", ("Halved", "last (Linear)")),
    ],
)
def test_the_operation_and_line_are_named(middle, kind, named):
    torch.manual_seed(0)
    finding = sobolev.audit(Net(middle), torch.linspace(-1, 1, 20)[:, None]).findings[0]
    assert finding.kind == kind
    assert all(part in finding.where for part in named), finding.where


def test_a_module_that_returns_what_a_function_made():
    class Last(nn.Module):
        def forward(self, x):
            return Halved.apply(x)

    (finding,) = sobolev.audit(Last(), torch.linspace(-1, 1, 20)[:, None]).findings
    assert finding.kind == "autograd-disagrees"
    assert finding.where.startswith("Halved (autograd.Function)")


def forces(x):
    z = x if x.requires_grad else x.detach().requires_grad_()
    return torch.autograd.grad(torch.cos(z).sum(), z)[0]


@pytest.mark.parametrize("f", [forces, lambda x: x + forces(x)])
def test_derivatives_inside_f_are_kept_and_noted(f):
    x = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]
    found = sobolev.audit(f, x)
    (finding,) = found.findings
    assert found.trustworthy and (finding.kind, finding.severity) == ("inner-gradient", "note")
    assert "create_graph=True" in finding.message
    torch.testing.assert_close(sobolev.derivatives(f, x)[2], x.sin())


@pytest.mark.parametrize(
    ("f", "advice"),
    [
        (torch.special.airy_ai, "no derivative of `special_airy_ai`"),
        (lambda x: torch.sin(x.detach()), "Remove the detach"),
    ],
)
def test_advice_on_what_is_detached(f, advice):
    (finding,) = sobolev.audit(f, torch.linspace(-1, 1, 20)[:, None]).findings
    assert finding.kind == "detached"
    assert advice in finding.message
