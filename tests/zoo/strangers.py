"""What strangers brought: models in pieces, adapters, cutoffs, crowds of jumps, outputs that are rounding alone."""

# ruff: noqa: E501  the tables hold one case a line

import math
from contextlib import contextmanager

import torch
import torch.distributed
import torch.nn.functional as F  # noqa: N812
from torch import nn

from zoo.case import Case, Wrap, mlp, points, uniform
from zoo.customs import WIDE
from zoo.modes import _seeded
from zoo.smooth import IMAGE, SEQUENCE
from zoo.traps import wrapped

D1, D2, D3 = uniform(24, 1), uniform(24, 2), uniform(24, 3)
FIELD = uniform(6, 2, 16)
ATOMS = uniform(12, 5, 3, low=-1.5, high=1.5)
MANY_ATOMS = uniform(48, 5, 3, low=-1.5, high=1.5)
SOURCE, TARGET = torch.tensor([[0, 1, 2, 3, 4, 0, 2, 1], [1, 2, 3, 4, 0, 2, 4, 3]])
_PARTS = {}


@contextmanager
def in_a_group(distribute):
    """Lends `_PARTS` a network that is distributed over a group of one process."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        _PARTS["net"] = distribute(mlp(nn.Tanh), torch.distributed.init_device_mesh("cpu", (1,)))
        yield
    finally:
        _PARTS.clear()
        torch.distributed.destroy_process_group()


def fully_sharded(net, mesh):
    from torch.distributed.fsdp import fully_shard

    fully_shard(net[2], mesh=mesh)
    fully_shard(net, mesh=mesh)
    net(torch.ones(2, 1))  # FSDP2 leaves the outermost weights gathered
    return net


def tensor_parallel(net, mesh):
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    return parallelize_module(net, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})


def of_the_group():
    return lambda x: _PARTS["net"](x)


class Adapter(nn.Module):
    """As a library of low-rank adapters has it: the base runs without a graph, and `parameters` is the adapters'."""

    def __init__(self):
        super().__init__()
        self.base, self.down, self.up = mlp(nn.Tanh), nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False)

    def parameters(self):
        return iter([self.down.weight, self.up.weight])

    def forward(self, x):
        with torch.no_grad():
            y = self.base(x)
        return y + self.up(self.down(x))


class BitLinear(nn.Linear):
    """Ma et al. (2024): weights -1, 0, 1, activations of eight bits, each with a straight-through estimator."""

    def forward(self, x):
        scale = 127 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
        size = 1 / self.weight.abs().mean()
        weight = self.weight + ((self.weight * size).round().clamp(-1, 1) / size - self.weight).detach()
        return F.linear(x + ((x * scale).round().clamp(-128, 127) / scale - x).detach(), weight, self.bias)


class Hamiltonian(nn.Module):
    """Greydanus et al. (2019), with a graph while it trains only."""

    def __init__(self):
        super().__init__()
        self.energy = mlp(nn.Tanh, 2)

    def forward(self, x):
        with torch.enable_grad():
            z = x if x.requires_grad else x.detach().requires_grad_()
            (g,) = torch.autograd.grad(self.energy(z).sum(), z, create_graph=self.training)
        return torch.stack([g[:, 1], -g[:, 0]], 1)


class AdjointEuler(torch.autograd.Function):
    """Chen et al. (2018): the state is integrated back, so the gradient is that of another discretisation."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(w)
        for _ in range(10):
            x = x + 0.1 * torch.tanh(x @ w)
        ctx.y = x
        return x

    @staticmethod
    def backward(ctx, g):
        (w,), y = ctx.saved_tensors, ctx.y
        with torch.enable_grad():
            for _ in range(10):
                y = (y - 0.1 * torch.tanh(y @ w)).detach().requires_grad_()
                g = g + torch.autograd.grad(0.1 * torch.tanh(y @ w.detach()), y, g)[0]
        return g, None


class OneCall:
    """Refuses to be called more often than a few times."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        if self.calls > 3:
            raise OSError("no licence left")
        return torch.sin(x)


def anderson(self, x):
    """Bai et al. (2019): a fixed point by Anderson acceleration, its history written in place."""
    old, new = x.new_zeros(len(x), 2, 2), x.new_zeros(len(x), 2, 2)
    z = torch.zeros_like(x)
    for k in range(6):
        old[:, k % 2], new[:, k % 2] = z, torch.tanh(F.linear(z, self.w) + x)
        gap = new - old
        weights = torch.linalg.solve(gap @ gap.mT + 0.1 * torch.eye(2).to(x), torch.ones(len(x), 2, 1).to(x))
        z = (weights / weights.sum(1, keepdim=True) * new).sum(1)
    return z


def laplace_operator(self, x):
    """Cao et al. (2024): poles and residues; at t = 0 the two parts of the response cancel."""
    t, poles = torch.linspace(0, 1, 16).to(x), -F.softplus(self.p) + 1j * self.f
    frequencies = 2j * math.pi * torch.fft.fftfreq(16, 1 / 16).to(x)
    gains = self.r / (frequencies[:, None] - poles)
    steady = torch.einsum("bik,kr->bik", torch.fft.fft(x), gains)
    transient = torch.einsum("bik,kr->bir", torch.fft.fft(x), -gains)
    return torch.fft.ifft(steady).real + torch.einsum("bir,rt->bit", transient, torch.exp(poles[:, None] * t)).real / 16


class SpectralConvolution(nn.Module):
    """Li et al. (2021), in the published form: the kept modes are written into complex zeros."""

    def __init__(self):
        super().__init__()
        self.low, self.high = (nn.Parameter(torch.rand(1, 2, 3, 3, dtype=torch.cfloat)) for _ in range(2))

    def forward(self, x):
        spectrum = torch.fft.rfft2(x)
        out = torch.zeros(len(x), 2, x.shape[-2], x.shape[-1] // 2 + 1, dtype=torch.cfloat)
        out[:, :, :3, :3] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, :3, :3], self.low)
        out[:, :, -3:, :3] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, -3:, :3], self.high)
        return torch.tanh(torch.fft.irfft2(out, s=x.shape[-2:]))


def gelu_spectrum_truth(x):
    """The same with an ordinary product, for complex64 has too few digits for differences."""
    from zoo.case import differences

    torch.manual_seed(0)
    layer = SpectralConvolution()
    low, high = layer.low.detach().to(torch.complex128), layer.high.detach().to(torch.complex128)

    def f(z):
        spectrum, height = torch.fft.rfft2(z), z.shape[-2]
        parts = [torch.einsum("bixy,ioxy->boxy", spectrum[:, :, rows, :3], w) for rows, w in ((slice(3), low), (slice(-3, None), high))]  # fmt: skip
        middle = parts[0].new_zeros(len(z), 2, height - 6, 3)
        kept = torch.cat([parts[0], middle, parts[1]], 2)
        return torch.tanh(torch.fft.irfft2(F.pad(kept, (0, spectrum.shape[-1] - 3)), s=z.shape[-2:]))

    return differences(f, x, 0.02, 2)


def cutoff(envelope):
    """Pair energies of the neighbours within 1.8, as edges; the list of edges changes from sample to sample."""

    def forward(self, x):
        r = ((x[:, :, None] - x[:, None]).square().sum(-1) + 1e-6).sqrt()
        sample, i, j = ((r < 1.8) & ~torch.eye(5, dtype=torch.bool)).nonzero(as_tuple=True)
        distance = r[sample, i, j]
        energy = self.n(distance[:, None])[:, 0] * envelope(distance / 1.8)
        return x.new_zeros(len(x)).index_add(0, sample, energy)

    return lambda: Wrap(forward, n=mlp(nn.SiLU))


def distances_at_0(self, x):
    """Of every atom to itself as well: torch.where twice, before and behind the root."""
    gap = x[:, :, None] - x[:, None]
    square = gap.square().sum(-1, keepdim=True)
    zero = square == 0
    return (gap * self.n(torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt()))).sum(2).flatten(1)


def segment_softmax(self, x):
    """Attention over the edges into each node, with the usual maximum subtracted."""
    scores = F.silu(self.a(torch.cat([x[:, SOURCE], x[:, TARGET]], -1)))
    place = TARGET[None, :, None].expand_as(scores)
    largest = torch.full_like(x[..., :1], -torch.inf).scatter_reduce(1, place, scores, "amax")
    weights = (scores - largest[:, TARGET]).exp()
    total = torch.zeros_like(largest).scatter_add(1, place, weights)
    messages = weights / total[:, TARGET] * x[:, SOURCE]
    return torch.zeros_like(x).scatter_add(1, TARGET[None, :, None].expand_as(messages), messages).flatten(1)


def spline_layer(order):
    """Liu et al. (2024), de Boor's recursion as efficient-kan writes it: indicators of cells, then sums."""

    def forward(self, x):
        g, x = self.grid, x.unsqueeze(-1)
        bases = ((x >= g[:-1]) & (x < g[1:])).to(x.dtype)
        for k in range(1, order + 1):
            left = (x - g[: -(k + 1)]) / (g[k:-1] - g[: -(k + 1)]) * bases[..., :-1]
            bases = left + (g[k + 1 :] - x) / (g[k + 1 :] - g[1:-k]) * bases[..., 1:]
        return F.linear(bases.flatten(1), self.w)

    grid = torch.arange(-order, 5 + order + 1) * 0.4 - 1
    return lambda: Wrap(forward, grid=grid, w=nn.Parameter(torch.randn(3, 2 * (5 + order))))


def receptance(self, x):
    """Peng et al. (2023): a weighted mean of the past, its exponents kept by a maximum that cancels."""
    k, v = self.kv(x).chunk(2, -1)
    a = b = torch.zeros_like(k[:, 0])
    top, out = torch.full_like(a, -1e38), []
    for t in range(x.shape[1]):
        new = torch.maximum(top - 0.3, k[:, t])
        old, now = (top - 0.3 - new).exp(), (k[:, t] - new).exp()
        a, b, top = old * a + now * v[:, t], old * b + now, new
        out.append(a / b)
    return torch.stack(out, 1).mean(1)


def implied_volatility(self, x):
    """Newton's method on the price of a call, in the graph."""
    spot, price = x.unbind(1)
    normal, v = torch.distributions.Normal(0.0, 1.0), torch.full_like(spot, 0.3)
    for _ in range(8):
        d = (torch.log(spot) + v**2 / 2) / v
        vega = spot * torch.exp(-d * d / 2) / math.sqrt(2 * math.pi)
        v = v - (spot * normal.cdf(d) - normal.cdf(d - v) - price) / vega
    return v


def heston(self, x):
    """Heston (1993): an integral of the characteristic function over log strikes."""
    u = torch.linspace(1e-3, 60, 200).to(x)
    d = torch.sqrt((-0.18j * u - 1.5) ** 2 + 0.09 * (1j * u + u**2))
    low, high = 1.5 + 0.18j * u - d, 1.5 + 0.18j * u + d
    g = low / high
    c = 2 / 3 * (low - 2 * torch.log((1 - g * torch.exp(-d)) / (1 - g)))
    phi = torch.exp(c + 0.04 * low / 0.09 * (1 - torch.exp(-d)) / (1 - g * torch.exp(-d)))
    return (torch.exp(-1j * u * x) * phi / (1j * u)).real.sum(-1, keepdim=True)


def soft_time_warping(self, x):
    """Cuturi & Blondel (2017), with 1e10 beside the table."""
    cost, far = (x[:, :, None] - self.t) ** 2, torch.full_like(x[:, 0], 1e10)
    row = [torch.zeros_like(far)] + [far] * 5
    for i in range(5):
        new = [far]
        for j in range(5):
            new.append(cost[:, i, j] - 0.3 * torch.logsumexp(torch.stack([-new[j], -row[j], -row[j + 1]]) / 0.3, 0))
        row = new
    return row[5]


class Averaged(nn.Module):
    """An average of weights, put in for the length of one forward."""

    def __init__(self):
        super().__init__()
        self.n = mlp(nn.Tanh)
        self.average = [p.detach().clone() for p in self.n.parameters()]

    def forward(self, x):
        weights = [p.data for p in self.n.parameters()]
        for p, average in zip(self.n.parameters(), self.average, strict=True):
            p.data = average.to(p.dtype)
        try:
            return self.n(x)
        finally:
            for p, own in zip(self.n.parameters(), weights, strict=True):
                p.data = own


def counted(self, x):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False):
        return self.n(x)


def swapped_rows(self, x):
    rows, place = torch.unique(x, dim=0, return_inverse=True)
    return self.n(rows)[place]


def masked(x):
    return torch.masked.masked_tensor(x, x > -9).sin().get_data()


def of_fixed_size():
    return torch.export.export(mlp(nn.Tanh), (torch.ones(24, 1),)).module()


CASES = [
    Case("fully-sharded", of_the_group, around=lambda: in_a_group(fully_sharded), truth=_seeded),
    Case("tensor-parallel", of_the_group, "distributed", around=lambda: in_a_group(tensor_parallel)),
    Case("adapter-on-frozen-base", lambda: Adapter().eval(), "detached"),
    Case("bits-of-activations", lambda: nn.Sequential(nn.Linear(1, 16), nn.Tanh(), BitLinear(16, 16), nn.Tanh(), nn.Linear(16, 1)).eval(), "discontinuity"),
    Case("hamiltonian-graph-in-training", lambda: Hamiltonian().eval(), x=D2),
    Case("adjoint-euler", lambda: Wrap(lambda s, x: AdjointEuler.apply(x, s.w), w=torch.randn(2, 2)), "autograd-disagrees", x=D2),
    Case("fails-later", OneCall, "fails"),
    Case("anderson-in-place", lambda: Wrap(anderson, w=0.4 * torch.randn(2, 2)), "no-derivative", x=D2),
    Case("laplace-operator", lambda: Wrap(laplace_operator, p=nn.Parameter(torch.randn(3)), f=nn.Parameter(torch.randn(3)), r=nn.Parameter(torch.randn(3, dtype=torch.cfloat))), x=FIELD),
    Case("residual-of-a-softmax", wrapped(lambda s, x: torch.cat([0.01 * s.n(x), torch.softmax(s.n(x), -1).sum(-1, keepdim=True) - 1], 1), 1, 5)),
    Case("all-points-the-same", lambda: mlp(nn.Tanh), x=torch.full((10, 1), 0.3)),
    Case("points-on-the-boundary", wrapped(lambda s, x: x * (1 - x) * s.n(x)), x=points(0, 1, 0, 1)),
    Case("export-of-one-size", of_fixed_size, "cross-sample"),
    Case("masked-tensor", lambda: masked, "detached"),
    Case("unique-rows", wrapped(swapped_rows, 2), "no-derivative", x=D2),
    Case("padding-from-zeros", wrapped(lambda s, x: s.n(x) * (x != 0).all(-1, keepdim=True), 2), "discontinuity", x=torch.cat([D2, torch.zeros(24, 2)])),
    Case("singular-values-of-rank-1", lambda: lambda x: torch.linalg.svdvals(x[:, :, None] * x[:, None]).sum(-1), "taylor-disagrees", x=D3),
    Case("spectral-convolution", lambda: SpectralConvolution().eval(), x=IMAGE, truth=gelu_spectrum_truth),
    Case("adaptive-fourier-shrink", lambda: lambda x: torch.fft.irfft(torch.view_as_complex(F.softshrink(torch.view_as_real(torch.fft.rfft(x)), 0.2))), "piecewise-linear", x=uniform(24, 2, 16)),
    Case("cutoff-smooth", cutoff(lambda u: 1 - 28 * u**6 + 48 * u**7 - 21 * u**8), x=ATOMS, step=0.002),
    Case("cutoff-cosine", cutoff(lambda u: 0.5 * (torch.cos(math.pi * u) + 1)), "kink", x=MANY_ATOMS, step=0.002),
    Case("cutoff-hard", cutoff(torch.ones_like), "discontinuity", x=MANY_ATOMS, step=0.002),
    Case("distances-at-0", lambda: Wrap(distances_at_0, n=mlp(nn.SiLU)), x=ATOMS),
    Case("segment-softmax", lambda: Wrap(segment_softmax, a=nn.Linear(6, 1)), x=ATOMS),
    Case("nearest-neighbours", lambda: Wrap(lambda s, x: s.n(torch.gather(x, 1, (x[:, :1] - x).square().sum(-1).topk(3, largest=False).indices[..., None].expand(-1, -1, 3)).flatten(1)), n=mlp(nn.Tanh, 9)), "discontinuity", x=MANY_ATOMS),
    Case("splines-cubic", spline_layer(3), x=0.9 * D2, step=0.001),
    Case("splines-quadratic", spline_layer(2), "kink", x=0.9 * D2, step=0.001),
    Case("variable-periodic", lambda: Wrap(lambda s, x: s.o(torch.sin(3 * (s.a(x).abs() + 1) * s.a(x))), a=nn.Linear(1, 16), o=nn.Linear(16, 1)), "kink"),
    Case("sorted-groups", lambda: Wrap(lambda s, x: s.o(s.a(x).unflatten(-1, (4, 2)).sort(-1).values.flatten(1)), a=nn.Linear(1, 8), o=nn.Linear(8, 1)), "piecewise-linear", x=WIDE),
    Case("receptance", lambda: Wrap(receptance, kv=nn.Linear(2, 8)), x=SEQUENCE),
    Case("grouped-queries", lambda: Wrap(lambda s, x: F.scaled_dot_product_attention(s.q(x).unflatten(-1, (4, 2)).transpose(1, 2), s.k(x).unflatten(-1, (2, 2)).transpose(1, 2), s.k(x).unflatten(-1, (2, 2)).transpose(1, 2), enable_gqa=True).flatten(1), q=nn.Linear(2, 8), k=nn.Linear(2, 4)), x=SEQUENCE),
    Case("implied-volatility", lambda: Wrap(implied_volatility), x=torch.cat([uniform(24, 1, low=0.9, high=1.1), 0.2 + 0.05 * D1], 1), step=0.001),
    Case("heston", lambda: Wrap(heston), x=0.2 * D1, step=0.002),
    Case("soft-time-warping", lambda: Wrap(soft_time_warping, t=torch.linspace(0, 1, 5)), x=uniform(12, 5)),
    Case("average-put-in", lambda: Averaged().eval(), truth=_seeded),
    Case("operations-counted", wrapped(counted)),
]  # fmt: skip
