"""A forward that computes something else on jets than on tensors is found out, and differentiated by reverse mode."""

from functools import singledispatch

import pytest
import torch
from torch import nn

import sobolev
from sobolev.autodiff import NoRuleError


def by_isinstance(x):
    return torch.sin(x) if isinstance(x, torch.Tensor) else torch.cos(x)


def by_type(x):
    return torch.sin(x) if type(x) is torch.Tensor else torch.cos(x)


def by_catching(x):
    try:
        return torch.sin(x) + 0 * float(x.detach().sum())
    except Exception:
        return torch.cos(x)


@singledispatch
def by_dispatch(x):
    return torch.cos(x)


@by_dispatch.register
def _(x: torch.Tensor):
    return torch.sin(x)


class Guarded(nn.Module):
    def forward(self, x):
        return (x if torch.is_tensor(x) else 2 * x).sin()


class Calls(nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, x):
        self.count += 1
        return x.sin()


@pytest.mark.parametrize(
    "make", [lambda: by_isinstance, lambda: by_type, lambda: by_catching, lambda: by_dispatch, Guarded]
)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_other_branch_is_not_taken_in_silence(make, mode):
    x, f = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2), make()
    for _ in range(2):  # the second call is not trusted more than the first
        with mode():
            y, J, _ = sobolev.laplacian(f, x)
        torch.testing.assert_close(y, x.sin())
        torch.testing.assert_close(J, torch.diag_embed(x.cos()))


def test_it_is_named_where_taylor_mode_was_asked_for():
    with pytest.raises(NoRuleError, match="isinstance"):
        sobolev.jacobian(Guarded(), torch.ones(2, 1), method="taylor")


def test_it_is_looked_at_once():
    f = Calls()
    for _ in range(3):
        sobolev.jacobian(f, torch.ones(2, 1), method="taylor")
    assert f.count == 4


def test_random_numbers_are_drawn_once():
    f = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)).train()
    torch.manual_seed(1)
    first, after = sobolev.jacobian(f, torch.ones(2, 2), method="taylor")[1], torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(sobolev.jacobian(f, torch.ones(2, 2), method="taylor")[1], first)
    assert torch.equal(torch.get_rng_state(), after)
