import numpy as np
import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional

from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor

X = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(4, 3)


def arithmetic(x):
    y = x.sin()
    y += x
    y *= 2
    y -= x * x
    y /= 3
    y.add_(x).mul_(x.cos()).clamp_(max=2.0).sub_(1, alpha=2).sin_().neg_()
    return torch.relu(functional.elu(y * 1, inplace=True)) + y


def columns(x):
    y = x.exp() + 0
    y[:, 0] = x[:, 1] ** 2
    y[:, 1] += 1
    y[..., 2] *= x[:, 0]
    y[:, 1:][:, 0] += x[:, 2].sin()
    return y


def blank(x):
    y = torch.zeros_like(x)
    y[:, :2] = x[:, 1:].exp()
    z = x.new_zeros(len(x), 4)
    z[:, 3] = x[:, 0] ** 3
    z[:, [0, 1]] = x[:, :2].cos()
    return torch.cat([y, z], 1)


def masked(x):
    y = x.clone()
    y[y > 0.5] = 0.0
    y[X < -0.5] *= 3
    return y.masked_fill_(X > 1.5, 2.0) * x


def part_of_a_part(x):
    y = x.exp() + 0
    first = y[:, :2]
    first[:, 0] = x[:, 2]
    first *= x[:, :1]
    return y * 2


def rounded(x):
    y = x * 3
    y[:, 0].floor_()
    y[:, 1:].round_(decimals=1)
    z = x.exp() + 0
    z.gt_(1)
    return (y + x) * z


def places(x):
    y = x.exp() + 0
    for number in (np.int64(0), torch.tensor(1)):
        part = y[:, number]
        part *= x[:, 2]
    copy = y[:, True]
    copy += 1
    return y + copy[:, 0]


def kept(x):
    y = x.sin()
    y.copy_(x * 2)
    z = torch.empty_like(x).zero_()
    z += y
    return z


def own_input(x):
    x -= 1
    x[:, 0] = 2 * x[:, 1]
    return x**3


@pytest.mark.parametrize("f", [arithmetic, columns, blank, masked, part_of_a_part, rounded, places, kept])
def test_writes(f):
    assert_rule(f, X)


def test_the_points_themselves_are_never_written_to():
    x = X.clone()
    before = taylor.hessian(own_input, x)
    torch.testing.assert_close(x, X)
    expected = taylor.hessian(lambda x: torch.stack([2 * x[:, 1] - 2, x[:, 1] - 1, x[:, 2] - 1], 1) ** 3, x)
    torch.testing.assert_close(before, expected)


def flattened(x):
    y = x.exp()
    flat = y.reshape(-1)
    flat += 1
    return y


def base_written(x):
    y = x.exp()
    part = y.t()
    y += 1
    return part.t()


def piece_written(x):
    y = x.exp()
    a, _ = y.split([1, 2], 1)
    a *= 2
    return y


def older_part(x):
    y = x.exp()
    part = y[:, 0]
    y += 1
    return part


@pytest.mark.parametrize("f", [flattened, base_written, piece_written, older_part])
def test_a_write_through_a_view_is_never_silently_lost(f):
    with pytest.raises(NoRuleError, match="in-place"):
        taylor.jacobian(f, X)


def into_plain_tensor(x):
    y = torch.zeros(4, 3, dtype=x.dtype)
    y[:, 0] = x[:, 0]
    return y


def added_to_plain_tensor(x):
    y = torch.zeros(4, 3, dtype=x.dtype)
    y += x
    return y


@pytest.mark.parametrize("f", [into_plain_tensor, added_to_plain_tensor])
def test_an_ordinary_tensor_cannot_hold_derivatives(f):
    with pytest.raises(NoRuleError, match="zeros_like"):
        taylor.jacobian(f, X)


def test_a_write_must_not_change_the_shape():
    with pytest.raises(ValueError, match="shape"):
        taylor.jacobian(lambda x: x[:, :1].add_(x), X)
