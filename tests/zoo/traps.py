"""Models whose derivatives are not what they seem: each must be found, under its own name."""

# ruff: noqa: E501  the tables hold one case a line

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from zoo.case import Case, Wrap, mlp, points, uniform
from zoo.smooth import IMAGE, SEQUENCE, Act

D2 = uniform(24, 2)
WIDE = uniform(24, 1, low=-2, high=2)


class Cubed(torch.autograd.Function):
    """x³ with an honest first derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[0] ** 2 * g


class CubedOnce(Cubed):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[0] ** 2 * g


class CubedDetached(Cubed):
    @staticmethod
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[0].detach() ** 2 * g


class CubedWrong(Cubed):
    @staticmethod
    def backward(ctx, g):
        return 2.9 * ctx.saved_tensors[0] ** 2 * g


class Reversal(torch.autograd.Function):
    """Ganin & Lempitsky (2015), gradient reversal."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return -g


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x * 8) / 8

    @staticmethod
    def backward(ctx, g):
        return g


def without_graph(self, x):
    with torch.no_grad():
        return self.n(x)


def partly_without_graph(self, x):
    with torch.no_grad():
        z = torch.sin(2 * x)
    return self.n(x) + z


def through_numpy(self, x):
    return self.n(x) + torch.from_numpy(np.sin(x.detach().cpu().numpy())).to(x)


def hooked(self, x):
    y = torch.tanh(x)
    if y.requires_grad:
        y.register_hook(lambda g: 0.5 * g)
    return y.square()


def counting(self, x):
    self.calls = getattr(self, "calls", 0) + 1
    return self.n(x) * (1 + 0.1 * self.calls)


def trained_mode(module):
    return module.train()


def batch_norm():
    return nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 1))


def wrapped(forward, inputs=1, outputs=1, activation=nn.Tanh):
    return lambda: Wrap(forward, n=mlp(activation, inputs, outputs))


def tail(activation):
    """Smooth layers before, one activation that is not smooth, smooth layers behind."""
    return lambda: nn.Sequential(
        nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), activation, nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1)
    ).eval()


def staircases():
    names = {"relu": nn.ReLU, "leaky-relu": nn.LeakyReLU, "prelu": nn.PReLU, "rrelu": nn.RReLU, "relu6": nn.ReLU6,
             "hardtanh": nn.Hardtanh, "softshrink": lambda: nn.Softshrink(0.05),
             "abs": lambda: Act(torch.abs), "f-relu": lambda: Act(F.relu), "maximum": lambda: Act(lambda z: torch.maximum(z, -0.5 * z)),
             "clamp": lambda: Act(lambda z: z.clamp(-0.1, 0.1)), "where": lambda: Act(lambda z: torch.where(z > 0, z, 0.2 * z)),
             "crelu": lambda: Act(lambda z: z * (z > 0)), "sort": lambda: Act(lambda z: torch.sort(z, -1).values)}  # fmt: skip
    return [
        Case(f"piecewise-linear-{name}", lambda a=a: mlp(a), "piecewise-linear", x=WIDE) for name, a in names.items()
    ]


CASES = [
    *staircases(),
    Case("relu-cnn", lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 1)).eval(), "piecewise-linear", x=IMAGE),
    Case("maxout", lambda: Wrap(lambda s, x: s.a(x).reshape(-1, 4, 4).amax(-1), a=nn.Linear(2, 16)), "piecewise-linear", x=D2),
    Case("interpolation", lambda: lambda x: torch.sin(torch.floor(x * 5)) * (1 - (x * 5) % 1) + torch.sin(torch.floor(x * 5) + 1) * ((x * 5) % 1), "piecewise-linear"),
    Case("forum", lambda: nn.Sequential(*mlp(nn.ReLU, width=64), nn.ReLU()).eval(), "piecewise-linear", x=uniform(200, 1, low=-50, high=50)),
    *[Case(f"kink-{name}", tail(a), "kink", x=WIDE) for name, a in {"relu": nn.ReLU(), "elu": nn.ELU(), "celu": nn.CELU(0.5), "selu": nn.SELU(), "hardswish": Act(lambda z: F.hardswish(6 * z)), "softsign": nn.Softsign(), "abs": Act(torch.abs), "leaky": nn.LeakyReLU(0.2)}.items()],
    Case("kink-relu-squared", lambda: mlp(lambda: Act(lambda z: F.relu(z) ** 2)), "kink", x=WIDE),
    Case("kink-max-pool", lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 1)).eval(), "kink", x=IMAGE),
    Case("kink-huber", lambda: lambda x: F.huber_loss(x, torch.zeros_like(x), reduction="none", delta=0.5), "kink"),
    Case("kink-payoff", lambda: lambda x: torch.exp(x) * F.relu(x - 0.2) + x**2, "kink"),
    Case("kink-sorted", wrapped(lambda s, x: torch.sort(s.n(x), -1).values[:, :1].tanh(), 1, 6), "kink", x=WIDE),
    Case("jump-where", wrapped(lambda s, x: torch.where(x > 0.1, s.n(x), s.n(x) + 1)), "discontinuity"),
    Case("jump-heaviside-gate", wrapped(lambda s, x: s.n(x) * (x > 0.3)), "discontinuity"),
    Case("jump-top-1-experts", lambda: Wrap(lambda s, x: torch.where(s.g(x).argmax(-1, keepdim=True) == 0, s.a(x), s.b(x)), g=nn.Linear(1, 2), a=mlp(nn.Tanh), b=mlp(nn.Tanh)), "discontinuity", x=uniform(24, 1, low=-3, high=3)),
    Case("detached-input", wrapped(lambda s, x: s.n(x) * x.detach()), "detached"),
    Case("detached-branch", wrapped(lambda s, x: s.n(x) + torch.sin(x.detach())), "detached"),
    Case("detached-all", wrapped(lambda s, x: s.n(x).detach()), "detached"),
    Case("dot-data", wrapped(lambda s, x: s.n(x) + x.data**2), "detached"),
    Case("no-grad", wrapped(without_graph), "detached"),
    Case("no-grad-part", wrapped(partly_without_graph), "detached"),
    Case("numpy", wrapped(through_numpy), "detached"),
    Case("new-tensor", wrapped(lambda s, x: s.n(x) + torch.tensor(x.tolist(), dtype=x.dtype).cos()), "detached"),
    Case("straight-through-function", lambda: Wrap(lambda s, x: s.n(Round.apply(x)), n=mlp(nn.Tanh)), "straight-through"),
    Case("straight-through-detach", lambda: Wrap(lambda s, x: s.n(x + ((x * 8).round() / 8 - x).detach()), n=mlp(nn.Tanh)), "detached"),
    Case("fake-quantised", wrapped(lambda s, x: s.n(torch.fake_quantize_per_tensor_affine(x, 0.05, 0, -128, 127))), "straight-through"),
    Case("once-differentiable", lambda: lambda x: CubedOnce.apply(x) + x, "once-differentiable"),
    Case("once-differentiable-frozen", lambda: Wrap(lambda s, x: CubedOnce.apply(s.n(x)), n=mlp(nn.Tanh).requires_grad_(False)), "once-differentiable"),
    Case("backward-detaches", lambda: lambda x: CubedDetached.apply(x) + x, "once-differentiable"),
    Case("backward-wrong", lambda: lambda x: CubedWrong.apply(x) + x, "autograd-disagrees"),
    Case("backward-right", lambda: lambda x: Cubed.apply(x) + x),
    Case("gradient-reversal", wrapped(lambda s, x: s.n(Reversal.apply(x))), "autograd-disagrees"),
    Case("gradient-hook", wrapped(hooked), "autograd-disagrees"),
    Case("round", wrapped(lambda s, x: s.n((x * 10).round() / 10)), "piecewise-constant"),
    Case("floor", lambda: lambda x: torch.floor(x * 7), "piecewise-constant"),
    Case("integer-cast", wrapped(lambda s, x: s.n((x * 10).long().to(x.dtype) / 10)), "piecewise-constant"),
    Case("sign", wrapped(lambda s, x: torch.sign(x)), "piecewise-constant"),
    Case("bucketize", wrapped(lambda s, x: torch.bucketize(x, torch.linspace(-1, 1, 9)).to(x.dtype) + 0 * x), "piecewise-constant"),
    Case("arg-max-class", wrapped(lambda s, x: F.one_hot(s.n(x).argmax(-1), 4).to(x.dtype), 1, 4), "piecewise-constant", x=uniform(24, 1, low=-9, high=9)),
    Case("batch-norm-training", lambda: trained_mode(batch_norm()), "cross-sample", x=D2),
    Case("batch-norm-no-statistics", lambda: nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16, track_running_stats=False), nn.Tanh(), nn.Linear(16, 1)).eval(), "cross-sample", x=D2),
    Case("attention-over-batch", lambda: Wrap(lambda s, x: F.scaled_dot_product_attention(s.n(x)[None], s.n(x)[None], s.n(x)[None])[0], n=mlp(nn.Tanh, 2, 4)), "cross-sample", x=D2),
    Case("batch-first-forgotten", lambda: nn.Sequential(nn.TransformerEncoderLayer(2, 1, 8, activation="gelu"), nn.Flatten(), nn.Linear(10, 1)).eval(), "cross-sample", x=SEQUENCE),
    Case("gru-over-batch", lambda: Wrap(lambda s, x: s.r(x)[0], r=nn.GRU(2, 3)), "cross-sample", x=D2),
    Case("batch-mean", wrapped(lambda s, x: s.n(x).mean(0).expand(len(x), 1)), "cross-sample"),
    Case("batch-centred", wrapped(lambda s, x: s.n(x - x.mean(0))), "cross-sample"),
    Case("batch-softmax", wrapped(lambda s, x: torch.softmax(s.n(x), 0)), "cross-sample"),
    Case("batch-norm-by-hand", wrapped(lambda s, x: s.n((x - x.mean(0)) / (x.std(0) + 1e-3))), "cross-sample"),
    Case("batch-branch", wrapped(lambda s, x: s.n(x) if x.mean() > 0.2 else 2 * s.n(x)), "cross-sample", x=uniform(24, 1) + 0.25),
    Case("batch-item", wrapped(lambda s, x: s.n(x / x.abs().max().item())), "cross-sample"),
    Case("batch-place", wrapped(lambda s, x: s.n(x) * torch.linspace(1, 2, len(x)).to(x)[:, None]), "cross-sample"),
    Case("batch-cumsum", wrapped(lambda s, x: torch.cumsum(s.n(x), 0)), "cross-sample"),
    Case("batch-size-fixed", wrapped(lambda s, x: s.n(x.reshape(24, 1))), "cross-sample"),
    Case("dropout-training", lambda: trained_mode(nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 1))), "stochastic", x=D2),
    Case("dropout-always", wrapped(lambda s, x: F.dropout(s.n(x), 0.3, training=True)), "stochastic"),
    Case("noise", wrapped(lambda s, x: s.n(x + 0.01 * torch.randn_like(x))), "stochastic"),
    Case("numpy-noise", wrapped(lambda s, x: s.n(x) + float(np.random.normal())), "stochastic"),  # noqa: NPY002
    Case("running-state", wrapped(counting), "stochastic"),
    Case("variational", lambda: Wrap(lambda s, x: torch.distributions.Normal(s.n(x), 0.1).rsample(), n=mlp(nn.Tanh)), "stochastic"),
    Case("sqrt-at-0", lambda: torch.sqrt, "non-finite", x=points(0, 0.3, 0.5, 0.7, 1.0)),
    Case("norm-at-0", lambda: lambda x: x.norm(dim=-1, keepdim=True), "non-finite", x=torch.tensor([[0.0, 0], [1, 2], [0.3, 0.4]])),
    Case("power-at-0", lambda: lambda x: x.abs() ** 1.5, "non-finite", x=points(-0.5, 0, 0.3, 0.5, 1.0)),
    Case("where-nan", lambda: lambda x: torch.where(x > 0, torch.sqrt(x), x), "non-finite", x=points(-0.5, -0.2, 0.3, 0.5, 1.0)),
    Case("log-of-negative", lambda: torch.log, "non-finite", x=uniform(24, 1)),
    Case("division-by-0", lambda: lambda x: torch.sin(x) / x, "non-finite", x=points(-0.5, 0, 0.3, 0.5, 1.0)),
    Case("overflow", lambda: lambda x: torch.exp(x), "non-finite", x=uniform(24, 1, low=0, high=2000)),
    Case("cdist", lambda: Wrap(lambda s, x: torch.exp(-torch.cdist(x[:, None], s.c[None].expand(len(x), -1, -1))[:, 0]).sum(-1, keepdim=True), c=torch.randn(5, 2)), "no-derivative", x=D2),
    Case("hardsigmoid-smooth", tail(nn.Hardsigmoid()), "no-derivative", x=uniform(24, 1, low=-2, high=2)),
]  # fmt: skip
