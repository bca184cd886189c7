"""Derivatives written into ordinary tensors that forward makes: reverse mode answers, never a wrong number."""

import logging

import pytest
import torch

import sobolev
from sobolev.autodiff import NoRuleError

X = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(4, 3)


def buffer(x):
    return torch.zeros(len(x), 3, dtype=torch.float64)


def by_columns(x):
    out = buffer(x)
    out[:, 0] = x[:, 0] ** 2
    out[:, 1:] = x[:, :2].sin()
    return out


def added(x):
    out = buffer(x)
    out += x**3
    return out.add_(x.sin())


def through_a_view(x):
    out = buffer(x)
    column = out[:, 1]
    column.copy_(x[:, 0] * x[:, 2])
    return out * x


def put(x):
    out = buffer(x)
    out.index_put_((torch.tensor([0]),), x[:1] ** 2)
    return out.scatter_(1, torch.tensor([[0], [1], [2], [1]]), x[:, :1].exp())


def with_out(x):
    out = buffer(x)
    torch.mul(x, x.sin(), out=out) if not isinstance(x, torch.Tensor) else out.copy_(x * x.sin())
    return out


def masked(x):
    out = buffer(x)
    out[x > 0] = x[x > 0] ** 2
    return out.masked_scatter_(x < -0.5, x[x < -0.5].exp())


def of_a_list(x):
    out = torch.empty(len(x), 3, dtype=torch.float64)
    for i, row in enumerate(x):
        out[i] = row * row.sum()
    return out


@pytest.mark.parametrize("f", [by_columns, added, through_a_view, put, with_out, masked, of_a_list])
def test_the_answer_comes_by_reverse_mode(f, caplog):
    with caplog.at_level(logging.DEBUG, logger="sobolev"):
        results = sobolev.hessian(f, X)
    assert "ordinary tensor" in caplog.text
    for ours, theirs in zip(results, sobolev.hessian(f, X, method="reverse"), strict=True):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(NoRuleError, match="ordinary tensor"):
        sobolev.hessian(f, X, method="taylor")


@pytest.mark.parametrize("make", [torch.zeros_like, lambda x: x.new_zeros(x.shape), lambda x: x.clone().zero_()])
def test_tensors_made_from_x_are_followed(make):
    def f(x):
        out = make(x)
        out[:, 0] = x[:, 1] ** 2
        out[:, 1:] += x[:, :2].sin()
        return out

    for ours, theirs in zip(
        sobolev.hessian(f, X, method="taylor"), sobolev.hessian(f, X, method="reverse"), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
