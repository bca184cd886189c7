"""Corners: sharp but smooth, rough but differentiable, odd in shape, odd in how they are held."""

# ruff: noqa: E501  the tables hold one case a line

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from zoo.case import Case, Wrap, mlp, points, uniform
from zoo.modes import Module, _seeded
from zoo.smooth import IMAGE, SEQUENCE
from zoo.traps import tail, wrapped

D2 = uniform(24, 2)


def with_inference_weights():
    with torch.inference_mode():
        return mlp(nn.Tanh)


def stale_cache(self, x):
    if getattr(self, "last", None) is None or self.last.shape != x.shape:
        self.last = self.n(x)
    return self.last


def fixed_point(self, x):
    """A deep equilibrium model that solves without a graph and forgets the implicit gradient."""
    with torch.no_grad():
        z = torch.zeros_like(x)
        for _ in range(40):
            z = 0.5 * torch.tanh(z + x)
    return 0.5 * torch.tanh(z + x)


def needs_float32(self, x):
    if x.dtype != torch.float32:
        raise RuntimeError("this kernel knows float32 only")
    return torch.tanh(self.w * x)


def attached():
    import lightning

    module = Module().eval()
    module.trainer = lightning.Trainer(
        logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False
    )
    return module


def image_to_image():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 1, 3, padding=1)).eval()


def _symmetric(entries):
    matrix = entries.reshape(-1, 2, 2)
    return matrix + matrix.mT + torch.diag(torch.tensor([3.0, 0.0])).to(entries)


def _holding_itself():
    net = Module().eval()
    net.everything = [net, {"network": net.network}]
    return net


def chebyshev_truth(build, order=3):
    """Derivatives along (1, ..., 1) from the interpolating polynomial at 17 Chebyshev points around each sample."""

    def truth(x):
        torch.manual_seed(0)
        f = build().double().eval()
        reach = 0.4
        nodes = np.cos((2 * np.arange(17) + 1) * np.pi / 34)
        with torch.no_grad():
            values = np.stack([f(x + reach * t).numpy().ravel() for t in nodes])
        series = np.polynomial.chebyshev.chebfit(nodes, values, 16)
        towers = [np.polynomial.chebyshev.chebder(series, k)[:] if k else series for k in range(order + 1)]
        return tuple(
            torch.from_numpy(np.polynomial.chebyshev.chebval(0.0, c) / reach**k).reshape(len(x), 1)
            for k, c in enumerate(towers)
        )

    return truth


def norm_net():
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 1)).eval()


CASES = [
    Case("sharp-tanh", lambda: lambda x: torch.tanh(60 * (x - 0.1)), step=0.001),
    Case("sharper-tanh", lambda: lambda x: x + torch.tanh(1000 * (x - 0.1)) / 10, step=0.0001),
    Case("fast-sine", lambda: lambda x: torch.sin(150 * x), step=0.0005),
    Case("bump", lambda: lambda x: torch.exp(-1 / (1.0001 - x * x)), x=uniform(24, 1, low=-0.9, high=0.9), step=0.005),
    Case("gauss-peak", lambda: lambda x: torch.exp(-500 * (x - 0.2) ** 2) + x, step=0.001),
    Case("softplus-beta-50", lambda: mlp(lambda: nn.Softplus(beta=50)), step=0.001),
    Case("large-offset", lambda: lambda x: 1e3 + torch.sin(x)),
    Case("tiny-scale", lambda: lambda x: 1e-6 * torch.sin(x), truth=lambda x: (1e-6 * x.sin(), 1e-6 * x.cos(), -1e-6 * x.sin())),
    Case("cube-of-abs", lambda: lambda x: x.abs() ** 3),
    Case("abs-times-x", lambda: lambda x: x * x.abs(), "kink"),
    Case("weak-leak", tail(nn.LeakyReLU(0.9)), "kink", x=uniform(24, 1, low=-2, high=2)),
    Case("image-to-image", image_to_image, x=IMAGE),
    Case("many-inputs", lambda: mlp(nn.Tanh, 300), x=uniform(16, 300)),
    Case("many-outputs", lambda: mlp(nn.Tanh, 2, 200), x=D2),
    Case("grid-sample", lambda: Wrap(lambda s, x: F.grid_sample(s.g.to(x.dtype).expand(len(x), -1, -1, -1), x[:, None, None], align_corners=True).flatten(1), g=torch.randn(1, 1, 5, 5)), "kink", x=uniform(48, 2)),
    Case("median", wrapped(lambda s, x: s.n(x).median(-1, keepdim=True).values.exp(), 1, 5), "kink", x=uniform(24, 1, low=-5, high=5)),
    Case("remainder", lambda: lambda x: (3 * x) % 1.0, "piecewise-linear"),
    Case("eigenvalues", wrapped(lambda s, x: torch.linalg.eigvalsh(_symmetric(s.n(x))), 2, 4), x=D2),
    Case("bessel", lambda: lambda x: torch.special.i0e(x) + torch.special.bessel_j0(x), "detached"),
    Case("gamma", lambda: lambda x: torch.lgamma(x + 3) + torch.digamma(x + 3)),
    Case("torch-func-inside", wrapped(lambda s, x: torch.func.vmap(torch.func.jacrev(s.n))(x)[:, 0], 2), x=D2),
    Case("stale-cache", wrapped(stale_cache), "cross-sample"),
    Case("fixed-point-without-graph", lambda: Wrap(fixed_point), "detached"),
    Case("float32-only", lambda: Wrap(needs_float32, w=torch.tensor(1.5)), x=uniform(24, 1), truth=lambda x: (torch.tanh(1.5 * x), 1.5 / torch.cosh(1.5 * x) ** 2, -4.5 * torch.tanh(1.5 * x) / torch.cosh(1.5 * x) ** 2)),
    Case("inference-weights", with_inference_weights, truth=_seeded),
    Case("fx-graph", lambda: torch.fx.symbolic_trace(mlp(nn.Tanh))),
    Case("exported", lambda: torch.export.export(mlp(nn.Tanh), (torch.ones(4, 1),), dynamic_shapes=({0: torch.export.Dim("n", min=1)},)).module(), truth=_seeded),
    Case("averaged-model", lambda: torch.optim.swa_utils.AveragedModel(mlp(nn.Tanh)).eval()),
    Case("tied-weights", lambda: Wrap(lambda s, x: F.linear(torch.tanh(s.a(x)), s.a.weight.T), a=nn.Linear(2, 5)), x=D2),
    Case("trainer-attached", attached),
    Case("holds-itself", lambda: _holding_itself()),
    Case("slice-of-sequence", lambda: Wrap(lambda s, x: s.g(x)[0][:, -1], g=nn.GRU(2, 3, batch_first=True)), x=SEQUENCE),
    Case("same-point-twice", lambda: mlp(nn.Tanh), x=points(0.3, 0.3, 0.3)),
    Case("two-points", lambda: mlp(nn.Tanh), x=points(-0.3, 0.5)),
    Case("normal-cdf", lambda: lambda x: 0.5 * torch.erfc(-x / 2**0.5) * torch.exp(x)),
    Case("order-3", lambda: mlp(nn.SiLU), order=3, truth=chebyshev_truth(lambda: mlp(nn.SiLU))),
    Case("order-3-layer-norm", norm_net, x=D2, order=3, truth=chebyshev_truth(norm_net), tolerance=5e-3),
]  # fmt: skip
