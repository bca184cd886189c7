"""Ways in which models come: compiled, frozen, half precise, closed over, under no_grad, with the wrong output."""

# ruff: noqa: E501  the tables hold one case a line

import threading
from functools import partial

import lightning
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from zoo.case import Case, Wrap, differences, mlp, points, uniform
from zoo.smooth import Siren

D2 = uniform(24, 2)


class Module(lightning.LightningModule):
    def __init__(self, scale=None):
        super().__init__()
        self.network = mlp(nn.Tanh)
        self.scale = scale

    def forward(self, x):
        return self.network(x)

    def values(self, x):
        return {"y": self(x)}["y"]

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch if self.scale is None else [part * self.scale for part in batch]


class Callable:
    """Somebody's own class, no module."""

    def __init__(self):
        self.network, self.scale = mlp(nn.SiLU), torch.tensor(2.0)

    def __call__(self, x):
        return self.scale * self.network(x)


class Locked(nn.Module):
    """Cannot be copied or pickled."""

    def __init__(self):
        super().__init__()
        self.network, self.lock = mlp(nn.SiLU), threading.Lock()

    def forward(self, x):
        with self.lock:
            return self.network(x)


class Cached(nn.Module):
    """Makes a table at the first call, as rotary embeddings do."""

    def __init__(self):
        super().__init__()
        self.network, self.table = mlp(nn.SiLU), None

    def forward(self, x):
        if self.table is None:
            self.table = torch.linspace(0.5, 1.5, 1, dtype=x.dtype)
        return self.network(x * self.table)


def closing_over_tensors(dtype=torch.float32):
    weight, offset = torch.randn(2, 4).to(dtype), torch.randn(4).to(dtype)
    return lambda x: torch.tanh(x @ weight + offset).sum(-1)


def checkpointed(reentrant):
    return lambda: Wrap(lambda s, x: checkpoint(s.n, x, use_reentrant=reentrant), n=mlp(nn.Tanh))


def compiled_part():
    net = mlp(nn.Tanh)
    return nn.Sequential(torch.compile(net[:3], backend="eager"), net[3:]).eval()


def compiled_in_place():
    net = Module()
    net.compile(backend="eager")
    return net.eval()


def untouched():
    net = mlp(nn.Tanh)
    net(torch.ones(3, 1)).sum().backward()
    return net


def quantised():
    return torch.ao.quantization.quantize_dynamic(mlp(nn.Tanh, width=32), {nn.Linear})


def double_inside(x):
    return torch.sin(3 * x.float()).double()


def functional(self, x):
    return torch.func.functional_call(self.n, {k: v * 2 for k, v in self.n.named_parameters()}, (x,))


def vmapped(self, x):
    return torch.vmap(self.n)(x)


def _autocast(self, x):
    with torch.autocast("cpu", torch.bfloat16):
        return self.n(x).to(x.dtype)


def _seeded(x, build=lambda dtype: mlp(nn.Tanh).to(dtype)):
    """The same model, made in float64, where a twin cannot be turned into it."""
    torch.manual_seed(0)
    return differences(build(torch.float64), x, 0.02, 2)


CASES = [
    Case("compiled", lambda: torch.compile(mlp(nn.Tanh), backend="eager"), truth=_seeded),
    Case("compiled-part", compiled_part),
    Case("compiled-in-place", compiled_in_place),
    Case("scripted", lambda: torch.jit.script(mlp(nn.Tanh))),
    Case("traced", lambda: torch.jit.trace(mlp(nn.Tanh), torch.ones(2, 1))),
    Case("checkpointed", checkpointed(False)),
    Case("checkpointed-reentrant", checkpointed(True), "no-derivative"),
    Case("frozen", lambda: mlp(nn.Tanh).requires_grad_(False)),
    Case("with-gradients", untouched),
    Case("float64", lambda: mlp(nn.Tanh).double(), x=uniform(24, 1).double()),
    Case("lightning-module", lambda: Module().eval()),
    Case("lightning-method", lambda: Module().eval().values),
    Case("callable-object", Callable),
    Case("partial", lambda: partial(torch.sub, torch.ones(1), alpha=2)),
    Case("closure-over-tensors", closing_over_tensors, x=D2, truth=lambda x: _seeded(x, closing_over_tensors)),
    Case("not-copyable", lambda: Locked().eval()),
    Case("lazy-cache", lambda: Cached().eval()),
    Case("functional-call", lambda: Wrap(functional, n=mlp(nn.Tanh))),
    Case("vmap-inside", lambda: Wrap(vmapped, n=mlp(nn.Tanh))),
    Case("no-grad-outside", lambda: mlp(nn.Tanh), around=torch.no_grad),
    Case("inference-mode-outside", lambda: mlp(nn.Tanh), around=torch.inference_mode),
    Case("autocast-outside", lambda: mlp(nn.Tanh), around=lambda: torch.autocast("cpu", torch.bfloat16)),
    Case("autocast-inside", lambda: Wrap(lambda s, x: _autocast(s, x), n=mlp(nn.Tanh)), "dtype"),
    Case("bfloat16", lambda: mlp(nn.Tanh).bfloat16(), "dtype", x=uniform(24, 1).bfloat16()),
    Case("float16", lambda: mlp(nn.Tanh).half(), x=uniform(24, 1).half()),
    Case("half-weights-float-points", lambda: mlp(nn.Tanh).half(), "fails"),
    Case("bfloat16-inside", lambda: lambda x: torch.sin(x.bfloat16()).to(x.dtype) + x**2, "dtype"),
    Case("timestamps", lambda: lambda x: torch.sin(x * 7.27e-4), "dtype", x=1.7e9 + 5000 * uniform(24, 1), step=300),
    Case("cancellation", lambda: lambda x: (1e6 + torch.sin(x)) - 1e6, "dtype"),
    Case("dynamic-int8", quantised, "cross-sample"),
    Case("raw-inputs", lambda: mlp(nn.Tanh), "scaling", x=uniform(24, 1, low=-50, high=50)),
    Case("tiny-inputs", lambda: mlp(nn.Tanh), "scaling", x=1e-4 * uniform(24, 1)),
    Case("clipped", lambda: nn.Sequential(*mlp(nn.Tanh), nn.ReLU()).eval(), "clipped", x=uniform(24, 1, low=-3, high=3)),
    Case("collapsed", lambda: Wrap(lambda s, x: s.n(x) * 0 + 3, n=mlp(nn.Tanh)), "constant"),
    Case("batch-transfer-hook", lambda: Module(scale=0.02).eval(), "input-transform"),
    Case("siren-far-out", lambda: Siren(1).eval(), "scaling", x=uniform(24, 1, low=-1000, high=1000)),
    Case("tuple-output", lambda: Wrap(lambda s, x: (s.n(x), x), n=mlp(nn.Tanh)), "output-type"),
    Case("dict-output", lambda: Wrap(lambda s, x: {"y": s.n(x)}, n=mlp(nn.Tanh)), "output-type"),
    Case("none-output", lambda: lambda x: None, "output-type"),
    Case("integer-output", lambda: lambda x: (x * 5).long(), "output-type"),
    Case("complex-output", lambda: lambda x: torch.exp(1j * x), "output-type"),
    Case("scalar-output", lambda: lambda x: x.square().mean(), "output-shape"),
    Case("lstm-alone", lambda: nn.LSTM(2, 3), "output-type", x=D2),
    Case("wrong-width", lambda: mlp(nn.Tanh, 3), "fails"),
    Case("forward-raises", lambda: Wrap(lambda s, x: x.foo(), n=mlp(nn.Tanh)), "fails"),
    Case("lazy-layer", lambda: nn.Sequential(nn.LazyLinear(4), nn.Tanh()).eval(), "uninitialised"),
    Case("integer-points", lambda: mlp(nn.Tanh), "TypeError", x=torch.arange(5)[:, None]),
    Case("no-points", lambda: mlp(nn.Tanh), "ValueError", x=torch.ones(0, 1)),
    Case("one-point", lambda: mlp(nn.Tanh), x=points(0.3)),
    Case("linear", lambda: nn.Linear(2, 3).eval(), x=D2),
    Case("affine-deep", lambda: nn.Sequential(nn.Linear(2, 8), nn.Identity(), nn.Linear(8, 1)).eval(), x=D2),
    Case("order-1", lambda: mlp(nn.Tanh), order=1),
    Case("order-1-relu", lambda: mlp(nn.ReLU), "piecewise-linear", x=uniform(24, 1, low=-2, high=2), order=1),
    Case("one-axis", lambda: lambda x: torch.sin(x), x=uniform(24)),
]  # fmt: skip
