import math

import mpmath
import pytest
import torch
from rule_check import assert_rule
from torch import nn
from torch.nn import functional

import sobolev
from sobolev.autodiff.taylor import operators as taylor

ACTIVATIONS = [nn.SiLU(), nn.Mish(), nn.GELU(), nn.GELU("tanh"), nn.Softplus(), nn.Softplus(2.0), nn.LogSigmoid()]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_networks(activation):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), activation, nn.Linear(8, 8), activation, nn.Linear(8, 2)).double()
    assert_rule(net, torch.randn(5, 3, dtype=torch.float64))


def sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


def softplus(x):
    return mpmath.log1p(mpmath.exp(x))


def differentiated(function):
    def derivatives(x):
        return [c * mpmath.factorial(k) for k, c in enumerate(mpmath.taylor(function, x, ORDER + 2))]

    return derivatives


def of_gelu(x):
    """x Φ, Φ + x φ, and from then on φ - φ'' differentiated; those of φ are Hermite polynomials."""
    bell = [
        (-1) ** n * mpmath.hermite(n, x / mpmath.sqrt(2)) / mpmath.sqrt(2) ** n * mpmath.npdf(x)
        for n in range(ORDER + 3)
    ]
    below = mpmath.erfc(-x / mpmath.sqrt(2)) / 2
    return [x * below, below + x * bell[0], *(bell[k - 2] - bell[k] for k in range(2, ORDER + 3))]


ORDER = 10
FORMULAS = {
    "tanh": (nn.Tanh(), mpmath.tanh),
    "sigmoid": (nn.Sigmoid(), sigmoid),
    "silu": (nn.SiLU(), lambda x: x * sigmoid(x)),
    "softplus": (nn.Softplus(), softplus),
    "logsigmoid": (nn.LogSigmoid(), lambda x: -softplus(-x)),
    "gelu tanh": (
        nn.GELU("tanh"),
        lambda x: x * sigmoid(mpmath.sqrt(8 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)),
    ),
    "mish": (nn.Mish(), lambda x: x * mpmath.tanh(softplus(x))),
    "softsign": (nn.Softsign(), lambda x: x / (1 + abs(x))),
    "tanhshrink": (nn.Tanhshrink(), lambda x: x - mpmath.tanh(x)),
}
EXACT = {name: (module, differentiated(formula)) for name, (module, formula) in FORMULAS.items()}
EXACT["gelu"] = (nn.GELU(), of_gelu)
POINTS = [s * p for p in (0.5, 4, 17, 85) for s in (1.0, -1.0)]


@pytest.mark.parametrize("name", EXACT)
def test_every_order_from_the_middle_to_far_out(name):
    """Within 30 units in the last place of the derivative in the neighbourhood, wherever PyTorch's value is as good."""
    function, exact = EXACT[name]
    with mpmath.workdps(200):  # 1 - tanh(85) is 1e-73, and gelu of -17 in its approximation 1e-163
        points = torch.tensor(POINTS)
        truths = [exact(mpmath.mpf(x)) for x in points.tolist()]
        for dtype in (torch.float32, torch.float64):
            x = points.to(dtype).unsqueeze(1)
            for k, d in enumerate(taylor.derivatives(function, x, ORDER, torch.ones_like(x))):
                for ours, truth in zip(d[:, 0].tolist(), truths, strict=True):
                    near = sum(abs(truth[k + j]) * mpmath.mpf("0.3") ** j / math.factorial(j) for j in range(3))
                    smallest = torch.finfo(dtype).smallest_normal * math.factorial(k)
                    digits = 2e7 if name in ("softplus", "mish") and dtype == torch.float64 else 30  # its threshold
                    assert abs(ours - truth[k]) <= digits * torch.finfo(dtype).eps * near + smallest


@pytest.mark.parametrize("activation", [function for function, _ in EXACT.values()], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_very_far_out(activation, dtype):
    """At ±10,000 all are straight: derivatives neither overflow nor turn into NaN."""
    x = torch.tensor([[1e4], [-1e4]], dtype=dtype)
    _, d1, *higher = taylor.derivatives(activation, x, ORDER, torch.ones_like(x))
    assert ((d1 >= 0) & (d1 <= 1)).all()
    assert all((d.abs() < 1e-11).all() for d in higher)


@pytest.mark.parametrize("point", [1e13, -1e13, 1e20, -1e20])
def test_gelu_by_tanh_where_the_cube_overflows(point):
    x = torch.tensor([point])
    gelu = lambda x: functional.gelu(x, approximate="tanh")  # noqa: E731
    results = sobolev.derivatives(gelu, x, 4, method="taylor")
    assert torch.cat(results).tolist() == [max(x.item(), 0), float(point > 0), 0, 0, 0]
