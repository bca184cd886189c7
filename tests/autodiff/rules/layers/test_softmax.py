import math

import mpmath
import pytest
import torch
from rule_check import assert_rule
from torch import nn

from sobolev.autodiff.taylor import operators as taylor

X = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

EXPRESSIONS = {
    "softmax": lambda x: torch.softmax(x**2, -1) + x.softmax(1) + nn.functional.softmax(x, dim=-1),
    "log_softmax": lambda x: torch.log_softmax(x.sin() * 3, 1) + nn.LogSoftmax(1)(x**2),
    "softmin": lambda x: nn.Softmin(1)(x**2),
    "logsumexp": lambda x: torch.logsumexp(x**2, 1, keepdim=True) + x.logsumexp(1).unsqueeze(1),
    "logsumexp over two axes": lambda x: torch.logsumexp((x**2).reshape(5, 2, 2), (2, 1)),
    "middle axis": lambda x: (x.reshape(5, 2, 2) ** 2).softmax(1),
    "logaddexp": lambda x: torch.logaddexp(x, x**2),
    "masked": lambda x: (x**2).masked_fill(torch.tensor([False, True, False, False]), -torch.inf).softmax(-1),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gap", [0.0, 5.0, 40.0, 80.0])
def test_one_entry_that_dwarfs_the_other(dtype, gap):
    x = torch.tensor([[gap / 3]], dtype=dtype)
    order = 8
    entries = lambda x: torch.cat([2 * x, -x], 1)  # noqa: E731
    ours = taylor.derivatives(lambda x: entries(x).softmax(1), x, order, torch.ones_like(x))
    logs = taylor.derivatives(lambda x: entries(x).log_softmax(1), x, order, torch.ones_like(x))
    with mpmath.workdps(80):
        point = mpmath.mpf(x.item())
        large = mpmath.taylor(lambda t: 1 / (1 + mpmath.exp(-3 * t)), point, order)
        small = mpmath.taylor(lambda t: 1 / (1 + mpmath.exp(3 * t)), point, order)
        log = mpmath.taylor(lambda t: -mpmath.log1p(mpmath.exp(-3 * t)), point, order)
    for k in range(order + 1):
        expected = [float(c[k] * mpmath.factorial(k)) for c in (large, small)]
        relative = 200 * torch.finfo(dtype).eps
        smallest = torch.finfo(dtype).smallest_normal
        assert ours[k][0].tolist() == pytest.approx(
            expected, rel=relative, abs=max(smallest, (gap == 0) * relative * 3**k)
        )
        if k and gap:
            assert logs[k][0, 0].item() == pytest.approx(
                float(log[k] * mpmath.factorial(k)), rel=relative, abs=smallest
            )


def test_logaddexp_of_equal_numbers_is_smooth():
    x = torch.zeros(1, 1, dtype=torch.float64)
    results = taylor.derivatives(lambda x: torch.logaddexp(x, -x), x, 4, torch.ones_like(x))
    assert [d.item() for d in results] == pytest.approx([math.log(2), 0, 1, 0, -2], abs=1e-14)
    entries = lambda x: torch.where(x > 1, x, -torch.inf).expand(1, 3)  # noqa: E731
    for f in (lambda x: entries(x).logsumexp(1), lambda x: torch.logaddexp(entries(x), entries(x * 2))):
        value, slope = taylor.jacobian(f, x)
        assert value.isneginf().all()
        assert not slope.any()
    infinite = torch.full((1, 1), -torch.inf, dtype=torch.float64)
    assert taylor.jacobian(lambda x: torch.logaddexp(x, infinite), x)[1].item() == 1


TIES = {
    "softmax": lambda x: torch.softmax(x, 1),
    "log_softmax": lambda x: torch.log_softmax(x, 1),
    "logsumexp": lambda x: torch.logsumexp(x, 1, keepdim=True),
    "logaddexp": lambda x: torch.logaddexp(x[:, :2], x[:, 2:]),
}


@pytest.mark.parametrize("name", TIES)
def test_equal_entries_pass_gradients_on(name):
    torch.manual_seed(0)
    layer = nn.Linear(4, 4, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    nn.init.ones_(layer.bias)
    assert_rule(nn.Sequential(layer, Expression(TIES[name])), X, orders=(3,))


class Expression(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)
