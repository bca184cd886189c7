"""Numbers as data bring them: far from 0, tiny, huge, rounded, special points, tables; and precisions that mix."""

# ruff: noqa: E501  the tables hold one case a line

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from zoo.case import Case, Wrap, mlp, points, uniform
from zoo.corners import chebyshev_truth
from zoo.customs import function
from zoo.modes import _seeded
from zoo.traps import wrapped

D1, D2 = uniform(24, 1), uniform(24, 2)
WIDE = uniform(24, 1, low=-3, high=3)
ORIGIN = torch.tensor([[0.0, 0.0], [0.3, -0.4], [1.0, 2.0], [-0.5, 0.2]])
YEARS = 2000 + 12 * uniform(24, 1)


def standardised(mean, std):
    return wrapped(lambda s, x: s.n((x - mean) / std))


def sine(scale, inner=1.0):
    def truth(x):
        z = inner * x
        return scale * z.sin(), scale * inner * z.cos(), -scale * inner**2 * z.sin()

    return truth


def scaled_sine(scale, inner=1.0):
    return lambda: lambda x: scale * torch.sin(inner * x)


def kernel(dtype):
    """sin by numpy in its own precision, gradients by torch: the twin cannot widen it."""

    def values(x):
        return torch.from_numpy(np.sin(x.detach().numpy().astype(dtype)).astype(np.float64)).to(x.dtype)

    sin = function(values, lambda x, g: g * torch.cos(x))
    return wrapped(lambda s, x: s.n(sin(x)))


class Readout(nn.Module):
    """Random features with a readout that nobody regularised: large weights that cancel."""

    def __init__(self, size=1e4):
        super().__init__()
        self.a = nn.Linear(1, 40)
        self.w = nn.Parameter(size * torch.randn(40))
        self.b = nn.Linear(40, 1)

    def forward(self, x):
        h = torch.tanh(self.a(x))
        return self.b(h) + ((h @ self.w) - (h * self.w).sum(-1))[:, None]


def exact_readout(x):
    torch.manual_seed(0)
    net = Readout().double()
    with torch.no_grad():
        net.w.zero_()
    from zoo.case import differences

    return differences(net, x, 0.02, 2)


def monomials(x):
    """Chebyshev's T20, summed from its monomials: coefficients to 1e7 of either sign."""
    c = np.polynomial.chebyshev.cheb2poly([0] * 20 + [1])
    y = torch.zeros_like(x)
    for value in c[::-1]:
        y = y * x + float(value)
    return y


def chebyshev_20(x):
    p = np.polynomial.Chebyshev([0] * 20 + [1])
    return tuple(torch.from_numpy(d(x.numpy())) for d in (p, p.deriv(), p.deriv(2)))


def _sine_network(x):
    return _seeded(x, lambda dtype: wrapped(lambda s, z: s.n(torch.sin(z)))().to(dtype))


def double_island(self, x):
    return self.n(torch.sin(x.double()).to(x.dtype))


def single_island(self, x):
    return self.n(torch.sin(x.to(torch.float32)).to(x.dtype))


def half_attention(self, x):
    q = self.n(x).half()
    return torch.softmax((q @ q.mT).to(x.dtype), -1) @ x


def bfloat16_layer():
    return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), Lowered(16, 16), nn.Tanh(), nn.Linear(16, 1)).eval()


class Lowered(nn.Linear):
    def forward(self, x):
        return F.linear(x.bfloat16(), self.weight.bfloat16(), self.bias.bfloat16()).to(x.dtype)


def clamped_input(self, x):
    return self.n(x.clamp(-0.5, 0.5))


def wrapped_angle(x):
    return torch.cos(torch.remainder(x, 2 * math.pi))


def angle(x):
    return torch.atan2(x[:, 1:], x[:, :1])


def rounded_digits(self, x):
    return self.n(torch.round(x * 1e4) / 1e4)


def rounded_finely(self, x):
    return self.n(torch.round(x * 1e9) / 1e9)


def sinc(x):
    return torch.sinc(x)


def safe_sinc(x):
    return torch.where(x == 0, torch.ones_like(x), torch.sin(x) / x)


def masked_sinc(x):
    safe = torch.where(x == 0, torch.ones_like(x), x)
    return torch.where(x == 0, torch.ones_like(x), torch.sin(safe) / safe)


def expm1_ratio(x):
    return torch.where(x.abs() < 1e-3, 1 + x / 2 + x**2 / 6, torch.expm1(x) / torch.where(x == 0, 1, x))


def spiky(self, x):
    """A needle between the points: what no sample sees, nobody can find."""
    return self.n(x) + torch.exp(-((x - 0.1234) ** 2) / 1e-10)


def table_cubic(self, x):
    """Catmull-Rom interpolation of a table: the slope is continuous, the bend jumps at the knots."""
    t = (x + 1) * 4
    k = t.detach().floor().long().clamp(0, 7)
    u = t - k
    p = [self.table.to(x.dtype)[k + i] for i in range(4)]
    return 0.5 * (
        2 * p[1]
        + (p[2] - p[0]) * u
        + (2 * p[0] - 5 * p[1] + 4 * p[2] - p[3]) * u**2
        + (3 * p[1] - p[0] - 3 * p[2] + p[3]) * u**3
    )


def table_steps(self, x):
    """A table of a thousand entries, looked up and not interpolated, behind a smooth network."""
    z = torch.sigmoid(self.n(x))
    return z + self.table.to(x.dtype)[(z.detach() * 999).long()]


def nan_in_places(x):
    return torch.where((x > 0.3) & (x < 0.35), torch.nan, torch.sin(x))


def where_infinite(x):
    return torch.where(x > 0, torch.sqrt(x), x)


def where_masked(x):
    safe = torch.where(x > 0.5, x, 1.0)
    return torch.where(x > 0.5, torch.log(safe), x**2)


def softplus_by_hand(x):
    return torch.log1p(torch.exp(x))


def logit_by_hand(x):
    p = torch.sigmoid(40 * x)
    return torch.log(p) - torch.log(1 - p)


def smooth_maximum(x):
    return torch.logsumexp(100 * torch.cat([x, -x, 0.3 * torch.ones_like(x)], -1), -1) / 100


def high_power(x):
    return (x + 1.5) ** 25


def sum_of_scales(x):
    """Outputs from 1e-12 to 1e12 beside each other."""
    return torch.sin(x) * torch.tensor([1e-12, 1e-6, 1.0, 1e6, 1e12]).to(x)


def inputs_of_scales(self, x):
    return self.n(x / torch.tensor([1e-9, 1.0, 1e9]).to(x))


wrong_third = function(lambda x: x**4, lambda x, g: g * (4 * x**3 + 0.1 * (x - x.detach()) ** 3))
"""x⁴, right twice; the third derivative is taken for constant."""

CASES = [
    Case("years", standardised(2000, 7), x=YEARS, step=0.1),
    Case("years-raw", lambda: mlp(nn.Tanh), "scaling", x=YEARS),
    Case("epoch-seconds-centred", standardised(1.7e9, 3e4), x=1.7e9 + 5e4 * D1, step=500.0),
    Case("epoch-seconds-float64", lambda: standardised(1.7e9, 3e4)().double(), x=1.7e9 + 5e4 * D1.double(), step=500.0),
    Case("offset-of-1e9", lambda: lambda x: torch.sin(x - 1e9), "dtype", x=1e9 + 100 * D1),
    Case("inputs-times-1e6", lambda: lambda x: torch.sin(1e6 * x), x=1e-6 * D1, truth=sine(1.0, 1e6)),
    Case("inputs-times-1e-6", lambda: lambda x: torch.sin(1e-6 * x), x=1e6 * D1, truth=sine(1.0, 1e-6), tolerance=1e-5),
    Case("network-of-1e6-times-x", wrapped(lambda s, x: s.n(1e6 * x)), x=1e-6 * D1, step=2e-8),
    Case("outputs-of-1e-38", scaled_sine(1e-37), x=D1, truth=sine(1e-37)),
    Case("outputs-of-1e38", scaled_sine(1e37), x=D1, truth=sine(1e37)),
    Case("outputs-of-all-sizes", lambda: sum_of_scales, x=D1, truth=lambda x: (sum_of_scales(x), x.cos() * torch.tensor([1e-12, 1e-6, 1, 1e6, 1e12]).to(x), -sum_of_scales(x))),
    Case("inputs-of-all-sizes", wrapped(inputs_of_scales, 3), x=uniform(24, 3) * torch.tensor([1e-9, 1.0, 1e9]), truth=lambda x: (torch.zeros(24, 1, dtype=torch.float64),) * 0 or _scaled_truth(x)),
    Case("float32-kernel", kernel(np.float32), x=D1),
    Case("float16-kernel", kernel(np.float16), "discontinuity", x=D1, truth=_sine_network),
    Case("cancelling-readout", Readout, "dtype", x=D1, truth=exact_readout),
    Case("cancelling-readout-float64", lambda: Readout().double(), x=D1.double(), truth=exact_readout),
    Case("cancelling-readout-1e8", lambda: Readout(1e8).double(), x=D1.double(), truth=exact_readout),
    Case("cancelling-readout-1e11", lambda: Readout(1e11).double(), "dtype", x=D1.double(), truth=exact_readout),
    Case("monomials", lambda: monomials, "dtype", x=D1, truth=chebyshev_20),
    Case("monomials-float64", lambda: monomials, x=D1.double(), truth=chebyshev_20),
    Case("double-island", wrapped(double_island), x=D1),
    Case("single-island", wrapped(single_island), x=D1),
    Case("half-attention", wrapped(half_attention, 2), "cross-sample", x=D2),
    Case("bfloat16-layer", bfloat16_layer, "dtype", x=D1),
    Case("input-clamped", wrapped(clamped_input), "kink", x=D1),
    Case("input-clamped-outside", wrapped(lambda s, x: s.n(x.clamp(-5, 5))), x=D1),
    Case("angle-wrapped", lambda: wrapped_angle, x=3 * D1),
    Case("angle-of-the-plane", lambda: angle, "non-finite", x=ORIGIN),
    Case("angle-cut", lambda: lambda x: torch.atan2(x[:, 1:], x[:, :1] - 0.1), "discontinuity", x=D2),
    Case("rounded-to-4-digits", wrapped(rounded_digits), "piecewise-constant", x=D1),
    Case("rounded-to-9-digits", lambda: wrapped(rounded_finely)().double(), "detached", x=D1.double()),
    Case("sinc-at-0", lambda: sinc, "non-finite", x=points(-0.8, 0.0, 0.3, 1.2), truth=lambda x: _sinc(x)),
    Case("sinc-where-at-0", lambda: safe_sinc, "non-finite", x=points(-0.8, 0.0, 0.3, 1.2)),
    Case("sinc-masked-at-0", lambda: masked_sinc, "once-differentiable", x=points(-0.8, 0.0, 0.3, 1.2)),
    Case("expm1-ratio", lambda: expm1_ratio, x=points(-0.8, 0.0, 1e-4, 0.3, 1.2)),
    Case("table-catmull-rom", lambda: Wrap(table_cubic, table=torch.randn(11)), "kink", x=D1 * 0.99),
    Case("table-of-steps", lambda: Wrap(table_steps, n=mlp(nn.Tanh), table=torch.linspace(0, 1, 1000) ** 2), "discontinuity", x=WIDE),
    Case("nan-in-between", lambda: nan_in_places, x=points(-0.8, 0.0, 0.2, 0.4, 0.9), truth=sine(1.0)),
    Case("nan-at-points", lambda: nan_in_places, "non-finite", x=points(-0.8, 0.0, 0.32, 0.4, 0.9)),
    Case("where-sqrt-at-0", lambda: where_infinite, "non-finite", x=points(-0.5, 0.0, 0.3, 0.8)),
    Case("where-of-negative", lambda: where_infinite, "non-finite", x=points(-0.5, -0.2, 0.3, 0.8)),
    Case("where-masked", lambda: where_masked, "discontinuity", x=D1),
    Case("softplus-overflows", lambda: softplus_by_hand, "dtype", x=points(-5, 0, 50, 100.0)),
    Case("logit-of-sigmoid", lambda: logit_by_hand, "dtype", x=D1 * 0.3),
    Case("smooth-maximum", lambda: smooth_maximum, "dtype", x=D1, step=0.0005),
    Case("power-25", lambda: high_power, x=D1),
    Case("constant-0", lambda: lambda x: torch.zeros_like(x) * x, "constant"),
    Case("linear-large-offset", lambda: lambda x: 3 * x + 1e5, x=D1),
    Case("quadratic-exact", lambda: lambda x: x * x, x=D1, truth=lambda x: (x * x, 2 * x, 2 + 0 * x)),
    Case("signed-zero", lambda: lambda x: torch.copysign(x, torch.tensor(1.0)), "piecewise-linear", x=D1),
    Case("cos-1e3", lambda: lambda x: torch.cos(1000 * x), x=D1, truth=lambda x: ((1000 * x).cos(), -1000 * (1000 * x).sin(), -1e6 * (1000 * x).cos())),
    Case("cos-1e5", lambda: lambda x: torch.cos(1e5 * x), "dtype", x=D1, truth=lambda x: ((1e5 * x).cos(), -1e5 * (1e5 * x).sin(), -1e10 * (1e5 * x).cos())),
    Case("weierstrass", lambda: lambda x: sum(0.5**k * torch.cos(3**k * math.pi * x) for k in range(9)), x=D1, step=1e-5, tolerance=1e-2),
    Case("needle", wrapped(spiky), x=D1, truth=_seeded),
    Case("order-4-polynomial", lambda: lambda x: x**4 - x**3, x=D1, order=4, truth=lambda x: (x**4 - x**3, 4 * x**3 - 3 * x**2, 12 * x**2 - 6 * x, 24 * x - 6, 24 + 0 * x)),
    Case("order-5-wrong-third", lambda: wrong_third, "autograd-disagrees", x=D1, order=4),
    Case("order-3-sine-network", lambda: mlp(nn.GELU), order=3, truth=chebyshev_truth(lambda: mlp(nn.GELU))),
    Case("exp-custom-wrong-tiny", lambda: function(torch.exp, lambda x, g: g * (torch.exp(x) + 1e-6)), "autograd-disagrees", x=D1),
]  # fmt: skip


def _sinc(x):
    p = math.pi * torch.where(x == 0, 1.0, x)
    zero = x == 0
    y = torch.where(zero, 1.0, p.sin() / p)
    d1 = torch.where(zero, 0.0, math.pi * (p.cos() / p - p.sin() / p**2))
    d2 = torch.where(zero, -(math.pi**2) / 3, math.pi**2 * (-p.sin() / p - 2 * p.cos() / p**2 + 2 * p.sin() / p**3))
    return y, d1, d2


def _scaled_truth(x):
    """Along (1, 1, 1) the first input, which is in units of 1e-9, is all that counts."""
    from zoo.case import differences

    torch.manual_seed(0)
    net = mlp(nn.Tanh, 3).double()
    scale = torch.tensor([1e-9, 1.0, 1e9], dtype=torch.float64)
    direction = 1 / scale
    z = x / scale

    def along(t):
        return net(z + t[:, :1] * direction * 1e-9)

    y, d1, d2 = differences(along, torch.zeros_like(x), 0.02, 2)
    return y, d1 * 1e9, d2 * 1e18
