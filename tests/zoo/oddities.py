"""Odd user code: state, caches, branches, numpy, in-place writes, special points, extreme scales."""

# ruff: noqa: E501  the tables hold one case a line

import functools
import math
import random
import time
from collections import deque, namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils import parametrizations, prune

from zoo.architectures import resnet
from zoo.case import Case, Wrap, differences, mlp, points, uniform
from zoo.modes import _seeded
from zoo.smooth import IMAGE, SEQUENCE
from zoo.traps import wrapped

D2 = uniform(24, 2)
WIDE = uniform(24, 1, low=-2, high=2)
KNOWN = uniform(24, 1)
COUNTER = {"calls": 0}
Pair = namedtuple("Pair", "y extra")


@dataclass
class Prediction:
    y: torch.Tensor


def python_sine(self, x):
    return self.n(x) + torch.tensor([[math.sin(float(row))] for row in x], dtype=x.dtype)


def listed(self, x):
    return torch.stack([self.n(row) for row in x])


def sample_branch(self, x):
    return torch.stack([self.n(row) if row.item() > 0.2 else torch.sin(row) for row in x])


def data_write(self, x):
    y = self.n(x)
    y.data.mul_(2)
    return y


def buffered(self, x):
    self.buffer[: len(x)] = self.n(x)
    return self.buffer[: len(x)] * 1


def filled(self, x):
    y = torch.zeros(len(x), 2)
    y[:, 0] = self.n(x)[:, 0]
    y[:, 1] = x[:, 0] ** 3
    return y


def filled_like(self, x):
    y = torch.empty_like(x)
    for i in range(len(x)):
        y[i] = self.n(x[i])
    return y


def leaves_gradients_off(self, x):
    y = self.n(x)
    torch.set_grad_enabled(False)
    return y


def observed(self, x):
    """Hard where no gradient is asked for, soft where one is."""
    y = self.n(x)
    return torch.sigmoid(5 * y) if torch.is_grad_enabled() and y.requires_grad else (y > 0).to(x.dtype)


def asks_for_gradients(self, x):
    return torch.sigmoid(5 * self.n(x)) if torch.is_grad_enabled() else torch.tanh(self.n(x))


def told_by_type(self, x):
    return self.n(x) if type(x) is torch.Tensor else 2 * self.n(x)


def insists(self, x):
    assert isinstance(x, torch.Tensor)
    return self.n(x)


def seeded_noise(self, x):
    torch.manual_seed(5)
    return self.n(x) + 0.1 * torch.randn_like(x)


def own_generator(self, x):
    return self.n(x) + 0.1 * torch.randn(x.shape, generator=self.generator, dtype=x.dtype)


def with_generator():
    net = Wrap(own_generator, n=mlp(nn.Tanh))
    net.generator = torch.Generator().manual_seed(1)
    return net


def global_count(self, x):
    COUNTER["calls"] += 1
    return self.n(x) + 0.01 * COUNTER["calls"]


def first_call_differs(self, x):
    if not hasattr(self, "mean"):
        self.mean = x.mean(0)
    return self.n(x - self.mean)


def momentum(self, x):
    self.average = 0.9 * self.average + 0.1 * x.mean(0)
    return self.n(x - self.average)


def drifting_weights(self, x):
    with torch.no_grad():
        self.n[0].weight.add_(0.01)
    return self.n(x)


def max_norm(self, x):
    with torch.no_grad():
        self.n[0].weight.copy_(F.normalize(self.n[0].weight, dim=1))
    return self.n(x)


def threaded(self, x):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(self.n, x).result()


def converging(self, x):
    """Iterates until the whole batch has converged, to three digits."""
    z = torch.zeros_like(x)
    for _ in range(100):
        new = 0.8 * torch.tanh(z + x)
        if (new - z).abs().max() < 1e-3:
            break
        z = new
    return new


def scripted_branch():
    @torch.jit.script
    def clip(x: torch.Tensor):
        if x.dim() == 2:
            return torch.tanh(x)
        return x

    return lambda x: clip(x) * 2


def spectral_training():
    net = mlp(nn.Tanh, 2)
    parametrizations.spectral_norm(net[0])
    return net.train()


def pruned():
    net = mlp(nn.Tanh, 2)
    prune.l1_unstructured(net[0], "weight", 0.4)
    return net


def sparse_weight(layout):
    def build():
        weight = (torch.eye(4) + torch.diag(torch.ones(3), 1)).to_sparse(layout=layout)
        return lambda x: torch.tanh(torch.sparse.mm(weight.to(x.dtype), x.repeat(1, 4).mT).mT).sum(1)

    return build


def sparse_buffer(self, x):
    return torch.tanh(torch.sparse.mm(self.w, x.mT).mT)


class Slotted:
    """Keeps its network where vars() does not look."""

    __slots__ = ("net",)

    def __init__(self):
        self.net = mlp(nn.Tanh)

    def __call__(self, x):
        return self.net(x)


class Scaled(torch.Tensor):
    """A subclass of Tensor."""


class OwnCall(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(nn.SiLU)

    def __call__(self, x):
        return torch.sin(self.net(x))


class Holder:
    scale = torch.tensor(1.7)
    net = None

    @staticmethod
    def static(x):
        return torch.sin(x * Holder.scale)

    @classmethod
    def of_class(cls, x):
        return torch.cos(x * cls.scale)


def class_truth(function):
    return lambda x: _values(function, x)


def _values(name, x):
    s = float(Holder.scale)
    if name == "sin":
        return (x * s).sin(), s * (x * s).cos(), -(s**2) * (x * s).sin()
    return (x * s).cos(), -s * (x * s).sin(), -(s**2) * (x * s).cos()


def decorated():
    net = mlp(nn.Tanh)

    def twice(f):
        @functools.wraps(f)
        def inner(x):
            return 2 * f(x)

        return inner

    return twice(lambda x: net(x))


def parallel():
    return nn.DataParallel(mlp(nn.Tanh)).eval()


def fabricated():
    import lightning

    return lightning.Fabric(accelerator="cpu", devices=1).setup_module(mlp(nn.Tanh)).eval()


def on_meta():
    return mlp(nn.Tanh).to("meta")


def bfloat16_weights_cast(self, x):
    return torch.tanh(x @ self.w.to(x.dtype))


def logits_masked(self, x):
    """Attention of which one row sees nothing: softmax of -inf throughout."""
    mask = torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf]]).to(x)
    return torch.nan_to_num(torch.softmax(x[:, :, None] * x[:, None] + mask, -1)).sum((1, 2))


def half_masked(self, x):
    weights = torch.softmax(x[:, :, None] * x[:, None] + torch.tensor([[0.0, -torch.inf], [0, 0]]).to(x), -1)
    return (weights @ x[..., None]).sum((1, 2))


def checks_its_domain(self, x):
    if (x.abs() > 1).any():
        raise ValueError("outside of [-1, 1]")
    return self.n(x)


def knows_these_points_only(self, x):
    if not torch.isin(x.float(), KNOWN).all():
        raise ValueError("unknown point")
    return self.n(x)


def remembering():
    net = Wrap(lambda s, x: s.seen.append(x.mean()) or s.n(x), n=mlp(nn.Tanh))
    net.seen = deque(maxlen=3)
    return net


class LowRank(nn.Module):
    """Hu et al. (2022): merged into the weights by eval(), taken out again by train()."""

    def __init__(self):
        super().__init__()
        self.a, self.d, self.b = nn.Linear(1, 8), nn.Parameter(torch.randn(8, 1) * 0.3), nn.Linear(8, 1)
        self.merged = False

    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            self.a.weight.data += -self.d.data if mode else self.d.data
            self.merged = not mode
        return self

    def forward(self, x):
        weight = self.a.weight if self.merged else self.a.weight + self.d
        return self.b(torch.tanh(F.linear(x, weight, self.a.bias)))


class KeepsState(nn.Module):
    """A recurrent controller that goes on where the last call ended."""

    def __init__(self):
        super().__init__()
        self.cell, self.out, self.state = nn.GRUCell(1, 4), nn.Linear(4, 1), None

    def forward(self, x):
        if self.state is None or len(self.state) != len(x):
            self.state = torch.zeros(len(x), 4).to(x)
        self.state = self.cell(x, self.state)
        return self.out(self.state)


class FirstBatchCentred(nn.Module):
    """Kingma & Dhariwal (2018): means are taken from the first batch ever seen."""

    def __init__(self):
        super().__init__()
        self.n = mlp(nn.Tanh)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("ready", torch.tensor(False))

    def forward(self, x):
        if not self.ready:
            self.mean.copy_(x.mean(0))
            self.ready.fill_(True)
        return self.n(x - self.mean)


class HidesModules:
    """Not a module, but holds one in training mode."""

    def __init__(self):
        self.parts = {"net": nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))}


def forward_mode(self, x):
    with torch.autograd.forward_ad.dual_level():
        y = self.n(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))
        return torch.autograd.forward_ad.unpack_dual(y).tangent


def until_each_has_converged(self, x):
    z, active = torch.zeros_like(x), torch.ones(len(x), 1, dtype=torch.bool)
    for _ in range(40):
        new = 0.8 * torch.tanh(z + x)
        z, active = torch.where(active, new, z), active & ((new - z).abs() > 1e-2)
    return z


def mkldnn():
    from torch.utils.mkldnn import to_mkldnn

    net = to_mkldnn(nn.Sequential(nn.Linear(2, 3), nn.ReLU()).eval())
    return lambda x: net(x.to_mkldnn()).to_dense()


@torch.library.custom_op("zoo::sine", mutates_args=())
def operator_without_gradient(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(x)


@torch.library.custom_op("zoo::sine_with_gradient", mutates_args=())
def operator_with_gradient(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(x)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


operator_with_gradient.register_autograd(lambda c, g: g * torch.cos(c.saved_tensors[0]), setup_context=_save)


def mixed_dtypes(self, x):
    return self.n(x) * torch.tensor([1.5], dtype=torch.float64)


CASES = [
    Case("python-floats", wrapped(python_sine), "detached"),
    Case("loop-over-rows", wrapped(listed)),
    Case("branch-per-row", wrapped(sample_branch), "discontinuity"),
    Case("data-written", wrapped(data_write), "detached"),
    Case("numpy-on-graph", wrapped(lambda s, x: torch.from_numpy(np.sin(x.numpy())).to(x) + s.n(x)), "no-derivative"),
    Case("numpy-constants", lambda: lambda x: np.float64(2.0) * torch.sin(x) ** np.float32(2) + np.pi),
    Case("numpy-array-constant", lambda: lambda x: torch.sin(x) * torch.as_tensor(np.array([1.5]))),
    Case("numpy-interpolation", wrapped(lambda s, x: s.n(x) + torch.from_numpy(np.interp(x.detach(), [-1, 0, 1], [0, 1, 0])).to(x)), "detached"),
    Case("copy-constructed", wrapped(lambda s, x: s.n(x) + torch.sin(torch.tensor(x))), "detached"),
    Case("buffer-reused", lambda: Wrap(buffered, n=mlp(nn.Tanh), buffer=torch.zeros(500, 1))),
    Case("filled-in-place", wrapped(filled)),
    Case("filled-row-by-row", wrapped(filled_like)),
    Case("out-argument", wrapped(lambda s, x: torch.sin(s.n(x), out=torch.empty_like(x))), "fails"),
    Case("leaves-gradients-off", wrapped(leaves_gradients_off)),
    Case("observed", wrapped(observed), "grad-mode", x=WIDE),
    Case("observed-grad-mode", wrapped(asks_for_gradients), "grad-mode"),
    Case("told-by-type", wrapped(told_by_type)),
    Case("insists-on-tensors", wrapped(insists)),
    Case("seeded-noise", wrapped(seeded_noise), "cross-sample"),
    Case("own-generator", with_generator, "stochastic"),
    Case("python-random", wrapped(lambda s, x: s.n(x) + random.random()), "stochastic"),
    Case("time", wrapped(lambda s, x: s.n(x) + time.perf_counter() % 1), "stochastic"),
    Case("global-counter", wrapped(global_count), "stochastic"),
    Case("first-call-differs", wrapped(first_call_differs), "stateful"),
    Case("running-average", lambda: Wrap(momentum, n=mlp(nn.Tanh), average=torch.zeros(1)), "stochastic"),
    Case("drifting-weights", wrapped(drifting_weights), "stochastic"),
    Case("weights-renormalised", wrapped(max_norm, 2), x=D2, truth=lambda x: _normalised(x)),
    Case("thread", wrapped(threaded)),
    Case("converges-with-the-batch", lambda: Wrap(converging), "cross-sample"),
    Case("script-function", scripted_branch),
    Case("scripted-inside", lambda: nn.Sequential(torch.jit.script(mlp(nn.Tanh)), nn.Linear(1, 1)).eval()),
    Case("frozen-script", lambda: torch.jit.freeze(torch.jit.script(mlp(nn.Tanh))), truth=_seeded, tolerance=1e-4),
    Case("compiled-function", lambda: torch.compile(lambda x: torch.sin(x) * x, backend="aot_eager")),
    Case("spectral-norm-training", spectral_training, "stochastic", x=D2),
    Case("pruned", pruned, x=D2),
    Case("sparse-coo", sparse_weight(torch.sparse_coo), x=uniform(24, 1)),
    Case("sparse-csr", sparse_weight(torch.sparse_csr), x=uniform(24, 1)),
    Case("sparse-buffer", lambda: Wrap(sparse_buffer, w=torch.eye(2).to_sparse()), x=D2),
    Case("slots", Slotted, truth=_seeded),
    Case("own-call", lambda: OwnCall().eval()),
    Case("static-method", lambda: Holder.static, truth=class_truth("sin")),
    Case("class-method", lambda: Holder.of_class, truth=class_truth("cos")),
    Case("decorated", decorated, truth=lambda x: tuple(2 * d for d in _seeded(x))),
    Case("data-parallel", parallel),
    Case("fabric", fabricated),
    Case("meta-device", on_meta, "fails"),
    Case("tensor-subclass-points", lambda: mlp(nn.Tanh), x=uniform(24, 1).as_subclass(Scaled)),
    Case("parameter-points", lambda: mlp(nn.Tanh), x=nn.Parameter(uniform(24, 1))),
    Case("bfloat16-weights-cast", lambda: Wrap(bfloat16_weights_cast, w=torch.randn(1, 4).bfloat16())),
    Case("float64-constant", wrapped(mixed_dtypes)),
    Case("named-tuple-output", wrapped(lambda s, x: Pair(s.n(x), x)), "output-type"),
    Case("dataclass-output", wrapped(lambda s, x: Prediction(s.n(x))), "output-type"),
    Case("list-output", wrapped(lambda s, x: [s.n(x)]), "output-type"),
    Case("boolean-output", wrapped(lambda s, x: s.n(x) > 0), "output-type"),
    Case("numpy-output", wrapped(lambda s, x: s.n(x).detach().numpy()), "output-type"),
    Case("float-output", lambda: lambda x: 3.0, "output-type"),
    Case("empty-output", lambda: lambda x: x[:, :0], "output-shape"),
    Case("constant-tensor", lambda: lambda x: torch.ones(len(x), 1), "constant"),
    Case("parameter-output", lambda: Wrap(lambda s, x: s.w.expand(len(x), 1), w=nn.Parameter(torch.randn(1))), "constant"),
    Case("identity", lambda: nn.Identity()),
    Case("view-of-input", lambda: lambda x: x[:, :1], x=D2),
    Case("transposed-input", lambda: lambda x: x.mT, "output-shape", x=uniform(24, 2)),
    Case("input-returned-changed", lambda: lambda x: x.mul_(2).sin_()),
    Case("squeezed", wrapped(lambda s, x: s.n(x).squeeze()), "output-shape"),
    Case("numbers-of-1e30", lambda: lambda x: 1e30 * torch.sin(x), truth=lambda x: (1e30 * x.sin(), 1e30 * x.cos(), -1e30 * x.sin())),
    Case("numbers-of-1e-30", lambda: lambda x: 1e-30 * torch.sin(x), truth=lambda x: (1e-30 * x.sin(), 1e-30 * x.cos(), -1e-30 * x.sin()), tolerance=1e-5),
    Case("overflow-in-float32", lambda: lambda x: torch.sin(x) * 1e30 * (1e30 + x) * 1e-40, "dtype"),
    Case("points-of-1e30", lambda: lambda x: torch.sin(x * 1e-30), x=1e30 * uniform(24, 1), step=2e28),
    Case("frequency-1e5", lambda: lambda x: torch.sin(2 * torch.pi * 1e5 * x), "dtype", step=2e-7),
    Case("fourier-features-1e6", lambda: Wrap(lambda s, x: s.n(torch.cat([(1e6 * x).sin(), (1e6 * x).cos()], -1)), n=mlp(nn.Tanh, 2)), "dtype", step=1e-8),
    Case("log-at-0", lambda: lambda x: torch.log(x * x), "non-finite", x=points(-0.5, 0, 0.3, 1)),
    Case("entropy-at-0", lambda: lambda x: torch.special.entr(x), "non-finite", x=points(0.0, 0.2, 0.5, 0.9)),
    Case("x-log-x-at-0", lambda: lambda x: torch.xlogy(x, x), "non-finite", x=points(0.0, 0.2, 0.5, 0.9)),
    Case("acos-at-1", lambda: torch.acos, "non-finite", x=points(-1, -0.5, 0.2, 1)),
    Case("atan2-at-origin", lambda: lambda x: torch.atan2(x[:, 0], x[:, 1]), "non-finite", x=torch.tensor([[0.0, 0], [1, 2], [0.3, 0.4]])),
    Case("normalise-at-0", lambda: lambda x: x / x.norm(dim=-1, keepdim=True), "non-finite", x=torch.tensor([[0.0, 0], [1, 2], [0.3, 0.4]])),
    Case("softsqrt", lambda: lambda x: torch.sqrt(x * x + 1e-2), step=0.003),
    Case("power-0", lambda: lambda x: x**0 + x**1 + x**2.0, x=points(-0.5, 0, 0.3, 0.5)),
    Case("tensor-power-at-0", lambda: lambda x: torch.pow(x, torch.tensor([2.0, 3.0]).to(x)).sum(-1), x=points(-0.5, 0, 0.3, 0.5)),
    Case("everything-masked", lambda: Wrap(logits_masked), "non-finite", x=D2),
    Case("partly-masked", lambda: Wrap(half_masked), x=D2),
    Case("std-of-equal", lambda: lambda x: x.expand(-1, 3).std(-1) + x[:, 0]),
    Case("nan-points", lambda: mlp(nn.Tanh), "non-finite", x=points(0.1, float("nan"), 0.5)),
    Case("infinite-points", lambda: mlp(nn.Tanh), "non-finite", x=points(0.1, float("inf"), 0.5)),
    Case("top-k", wrapped(lambda s, x: s.n(x).topk(2).values.tanh().sum(-1), 1, 6), "kink", x=WIDE),
    Case("top-k-routing", lambda: Wrap(lambda s, x: torch.where(s.g(x) >= s.g(x).topk(1).values, s.e(x), 0).sum(-1), g=mlp(nn.Tanh, 1, 3), e=mlp(nn.Tanh, 1, 3)), "discontinuity", x=uniform(24, 1, low=-6, high=6)),
    Case("quantile", wrapped(lambda s, x: torch.quantile(s.n(x), 0.4, dim=-1).exp(), 1, 5), "kink", x=uniform(24, 1, low=-5, high=5)),
    Case("histogram", wrapped(lambda s, x: torch.stack([torch.histc(row, 4, -1, 1) for row in s.n(x)]), 1, 9), "piecewise-constant", x=WIDE),
    Case("frac", wrapped(lambda s, x: torch.frac(9 * s.n(x)).tanh()), "discontinuity", x=uniform(24, 1, low=-4, high=4)),
    Case("floor-divide", wrapped(lambda s, x: s.n(x + torch.floor_divide(x, 0.3))), "discontinuity"),
    Case("fmod", lambda: lambda x: torch.sin(torch.fmod(x, 0.7)), "discontinuity"),
    Case("table-linear", lambda: lambda x: _looked_up(x), "piecewise-linear"),
    Case("embedding-of-buckets", lambda: Wrap(lambda s, x: s.n(s.e(torch.bucketize(x[:, 0], torch.linspace(-1, 1, 9).to(x)))), e=nn.Embedding(10, 2), n=mlp(nn.Tanh, 2)), "piecewise-constant"),
    Case("embedding-and-smooth", lambda: Wrap(lambda s, x: s.n(torch.cat([s.e((x[:, 0] > 0).long()), x], -1)), e=nn.Embedding(2, 2), n=mlp(nn.Tanh, 3)), "discontinuity"),
    Case("boolean-mask-assignment", wrapped(lambda s, x: s.n(x).masked_fill(x > 0.5, 0.0)), "discontinuity"),
    Case("selected-rows-only", wrapped(lambda s, x: s.n(x[x[:, 0] > 0])), "output-shape"),
    Case("adaptive-max-pool", lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(12, 1)).eval(), "kink", x=IMAGE),
    Case("fractional-max-pool", lambda: nn.Sequential(nn.FractionalMaxPool2d(2, output_size=4), nn.Flatten()).eval(), "stochastic", x=IMAGE),
    Case("bicubic-sample", lambda: Wrap(lambda s, x: F.grid_sample(s.g.to(x.dtype).expand(len(x), -1, -1, -1), x[:, None, None], mode="bicubic", align_corners=True).flatten(1), g=torch.randn(1, 1, 5, 5)), "kink", x=uniform(48, 2)),
    Case("nearest-sample", lambda: Wrap(lambda s, x: F.grid_sample(s.g.to(x.dtype).expand(len(x), -1, -1, -1), x[:, None, None], mode="nearest", align_corners=True).flatten(1), g=torch.randn(1, 1, 5, 5)), "piecewise-constant", x=uniform(48, 2)),
    Case("linear-attention-elu", lambda: Wrap(lambda s, x: ((F.elu(s.q(x)) + 1) @ ((F.elu(s.k(x)) + 1).mT @ x)).sum(1), q=nn.Linear(2, 3), k=nn.Linear(2, 3)), "kink", x=3 * SEQUENCE),
    Case("relu-resnet", lambda: resnet(nn.ReLU), "piecewise-linear", x=IMAGE),
    Case("contrastive", wrapped(lambda s, x: torch.log_softmax(F.normalize(s.n(x), dim=-1) @ F.normalize(s.n(x), dim=-1).T, -1).diagonal(), 2, 3), "cross-sample", x=D2),
    Case("expert-capacity", wrapped(lambda s, x: s.n(x) * (torch.arange(len(x)) < 12)[:, None]), "cross-sample"),
    Case("batch-norm-momentum-none", lambda: nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8, momentum=None), nn.Tanh()).train(), "cross-sample", x=D2),
    Case("monte-carlo-dropout", wrapped(lambda s, x: torch.stack([F.dropout(s.n(x), 0.2, True) for _ in range(3)]).mean(0)), "stochastic"),
    Case("attention-dropout", lambda: Wrap(lambda s, x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.3), n=mlp(nn.Tanh)), "stochastic", x=SEQUENCE),
    Case("dropout-functional-always", wrapped(lambda s, x: s.n(F.alpha_dropout(x, 0.2, True))), "stochastic"),
    Case("trains-itself", wrapped(lambda s, x: s.train().n(x))),
    Case("zero-width", lambda: lambda x: x.sum(-1), "ValueError", x=torch.ones(3, 0)),
    Case("keyword-default", lambda: Wrap(lambda s, x, t=None: s.n(x) * (1 if t is None else t), n=mlp(nn.Tanh))),
    Case("uninitialised-batch-norm", lambda: nn.Sequential(nn.Linear(2, 3), nn.LazyBatchNorm1d()).eval(), "uninitialised", x=D2),
    Case("checks-its-domain", wrapped(checks_its_domain), truth=_seeded),
    Case("knows-these-points-only", wrapped(knows_these_points_only), "unverified", truth=_seeded),
    Case("nan-outside", wrapped(lambda s, x: torch.where(x.abs() <= 1, s.n(x), torch.nan)), truth=_seeded),
    Case("cholesky-near-its-end", lambda: lambda x: torch.linalg.cholesky(torch.diag_embed(x + 0.2)).diagonal(dim1=1, dim2=2), x=uniform(24, 2, low=-0.1, high=0.4), step=0.01),
    Case("remembers", remembering),
    Case("low-rank-merged-by-eval", LowRank),
    Case("low-rank-merged", lambda: LowRank().eval()),
    Case("keeps-state", lambda: KeepsState().eval(), "stochastic"),
    Case("first-batch-centred", lambda: FirstBatchCentred().eval(), "stateful"),
    Case("hidden-batch-norm", lambda: (lambda h: lambda x: h.parts["net"](x))(HidesModules()), "cross-sample", x=D2),
    Case("forward-mode-inside", wrapped(forward_mode, 2), x=D2),
    Case("stops-for-each-sample", lambda: Wrap(until_each_has_converged), "discontinuity"),
    Case("dequantised", wrapped(lambda s, x: s.n(torch.dequantize(torch.quantize_per_tensor(x.float(), 0.01, 0, torch.qint8)).to(x.dtype))), "piecewise-constant"),
    Case("float8-inside", wrapped(lambda s, x: s.n(x.to(torch.float8_e4m3fn).to(x.dtype))), "dtype"),
    Case("mkldnn", mkldnn, "no-derivative", x=D2),
    Case("operator-without-gradient", wrapped(lambda s, x: s.n(operator_without_gradient(x))), "no-derivative"),
    Case("operator-with-gradient", wrapped(lambda s, x: s.n(operator_with_gradient(x)))),
    Case("asked-for-no-graph", wrapped(lambda s, x: s.n(x) if x.grad_fn is None else 1 / 0), "no-derivative"),
    Case("looks-up-and-adds", wrapped(lambda s, x: s.n(x) + torch.linspace(0, 1, 101).to(x)[((x + 1) * 50).long().clamp(0, 100)]), "discontinuity"),
    Case("batch-norm-of-one-sample", lambda: nn.Sequential(nn.Linear(1, 3), nn.BatchNorm1d(3)), "train-mode", x=points(0.3)),
    Case("wants-two-arguments", lambda: nn.Bilinear(2, 2, 1).eval(), "fails", x=D2),
]  # fmt: skip


def _normalised(x):
    torch.manual_seed(0)
    net = mlp(nn.Tanh, 2).double()
    with torch.no_grad():
        net[0].weight.copy_(F.normalize(net[0].weight, dim=1))
    return differences(net, x, 0.02, 2)


def _looked_up(x):
    t, y = torch.linspace(-1, 1, 9).to(x), torch.tensor([0.0, 1, 0.5, 2, 1, 3, 0, 1, 2]).to(x)
    k = (torch.searchsorted(t, x.detach().contiguous()) - 1).clamp(0, 7)
    return y[k] + (y[k + 1] - y[k]) * (x - t[k]) / (t[k + 1] - t[k])
