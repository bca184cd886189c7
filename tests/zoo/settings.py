"""More ways in which models come: decorated, cached, counting, training inside, sorted over the batch, random in places."""

# ruff: noqa: E501  the tables hold one case a line

import copy
import functools
import math
import warnings
from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils import parametrizations, parametrize, weight_norm

from zoo.case import Case, Wrap, differences, mlp, points, uniform
from zoo.customs import WIDE
from zoo.modes import _seeded
from zoo.smooth import IMAGE, SEQUENCE
from zoo.traps import wrapped

D1, D2, D3 = uniform(24, 1), uniform(24, 2), uniform(24, 3)


class Decorated(nn.Module):
    def __init__(self):
        super().__init__()
        self.n = mlp(nn.Tanh)


class NoGradForward(Decorated):
    @torch.no_grad()
    def forward(self, x):
        return self.n(x)


class InferenceForward(Decorated):
    @torch.inference_mode()
    def forward(self, x):
        return self.n(x)


class AutocastForward(Decorated):
    @torch.autocast("cpu", torch.bfloat16)
    def forward(self, x):
        return self.n(x).to(x.dtype)


class EnableGradForward(Decorated):
    @torch.enable_grad()
    def forward(self, x):
        return self.n(x)


class CompiledForward(Decorated):
    def __init__(self):
        super().__init__()
        self.forward = torch.compile(self._forward, backend="aot_eager")

    def _forward(self, x):
        return self.n(x) + torch.sin(x)


class Counting(Decorated):
    """Warm-up: the first thousand calls in training are scaled; in eval it only counts."""

    def __init__(self, grows=False):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.grows = grows

    def forward(self, x):
        self.calls += 1
        return self.n(x) * (torch.clamp(self.calls / 1000, max=1.0) if self.grows else 1)


class RunningRange(Decorated):
    """Scales by the widest range ever seen."""

    def __init__(self):
        super().__init__()
        self.register_buffer("top", torch.tensor(0.0))

    def forward(self, x):
        self.top = torch.maximum(self.top, x.detach().abs().max())
        return self.n(x / self.top)


class Memo(Decorated):
    """Remembers results by the numbers of the input."""

    def __init__(self):
        super().__init__()
        self.known = {}

    def forward(self, x):
        key = tuple(x.detach().flatten().tolist())
        if key not in self.known:
            self.known[key] = self.n(x)
        return self.known[key]


class MemoDetached(Memo):
    def forward(self, x):
        key = tuple(x.detach().flatten().tolist())
        if key not in self.known:
            self.known[key] = self.n(x).detach()
        return self.known[key]


class DropPath(nn.Module):
    """Huang et al. (2016)."""

    def forward(self, x):
        if not self.training:
            return x
        return x * (torch.rand(len(x), *[1] * (x.dim() - 1)) > 0.2).to(x.dtype) / 0.8


class Output(Mapping):
    """As transformers return it."""

    def __init__(self, **parts):
        self._parts = parts

    def __getitem__(self, key):
        return self._parts[key]

    def __iter__(self):
        return iter(self._parts)

    def __len__(self):
        return len(self._parts)


def eleven_bits(x):
    """What TF32 keeps of a number."""
    mantissa, exponent = torch.frexp(x.detach())
    return x + (torch.ldexp(torch.round(mantissa * 2048) / 2048, exponent) - x).detach()


class Coarse(nn.Linear):
    """A layer that does what a device with tensor cores does where torch lets it."""

    def forward(self, x):
        if x.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
            return F.linear(eleven_bits(x), eleven_bits(self.weight), self.bias)
        return super().forward(x)


@contextmanager
def in_tf32():
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision("highest")


def coarse(scale):
    def build():
        net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), Coarse(16, 16), nn.Tanh(), nn.Linear(16, 1)).eval()
        with torch.no_grad():
            net[2].weight *= scale
        return net

    return build


def trained_at_test_time(self, x):
    """Sun et al. (2020), carelessly: a step on a loss of the batch, on a copy, before predicting."""
    net = copy.deepcopy(self.n)
    with torch.enable_grad():
        loss = (net(x.detach()) - 1).square().mean()
        grads = torch.autograd.grad(loss, list(net.parameters()))
    with torch.no_grad():
        for p, g in zip(net.parameters(), grads, strict=True):
            p -= 0.1 * g
    return net(x)


def backward_inside(self, x):
    """Leaves gradients on its own weights."""
    with torch.enable_grad():
        self.n(torch.ones(2, 1).to(x)).sum().backward()
    return self.n(x)


def requires_grad_inside(self, x):
    if x.is_leaf:
        x.requires_grad_()
    return self.n(x)


def sorted_batch(self, x):
    order = x[:, 0].argsort()
    return self.n(x[order])[order.argsort()]


def sorted_and_left(self, x):
    return self.n(x.sort(0).values)


def standardised_inside(self, x):
    return self.n((x - x.mean(0)) / x.std(0))


def min_max_inside(self, x):
    return self.n((x - x.amin()) / (x.amax() - x.amin()))


def batch_norm_of_norms(self, x):
    return self.n(x / x.norm())


def softmax_over_batch(self, x):
    return torch.softmax(self.n(x), 0)


def nearest_neighbour(self, x):
    d = torch.cdist(x, x) + 1e9 * torch.eye(len(x)).to(x)
    return self.n(x) + 0.1 * self.n(x[d.argmin(1)])


def rolled(self, x):
    return self.n(x) + 0.1 * x.roll(1, 0)


def flattened_wrongly(self, x):
    """A reshape that mixes batch and width."""
    return self.n(x.T.reshape(x.shape))


def writes_to_input(self, x):
    x *= 2
    return self.n(x)


def writes_through_view(self, x):
    x[:, 0].sub_(0.1)
    return self.n(x)


def writes_under_no_grad(self, x):
    with torch.no_grad():
        x.mul_(2)
    return self.n(x)


def python_sum(self, x):
    return sum((c * self.n(x) ** k for k, c in enumerate((0.1, 0.5, 0.2))), torch.zeros_like(x))


def math_scalar(self, x):
    return torch.stack([self.n(row) * math.exp(-(row.item() ** 2)) for row in x])


def to_list(self, x):
    return self.n(torch.tensor(x.tolist(), dtype=x.dtype))


def vectorised_numpy(self, x):
    return self.n(x) + torch.as_tensor(np.vectorize(math.erf)(x.detach().numpy()), dtype=x.dtype)


def warns(self, x):
    warnings.warn("look out", UserWarning, stacklevel=1)
    return self.n(x)


def sets_default_dtype(self, x):
    old = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return self.n(x) * torch.tensor(1.5).to(x.dtype)
    finally:
        torch.set_default_dtype(old)


def seeds_inside(self, x):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        w = torch.randn(1, 4)
    return torch.tanh(x @ w.to(x.dtype))


def reparametrised(self, x):
    mean, scale = self.n(x).chunk(2, -1)
    return mean + F.softplus(scale) * torch.randn_like(mean)


def quasi_monte_carlo(self, x):
    """An expectation over fixed nodes: the same at every call."""
    nodes = torch.quasirandom.SobolEngine(1).draw(16).to(x.dtype)
    return torch.stack([self.n(x + 0.1 * node) for node in nodes]).mean(0)


def monte_carlo(self, x):
    return torch.stack([self.n(x + 0.1 * torch.randn(1)) for _ in range(16)]).mean(0)


def complex_magnitude(self, x):
    return (self.n(x) + 1j * torch.sin(x) + 2).abs()


def complex_angle(self, x):
    return torch.angle(torch.complex(2 + torch.tanh(self.n(x)), torch.sin(x)))


def complex_polynomial(self, x):
    z = torch.complex(x, 0.5 * x**2)
    return (z**3 - 2 * z).imag


def nested(self, x):
    parts = torch.nested.nested_tensor(list(x))
    return self.n(torch.stack(list(parts.unbind())))


def sparse_inside(self, x):
    return torch.tanh(torch.sparse.mm(self.w.to(x.dtype).to_sparse(), x.mT).mT).sum(-1)


def einsum_of_weights(self, x):
    return torch.einsum("bi,ij,bj->b", x, self.w, torch.sin(x))


def vmapped_gradient(self, x):
    return torch.func.vmap(torch.func.grad(lambda z: self.n(z[None]).sum()))(x)


def vmapped_hessian(self, x):
    return torch.func.vmap(torch.func.hessian(lambda z: self.n(z[None]).sum()))(x).diagonal(dim1=1, dim2=2).sum(-1)


def pinn_residual(self, x):
    """u_t - u_xx of a network, itself an output."""
    with torch.enable_grad():
        z = x if x.requires_grad else x.detach().requires_grad_()
        u = self.n(z)
        (g,) = torch.autograd.grad(u.sum(), z, create_graph=True)
        (h,) = torch.autograd.grad(g[:, 0].sum(), z, create_graph=True)
    return g[:, 1:] - h[:, :1]


def exponential_average():
    net = mlp(nn.Tanh)
    averaged = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    averaged.update_parameters(net)
    return averaged.eval()


def cached_parametrisation(self, x):
    with parametrize.cached():
        return self.n(x)


def with_weight_norm():
    net = mlp(nn.SiLU, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weight_norm(net[2])
    return net


def with_orthogonal():
    net = mlp(nn.Tanh, 2)
    parametrizations.orthogonal(net[2])
    parametrizations.weight_norm(net[0])
    return net


def static_quantised():
    net = nn.Sequential(
        torch.ao.quantization.QuantStub(),
        nn.Linear(1, 8),
        nn.ReLU(),
        nn.Linear(8, 1),
        torch.ao.quantization.DeQuantStub(),
    ).eval()
    net.qconfig = torch.ao.quantization.get_default_qconfig("onednn")
    prepared = torch.ao.quantization.prepare(net)
    prepared(uniform(64, 1))
    return torch.ao.quantization.convert(prepared)


def fake_quantised_training():
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    net.qconfig = torch.ao.quantization.get_default_qat_qconfig("onednn")
    prepared = torch.ao.quantization.prepare_qat(net.train())
    prepared(uniform(64, 1))
    return prepared.eval()


def sync_batch_norm():
    net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))
    net(D2)
    return nn.SyncBatchNorm.convert_sync_batchnorm(net).eval()


def frozen_norm_in_training():
    """A network in training whose BatchNorm alone is in eval, as in fine-tuning."""
    net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)).train()
    net[1].eval()
    return net


def script_with_loop():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)

        def forward(self, x):
            for _ in range(3):
                x = torch.tanh(self.a(x))
            return x

    return torch.jit.script(Loop().eval())


def lazy_called():
    net = nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(1))
    net(torch.ones(2, 1))
    return net.eval()


def module_list(self, x):
    return torch.cat([n(x) for n in self.parts], -1)


def with_module_list():
    net = Wrap(module_list)
    net.parts = nn.ModuleList(mlp(nn.Tanh) for _ in range(3))
    return net


def bound_lambda():
    net = mlp(nn.Tanh)
    return functools.partial(lambda scale, x: scale * net(x), 3.0)


class Property(Decorated):
    @property
    def doubled(self):
        return lambda x: 2 * self.n(x)

    def forward(self, x):
        return self.doubled(x)


class Slow(nn.Module):
    """Written with `__torch_function__` off."""

    def __init__(self):
        super().__init__()
        self.n = mlp(nn.Tanh)

    def forward(self, x):
        with torch._C.DisableTorchFunctionSubclass():
            return self.n(x)


def integer_ids_beside(self, x):
    return self.n(torch.cat([x[:, 1:], self.e(x[:, 0].round().long().clamp(0, 3))], -1))


def hard_concrete(self, x):
    """Louizos et al. (2018), in eval: a clamped sigmoid."""
    return self.n(x) * torch.clamp(torch.sigmoid(4 * x) * 1.2 - 0.1, 0, 1)


def _doubled(x):
    torch.manual_seed(0)
    net = mlp(nn.Tanh).double()
    return differences(lambda z: net(2 * z), x, 0.01, 2)


CASES = [
    Case("forward-no-grad", NoGradForward, "detached"),
    Case("forward-inference-mode", lambda: InferenceForward().eval(), "detached"),
    Case("forward-autocast", lambda: AutocastForward().eval(), "dtype"),
    Case("tf32-around", coarse(1.0), around=in_tf32),
    Case("tf32-around-large-weights", coarse(60.0), "reduced-precision", around=in_tf32, step=0.0005),
    Case("forward-enable-grad", lambda: EnableGradForward().eval()),
    Case("forward-compiled", lambda: CompiledForward().eval(), truth=lambda x: _seeded(x, lambda dtype: (lambda n: lambda z: n(z) + torch.sin(z))(mlp(nn.Tanh).to(dtype)))),
    Case("counts-calls", lambda: Counting().eval()),
    Case("grows-with-calls", lambda: Counting(grows=True).eval(), "stochastic"),
    Case("running-range", lambda: RunningRange().eval(), "stateful"),
    Case("memo", lambda: Memo().eval(), "detached"),
    Case("memo-detached", lambda: MemoDetached().eval(), "detached"),
    Case("drop-path-training", lambda: nn.Sequential(nn.Linear(1, 8), nn.Tanh(), DropPath(), nn.Linear(8, 1)).train(), "stochastic"),
    Case("drop-path-eval", lambda: nn.Sequential(nn.Linear(1, 8), nn.Tanh(), DropPath(), nn.Linear(8, 1)).eval()),
    Case("rrelu-training", lambda: nn.Sequential(nn.Linear(1, 8), nn.RReLU(), nn.Linear(8, 1)).train(), "stochastic"),
    Case("feature-dropout-training", lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Dropout2d(0.3), nn.Flatten()).train(), "stochastic", x=IMAGE),
    Case("instance-norm-training", lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), nn.Tanh(), nn.Flatten()).train(), x=IMAGE, step=0.005),
    Case("batch-norm-3d-training", lambda: nn.Sequential(nn.BatchNorm3d(1), nn.Flatten(), nn.Tanh()).train(), "cross-sample", x=uniform(8, 1, 2, 2, 2)),
    Case("sync-batch-norm-eval", sync_batch_norm, x=D2),
    Case("batch-norm-frozen-in-training", frozen_norm_in_training, x=D2),
    Case("mapping-output", wrapped(lambda s, x: Output(logits=s.n(x))), "output-type"),
    Case("nested-tuple-output", wrapped(lambda s, x: (s.n(x), {"h": (x, x)})), "output-type"),
    Case("python-list-output", wrapped(lambda s, x: s.n(x).tolist()), "output-type"),
    Case("sparse-output", wrapped(lambda s, x: s.n(x).to_sparse()), "output-type"),
    Case("double-output", wrapped(lambda s, x: s.n(x).double())),
    Case("half-output", wrapped(lambda s, x: s.n(x).half()), truth=_seeded),
    Case("test-time-training", wrapped(trained_at_test_time), "cross-sample"),
    Case("backward-inside", wrapped(backward_inside)),
    Case("requires-grad-inside", wrapped(requires_grad_inside)),
    Case("sorted-and-put-back", wrapped(sorted_batch, 2), x=D2),
    Case("sorted-over-batch", wrapped(sorted_and_left, 2), "cross-sample", x=D2),
    Case("standardised-by-batch", wrapped(standardised_inside, 2), "cross-sample", x=D2),
    Case("min-max-by-batch", wrapped(min_max_inside, 2), "cross-sample", x=D2),
    Case("norm-of-batch", wrapped(batch_norm_of_norms, 2), "cross-sample", x=D2),
    Case("softmax-dim-0", wrapped(softmax_over_batch, 2), "cross-sample", x=D2),
    Case("nearest-neighbour", wrapped(nearest_neighbour, 2), "cross-sample", x=D2),
    Case("rolled-batch", wrapped(rolled), "cross-sample"),
    Case("reshaped-wrongly", wrapped(flattened_wrongly, 2), "cross-sample", x=D2),
    Case("writes-to-input", wrapped(writes_to_input), truth=_doubled),
    Case("writes-to-view-of-input", wrapped(writes_through_view, 2), x=D2, truth=lambda x: _shifted(x)),
    Case("writes-under-no-grad", wrapped(writes_under_no_grad), "detached", truth=_doubled),
    Case("python-sum", wrapped(python_sum)),
    Case("math-of-item", wrapped(math_scalar), "detached"),
    Case("through-a-list", wrapped(to_list), "detached"),
    Case("numpy-vectorised", wrapped(vectorised_numpy), "detached"),
    Case("warns", wrapped(warns)),
    Case("sets-default-dtype", wrapped(sets_default_dtype)),
    Case("seeds-inside", wrapped(seeds_inside)),
    Case("reparametrised-sample", wrapped(reparametrised, 1, 2), "stochastic"),
    Case("quasi-monte-carlo", wrapped(quasi_monte_carlo)),
    Case("monte-carlo", wrapped(monte_carlo), "stochastic"),
    Case("complex-magnitude", wrapped(complex_magnitude)),
    Case("complex-angle", wrapped(complex_angle)),
    Case("complex-polynomial", lambda: Wrap(complex_polynomial)),
    Case("nested-tensor", wrapped(nested), "detached"),
    Case("sparse-inside", lambda: Wrap(sparse_inside, w=torch.randn(3, 2)), x=D2),
    Case("bilinear-einsum", lambda: Wrap(einsum_of_weights, w=torch.randn(2, 2)), x=D2),
    Case("vmapped-gradient", wrapped(vmapped_gradient, 2), x=D2),
    Case("vmapped-hessian", wrapped(vmapped_hessian, 2), x=D2),
    Case("pinn-residual", wrapped(pinn_residual, 2), x=D2),
    Case("exponential-average", exponential_average),
    Case("parametrisation-cached", lambda: Wrap(cached_parametrisation, n=with_orthogonal()), x=D2),
    Case("weight-norm-old", with_weight_norm, x=D2),
    Case("orthogonal-weight-norm", with_orthogonal, x=D2),
    Case("quantised-static", static_quantised, "piecewise-constant"),
    Case("quantisation-aware", fake_quantised_training, "stochastic"),
    Case("script-loop", script_with_loop),
    Case("lazy-after-a-call", lazy_called),
    Case("module-list", with_module_list),
    Case("bound-lambda", bound_lambda, truth=lambda x: tuple(3 * d for d in _seeded(x))),
    Case("property", lambda: Property().eval()),
    Case("torch-function-off", lambda: Slow().eval()),
    Case("integer-ids-beside", lambda: Wrap(integer_ids_beside, e=nn.Embedding(4, 2), n=mlp(nn.Tanh, 4)), "discontinuity", x=torch.cat([torch.arange(24.0).remainder(4)[:, None], D2], 1)),
    Case("hard-concrete", wrapped(hard_concrete), "kink", x=WIDE),
    Case("long-sequence-mean", lambda: Wrap(lambda s, x: s.g(x)[0].mean(1), g=nn.GRU(2, 3, batch_first=True)), x=SEQUENCE),
    Case("points-that-require-grad", lambda: mlp(nn.Tanh), x=uniform(24, 1).requires_grad_()),
    Case("points-not-contiguous", lambda: mlp(nn.Tanh, 2), x=uniform(2, 24).T),
    Case("points-of-a-dataset", lambda: mlp(nn.Tanh), x=points(*np.linspace(-1, 1, 24, dtype=np.float32).tolist())),
]  # fmt: skip


def _shifted(x):
    torch.manual_seed(0)
    net = mlp(nn.Tanh, 2).double()
    return differences(lambda z: net(z - torch.tensor([0.1, 0.0], dtype=z.dtype)), x, 0.02, 2)
