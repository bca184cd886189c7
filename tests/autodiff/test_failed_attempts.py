"""`auto` tries Taylor mode once with a function that it cannot follow, and again where something has changed."""

import pytest
import torch
from torch import nn

import sobolev
from sobolev.autodiff.taylor.registry import METHODS, RULES

X = torch.rand(5, 2, dtype=torch.float64)


@pytest.fixture
def _attempts(monkeypatch):
    from sobolev.autodiff import dispatch

    calls, attempt = [], dispatch._by_taylor_mode
    monkeypatch.setattr(dispatch, "_by_taylor_mode", lambda *given: calls.append(given[0]) or attempt(*given))
    return calls


class Unknown(nn.Module):
    def forward(self, x):
        return torch.special.airy_ai(x.detach()) * 0 + torch.from_numpy(x.detach().numpy()) * 0 + x**3


def test_a_failing_attempt_is_not_repeated(_attempts):
    model = Unknown()
    for _ in range(3):
        torch.testing.assert_close(sobolev.laplacian(model, X)[2], 6 * X)
    assert len(_attempts) == 1
    sobolev.hessian(model, X)
    with torch.no_grad():
        sobolev.hessian(model, X)
    assert len(_attempts) == 3
    sobolev.hessian(Unknown(), X)
    assert len(_attempts) == 4


def test_of_a_method_and_of_a_function(_attempts):
    model = Unknown()
    f = lambda x: model(x)  # noqa: E731
    for _ in range(3):
        sobolev.jacobian(model.forward, X)
        sobolev.jacobian(f, X)
    assert len(_attempts) == 2


def test_taylor_mode_that_is_asked_for_is_tried():
    model = Unknown()
    sobolev.jacobian(model, X)
    with pytest.raises(sobolev.autodiff.NoRuleError, match="airy_ai"):
        sobolev.jacobian(model, X, method="taylor")


def test_a_new_rule_is_used(_attempts, monkeypatch):
    f = lambda x: torch.special.airy_ai(x.detach()) * 0 + x**2  # noqa: E731
    sobolev.jacobian(f, X)
    monkeypatch.setitem(RULES, torch.special.airy_ai, lambda x: x)
    monkeypatch.setitem(METHODS, "airy_ai", lambda x: x)
    torch.testing.assert_close(sobolev.jacobian(f, X)[1].diagonal(dim1=1, dim2=2), 2 * X)
    assert len(_attempts) == 2
