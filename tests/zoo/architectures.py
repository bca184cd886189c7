"""Architectures as published, and the mathematics that people put into networks: smooth, right, nothing to report."""

# ruff: noqa: E501  the tables hold one case a line

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.distributions import (
    Beta,
    Categorical,
    Dirichlet,
    Gamma,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    StudentT,
)

from zoo.case import Case, Wrap, mlp, uniform
from zoo.smooth import IMAGE, SEQUENCE
from zoo.traps import wrapped

D1, D2, D3 = uniform(24, 1), uniform(24, 2), uniform(24, 3)
NODES = uniform(12, 5, 3)
EDGES = torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 2, 3, 4, 0, 2, 4]])
POSITIVE = uniform(24, 2, low=0.3, high=0.9)


def mesh_graph(self, x):
    """Pfaff et al. (2021): messages along edges, summed at their ends."""
    source, target = EDGES
    messages = self.edge(torch.cat([x[:, source], x[:, target]], -1))
    received = torch.zeros_like(x).index_add(1, target, messages)
    return self.node(torch.cat([x, received], -1)).sum((1, 2))[:, None]


def scattered(self, x):
    """The same with scatter_add."""
    source, target = EDGES
    messages = self.edge(torch.cat([x[:, source], x[:, target]], -1))
    place = target[None, :, None].expand_as(messages)
    return torch.tanh(torch.zeros_like(x).scatter_add(1, place, messages)).flatten(1)


def graph_convolution(self, x):
    """Kipf & Welling (2017): the normalised adjacency times the features."""
    a = torch.eye(5, dtype=x.dtype).index_put((EDGES[0], EDGES[1]), torch.ones(7, dtype=x.dtype))
    a = (a + a.mT).clamp(max=1)
    degree = a.sum(1).rsqrt()
    return self.b(torch.tanh((degree[:, None] * a * degree) @ self.a(x))).mean(1)


def graph_attention(self, x):
    """Veličković et al. (2018), with a mask of -inf between nodes without an edge."""
    z = self.a(x)
    scores = torch.tanh(self.l(z) + self.r(z).mT)
    mask = torch.eye(5, dtype=torch.bool).index_put((EDGES[0], EDGES[1]), torch.tensor(True))
    return (scores.masked_fill(~mask, -torch.inf).softmax(-1) @ z).sum(1)


def equivariant(self, x):
    """Satorras et al. (2021): messages of squared distances."""
    gap = x[:, :, None] - x[:, None]
    squares = gap.square().sum(-1, keepdim=True)
    return (x + (gap * self.n(squares)).mean(2)).norm(dim=-1)


def schnet(self, x):
    """Schütt et al. (2017): Gaussians of interatomic distances with a cosine cutoff, all atoms within it."""
    i, j = torch.triu_indices(5, 5, 1)
    r = (x[:, i] - x[:, j] + torch.tensor([0.5, 0.1, 0.3]).to(x)).norm(dim=-1, keepdim=True)
    basis = torch.exp(-4 * (r - torch.linspace(0, 3, 6).to(x)) ** 2)
    return (self.n(basis) * 0.5 * (torch.cos(torch.pi * r / 8) + 1)).sum(1)


def implicit_unrolled(self, x):
    z = torch.zeros_like(x)
    for _ in range(30):
        z = 0.5 * torch.tanh(z + x)
    return z


def real_nvp(self, x):
    """Dinh et al. (2017), log density of two coupling layers."""
    total = 0.0
    for s, t in zip(self.s, self.t, strict=True):
        a, b = x.chunk(2, -1)
        scale = torch.tanh(s(a))
        x, total = torch.cat([b * scale.exp() + t(a), a], -1), total + scale.sum(-1)
    return Normal(0.0, 1.0).log_prob(x).sum(-1) + total


def planar_flow(self, x):
    """Rezende & Mohamed (2015), with its log |det|."""
    h = torch.tanh(x @ self.w + 0.1)
    psi = (1 - h**2)[:, None] * self.w
    return x + self.u * h[:, None], torch.log((1 + psi @ self.u).abs())


def gaussian_process(self, x):
    """Posterior mean and variance given nine points, by Cholesky factors."""

    def kernel(a, b):
        return torch.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 0.5)

    factor = torch.linalg.cholesky(kernel(self.c, self.c) + 1e-2 * torch.eye(9, dtype=x.dtype))
    k = kernel(x, self.c)
    mean = k @ torch.cholesky_solve(self.t, factor)
    half = torch.linalg.solve_triangular(factor, k.mT, upper=False)
    return torch.cat([mean, 1 - half.square().sum(0)[:, None]], 1)


def cubic_spline(self, x):
    """Interpolates nine values; its second derivatives solve a tridiagonal system. Twice differentiable."""
    t = torch.linspace(-1.2, 1.2, 9).to(x)
    h, y = t[1] - t[0], self.y.to(x)
    matrix = 4 * torch.eye(7).to(x) + torch.diag(torch.ones(6), 1).to(x) + torch.diag(torch.ones(6), -1).to(x)
    inner = torch.linalg.solve(matrix, 6 * (y[2:] - 2 * y[1:-1] + y[:-2]) / h**2)
    m = F.pad(inner, (1, 1))
    k = (torch.searchsorted(t, x.detach().contiguous()) - 1).clamp(0, 7)
    a, b = (t[k + 1] - x) / h, (x - t[k]) / h
    return a * y[k] + b * y[k + 1] + ((a**3 - a) * m[k] + (b**3 - b) * m[k + 1]) * h**2 / 6


def poisson(self, x):
    """Solves u'' = f on a periodic grid with the FFT."""
    f = torch.sin(self.n(x))
    k = torch.fft.fftfreq(f.shape[-1], dtype=x.dtype) * f.shape[-1]
    spectrum = torch.fft.fft(f) / torch.where(k == 0, 1, -(k**2))
    return torch.fft.ifft(spectrum.where(k != 0, 0)).real


def film(self, x):
    scale, shift = self.c(x[:, :1]).chunk(2, -1)
    return self.h(torch.tanh(scale * self.a(x[:, 1:]) + shift))


class Block(nn.Module):
    """He et al. (2016), with a smooth activation."""

    def __init__(self, channels, activation):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), activation(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip
        self.activation = activation()

    def forward(self, x):
        return self.activation(x + self.body(x))


def resnet(activation):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), activation(), nn.MaxPool2d(2) if activation is nn.ReLU else nn.AvgPool2d(2),
        Block(4, activation), Block(4, activation), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    ).eval()  # fmt: skip


def u_net(self, x):
    """Ronneberger et al. (2015)."""
    a = self.a(x)
    b = self.b(F.avg_pool2d(a, 2))
    return self.c(torch.cat([a, self.up(b)], 1))


class VisionTransformer(nn.Module):
    """Dosovitskiy et al. (2021)."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 3, stride=3)
        self.cls = nn.Parameter(torch.randn(1, 1, 8))
        self.place = nn.Parameter(torch.randn(1, 5, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        tokens = self.patch(x).flatten(2).mT
        return self.head(self.encoder(torch.cat([self.cls.expand(len(x), -1, -1), tokens], 1) + self.place)[:, 0])


def padded_transformer(self, x):
    mask = torch.tensor([False, False, False, True, True]).expand(len(x), -1)
    return self.head(self.t(self.inp(x), src_key_padding_mask=mask)[:, 0])


def decoder(self, x):
    """Causal mask, memory made of the same tokens."""
    z = self.inp(x)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=z.dtype)
    return self.t(z, torch.tanh(z), tgt_mask=mask)[:, -1]


def packed(self, x):
    lengths = torch.tensor([5, 4, 3, 2]).repeat(len(x))[: len(x)]
    lengths = lengths.where(lengths > 9, 4)
    rows = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, _ = nn.utils.rnn.pad_packed_sequence(self.r(rows)[0], batch_first=True)
    return self.h(y.mean(1))


def selective_scan(self, x):
    """Gu & Dao (2023): a linear recurrence whose coefficients depend on the input."""
    h, out = x.new_zeros(len(x), 4), []
    for t in range(x.shape[1]):
        step = F.softplus(self.d(x[:, t]))
        h = torch.exp(-step * F.softplus(self.a)) * h + step * self.b(x[:, t])
        out.append((h * self.c(x[:, t])).sum(-1))
    return torch.stack(out, 1)


def state_space(self, x):
    """Gu et al. (2022): a long convolution done with the FFT."""
    u = self.i(x)[..., 0]
    t = torch.arange(5, dtype=x.dtype)
    kernel = (self.c * torch.exp(-torch.exp(self.a) * t[:, None])).sum(-1)
    return torch.tanh(torch.fft.irfft(torch.fft.rfft(u, 16) * torch.fft.rfft(kernel, 16), 16)[:, :5])


def rotary(self, x):
    """Su et al. (2021)."""
    angle = torch.arange(5, dtype=x.dtype)[:, None] * 10 ** -torch.arange(2, dtype=x.dtype)
    q = self.q(x).unflatten(-1, (2, 2))
    q = torch.stack(
        [q[..., 0] * angle.cos() - q[..., 1] * angle.sin(), q[..., 0] * angle.sin() + q[..., 1] * angle.cos()], -1
    ).flatten(-2)
    return (torch.softmax(q @ q.mT, -1) @ self.v(x)).mean(1)


def retention(self, x):
    q, k, v = self.qkv(x).chunk(3, -1)
    n = torch.arange(5)
    decay = torch.where(n[:, None] >= n, 0.9 ** (n[:, None] - n), 0.0).to(x)
    return self.norm((q @ k.mT * decay) @ v).flatten(1)


def chebyshev_kan(self, x):
    t = torch.tanh(x)
    towers = [torch.ones_like(t), t]
    for _ in range(4):
        towers.append(2 * t * towers[-1] - towers[-2])
    return torch.einsum("bid,oid->bo", torch.stack(towers, -1), self.w)


def wavelet_kan(self, x):
    z = (x[:, None] - self.shift) / F.softplus(self.scale)
    return (self.w * (1 - z**2) * torch.exp(-(z**2) / 2)).sum(-1)


def gabor(self, x):
    """Saragadam et al. (2023), WIRE: complex Gabor wavelets."""
    z = self.a(x)
    z = torch.exp(4j * z - (2 * z).abs().square())
    return (z @ self.w).real


def lagrangian(self, x):
    """Cranmer et al. (2020): accelerations from the Hessian of a learnt Lagrangian, by torch.func."""

    def energy(state):
        return self.n(state[None]).sum() + state[2:].square().sum()

    def acceleration(state):
        gradient, hessian = torch.func.grad(energy)(state), torch.func.hessian(energy)(state)
        return torch.linalg.solve(hessian[2:, 2:], gradient[:2] - hessian[2:, :2] @ state[2:])

    return torch.func.vmap(acceleration)(x)


def convex(self, x):
    """Amos et al. (2017): positive weights behind convex activations."""
    z = F.softplus(self.a(x))
    return F.linear(F.softplus(F.linear(z, self.w.exp()) + self.b(x)), self.v.exp())


def squash(self, x):
    """Sabour et al. (2017)."""
    s = self.n(x).unflatten(-1, (2, 3)) + 1
    square = s.square().sum(-1, keepdim=True)
    return (square / (1 + square) * s / square.sqrt()).flatten(1)


def poincare(self, x):
    """A hyperbolic layer: to the tangent space at 0, a linear map, back to the ball."""
    norm = x.norm(dim=-1, keepdim=True)
    z = F.linear(torch.atanh(0.6 * norm) * x / norm, self.w)
    size = z.norm(dim=-1, keepdim=True)
    return torch.tanh(size) * z / size


def squeeze_excite(self, x):
    y = torch.tanh(self.a(x))
    return (y * torch.sigmoid(self.b(y.mean((2, 3))))[..., None, None]).mean((2, 3))


def mixer(self, x):
    y = x + self.tokens(self.n(x).mT).mT
    return (y + self.channels(self.n(y))).mean(1)


def density(self, x):
    """Bishop (1994): the log likelihood of a mixture density network."""
    logits, mean, scale = self.n(x[:, :1]).chunk(3, -1)
    return MixtureSameFamily(Categorical(logits=logits), Normal(mean, F.softplus(scale) + 0.1)).log_prob(x[:, 1])


def adjugate(entries):
    return entries.unflatten(-1, (2, 2)) + 3 * torch.eye(2).to(entries)


def newton_root(self, x):
    """Solves z³ + z = x by Newton's method, all steps in the graph."""
    z = x
    for _ in range(12):
        z = z - (z**3 + z - x) / (3 * z**2 + 1)
    return z


def inner_optimiser(self, x):
    """Five steps of gradient descent on an energy, differentiated through."""
    z = torch.zeros_like(x)
    z.requires_grad_()
    for _ in range(5):
        energy = (self.n(torch.cat([x, z], -1)) + (z - x).square().sum(-1, keepdim=True)).sum()
        z = z - 0.1 * torch.autograd.grad(energy, z, create_graph=True)[0]
    return z


def ensemble(self, x):
    parameters, buffers = torch.func.stack_module_state(list(self.nets))
    base = self.nets[0]

    def one(parameters, buffers, x):
        return torch.func.functional_call(base, (parameters, buffers), (x,))

    return torch.vmap(one, in_dims=(0, 0, None))(parameters, buffers, x).mean(0)


SPECIAL = {
    "erfcx": torch.special.erfcx, "log-ndtr": torch.special.log_ndtr, "ndtr": torch.special.ndtr, "sinc": torch.sinc,
    "expm1-log1p": lambda x: torch.expm1(x) * torch.log1p(x + 2), "exp2": lambda x: torch.exp2(x) + torch.log2(x + 2),
    "atan2": lambda x: torch.atan2(x, x + 2), "hypot": lambda x: torch.hypot(x, x + 2),
    "logaddexp": lambda x: torch.logaddexp(x, 2 * x) + torch.logaddexp2(x, -x), "logit": lambda x: torch.logit(0.4 + x / 5),
    "rsqrt": lambda x: torch.rsqrt(x + 2), "lerp": lambda x: torch.lerp(x, x**2, x.sin()), "float-power": lambda x: torch.float_power(x + 2, 1.7).to(x.dtype),
    "addcdiv": lambda x: torch.addcdiv(x, x.sin(), x + 2, value=0.3) + torch.addcmul(x, x, x.cos()), "frexp-free": lambda x: torch.ldexp(x.sin(), torch.tensor(3)),
    "xlogy": lambda x: torch.xlogy(x + 2, x + 3) + torch.special.xlog1py(x, x + 2), "polygamma": lambda x: torch.polygamma(1, x + 3),
    "i1": lambda x: torch.special.i0(x) + torch.special.i1(x), "acosh": lambda x: torch.acosh(x + 3) + torch.atanh(x / 2) + torch.acos(x / 2),
    "cosine-similarity": lambda x: F.cosine_similarity(torch.cat([x, x**2 + 1], -1), torch.cat([x + 2, x.sin()], -1))[:, None],
    "bce": lambda x: F.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.3), reduction="none"),
    "poisson-nll": lambda x: F.poisson_nll_loss(x, torch.full_like(x, 2.0), reduction="none"),
    "kl-div": lambda x: F.kl_div(F.logsigmoid(x), torch.full_like(x, 0.3), reduction="none"),
    "pairwise-distance": lambda x: F.pairwise_distance(torch.cat([x, x**2], -1), torch.cat([x.sin() + 3, x], -1))[:, None],
}  # fmt: skip

DENSITIES = {
    "gamma": lambda x: Gamma(x[:, :1] + 1, x[:, 1:] + 1).log_prob(x.sum(1, keepdim=True)),
    "beta": lambda x: Beta(x + 1, 2.0).log_prob(x),
    "dirichlet": lambda x: Dirichlet(x + 1).log_prob(torch.softmax(x, -1)),
    "student": lambda x: StudentT(3.0).log_prob(x),
    "normal-cdf": lambda x: Normal(0.0, 1.0).cdf(x) * Normal(x, 1.0).icdf(0.4 + x / 9),
    "kl-of-normals": lambda x: torch.distributions.kl_divergence(Normal(x, x + 1), Normal(0.0, 1.0)),
    "multivariate-normal": lambda x: MultivariateNormal(
        x, torch.eye(2).to(x) * 2 + x[:, :, None] * x[:, None]
    ).log_prob(x.sin()),
}

MATRICES = {
    "matrix-exponential": lambda m: torch.matrix_exp(m / 2).sum(-1),
    "inverse": lambda m: torch.linalg.inv(m).sum(-1),
    "cholesky": lambda m: torch.linalg.cholesky(m @ m.mT).sum(-1),
    "singular-values": lambda m: torch.linalg.svdvals(m),
    "projector": lambda m: torch.linalg.eigh(m + m.mT + torch.diag(torch.tensor([3.0, 0])).to(m)).eigenvectors[..., :1].square().flatten(1),
    "qr": lambda m: torch.linalg.qr(m).R.square().sum(-1),
    "slogdet": lambda m: torch.linalg.slogdet(m).logabsdet,
    "pseudo-inverse": lambda m: torch.linalg.pinv(m)[..., 0],
    "least-squares": lambda m: torch.linalg.lstsq(m, torch.ones(2, 1).to(m).expand(len(m), 2, 1)).solution[..., 0],
    "matrix-power": lambda m: torch.linalg.matrix_power(m, 3).sum(-1),
    "triangular-solve": lambda m: torch.linalg.solve_triangular(m.tril(), torch.ones(2, 1).to(m).expand(len(m), 2, 1), upper=False)[..., 0],
    "lu-solve": lambda m: torch.lu_solve(torch.ones(2, 1).to(m).expand(len(m), 2, 1), *torch.linalg.lu_factor(m))[..., 0],
    "kronecker": lambda m: torch.stack([torch.kron(one, one.mT.contiguous()) for one in m]).sum((1, 2)),
    "multi-dot": lambda m: torch.stack([torch.linalg.multi_dot([one, one.mT, one]) for one in m]).sum(1),
    "nuclear-norm": lambda m: torch.linalg.matrix_norm(m, "nuc"),
}  # fmt: skip


CASES = [
    *[Case(f"special-{name}", lambda f=f: f, x=D1) for name, f in SPECIAL.items()],
    *[Case(f"density-{name}", lambda f=f: f, x=POSITIVE, step=0.01) for name, f in DENSITIES.items()],
    *[Case(f"matrix-{name}", wrapped(lambda s, x, f=f: f(adjugate(s.n(x))), 2, 4), x=D2) for name, f in MATRICES.items()],
    Case("mesh-graph", lambda: Wrap(mesh_graph, edge=mlp(nn.SiLU, 6, 3), node=mlp(nn.SiLU, 6, 2)), x=NODES),
    Case("scatter-add", lambda: Wrap(scattered, edge=mlp(nn.SiLU, 6, 3)), x=NODES),
    Case("graph-convolution", lambda: Wrap(graph_convolution, a=nn.Linear(3, 4), b=nn.Linear(4, 2)), x=NODES),
    Case("graph-attention", lambda: Wrap(graph_attention, a=nn.Linear(3, 4), l=nn.Linear(4, 1), r=nn.Linear(4, 1)), x=NODES),
    Case("equivariant-graph", lambda: Wrap(equivariant, n=mlp(nn.SiLU)), x=NODES, step=0.002),
    Case("schnet", lambda: Wrap(schnet, n=mlp(nn.Softplus, 6)), x=NODES, step=0.005),
    Case("equilibrium-unrolled", lambda: Wrap(implicit_unrolled)),
    Case("real-nvp", lambda: Wrap(real_nvp, s=nn.ModuleList(mlp(nn.Tanh) for _ in range(3)), t=nn.ModuleList(mlp(nn.Tanh) for _ in range(3))), x=D2),
    Case("planar-flow", lambda: Wrap(lambda s, x: planar_flow(s, x)[1], w=torch.randn(2), u=torch.rand(2)), x=D2),
    Case("gaussian-process", lambda: Wrap(gaussian_process, c=torch.randn(9, 2), t=torch.randn(9, 1)), x=D2),
    Case("cubic-spline", lambda: Wrap(cubic_spline, y=torch.randn(9)), step=1e-3, tolerance=5e-3),
    Case("poisson-by-fft", lambda: Wrap(poisson, n=mlp(nn.Tanh, 2, 8)), x=D2),
    Case("film", lambda: Wrap(film, c=nn.Linear(1, 12), a=nn.Linear(1, 6), h=nn.Linear(6, 1)), x=D2),
    Case("residual-cnn-batch-norm", lambda: resnet(nn.SiLU), x=IMAGE),
    Case("u-net", lambda: Wrap(u_net, a=nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.SiLU()), b=nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.SiLU()), up=nn.ConvTranspose2d(4, 3, 2, stride=2), c=nn.Conv2d(6, 1, 1)), x=IMAGE),
    Case("vision-transformer", lambda: VisionTransformer().eval(), x=IMAGE, step=0.004),
    Case("transformer-padding-mask", lambda: Wrap(padded_transformer, inp=nn.Linear(2, 8), t=nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True), 2, enable_nested_tensor=False), head=nn.Linear(8, 1)), x=SEQUENCE, step=0.004),
    Case("transformer-decoder", lambda: Wrap(decoder, inp=nn.Linear(2, 8), t=nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, activation="gelu", batch_first=True), 2)), x=SEQUENCE, step=0.004),
    Case("packed-bidirectional-lstm", lambda: Wrap(packed, r=nn.LSTM(2, 4, 2, batch_first=True, bidirectional=True), h=nn.Linear(8, 1)), x=SEQUENCE),
    Case("gru-bidirectional-2-layers", lambda: Wrap(lambda s, x: s.r(x)[1].permute(1, 0, 2).flatten(1), r=nn.GRU(2, 3, 2, batch_first=True, bidirectional=True)), x=SEQUENCE),
    Case("selective-scan", lambda: Wrap(selective_scan, a=torch.randn(4), b=nn.Linear(2, 4), c=nn.Linear(2, 4), d=nn.Linear(2, 4)), x=SEQUENCE),
    Case("state-space-fft", lambda: Wrap(state_space, i=nn.Linear(2, 1), a=torch.randn(3), c=torch.randn(3)), x=SEQUENCE),
    Case("rotary-attention", lambda: Wrap(rotary, q=nn.Linear(2, 4), v=nn.Linear(2, 3)), x=SEQUENCE),
    Case("retention", lambda: Wrap(retention, qkv=nn.Linear(2, 12), norm=nn.LayerNorm(4)), x=SEQUENCE, step=0.002),
    Case("wavenet", lambda: Wrap(lambda s, x: (torch.tanh(s.a(F.pad(x.mT, (2, 0)))) * torch.sigmoid(s.b(F.pad(x.mT, (2, 0))))).flatten(1), a=nn.Conv1d(2, 3, 2, dilation=2), b=nn.Conv1d(2, 3, 2, dilation=2)), x=SEQUENCE),
    Case("chebyshev-kan", lambda: Wrap(chebyshev_kan, w=torch.randn(2, 2, 6)), x=D2),
    Case("wavelet-kan", lambda: Wrap(wavelet_kan, shift=torch.randn(3, 2), scale=torch.randn(3, 2), w=torch.randn(3, 2)), x=D2),
    Case("gabor", lambda: Wrap(gabor, a=nn.Linear(2, 6), w=torch.randn(6, 1, dtype=torch.cfloat)), x=D2, step=0.005),
    Case("lagrangian", lambda: Wrap(lagrangian, n=mlp(nn.Softplus, 4)), x=uniform(10, 4)),
    Case("input-convex", lambda: Wrap(convex, a=nn.Linear(2, 4), b=nn.Linear(2, 4), w=torch.randn(4, 4), v=torch.randn(1, 4)), x=D2),
    Case("capsule", wrapped(squash, 2, 6), x=D2),
    Case("poincare", lambda: Wrap(poincare, w=torch.randn(2, 2)), x=POSITIVE),
    Case("squeeze-and-excite", lambda: Wrap(squeeze_excite, a=nn.Conv2d(1, 3, 3), b=nn.Linear(3, 3)), x=IMAGE),
    Case("mlp-mixer", lambda: Wrap(mixer, n=nn.LayerNorm(2, eps=0.1), tokens=mlp(nn.GELU, 5, 5), channels=mlp(nn.GELU, 2, 2)), x=SEQUENCE, step=0.005),
    Case("mixture-density", lambda: Wrap(density, n=mlp(nn.Tanh, 1, 9)), x=D2),
    Case("newton-root", lambda: Wrap(newton_root)),
    Case("inner-optimiser", wrapped(inner_optimiser, 2), x=D1),
    Case("ensemble-by-vmap", lambda: Wrap(ensemble, nets=nn.ModuleList(mlp(nn.Tanh, 2) for _ in range(3))), x=D2),
    Case("jacfwd-inside", wrapped(lambda s, x: torch.func.vmap(torch.func.jacfwd(s.n))(x)[:, 0], 2), x=D2),
    Case("tensor-network", lambda: Wrap(lambda s, x: torch.einsum("bi,bj,ijk->bk", x.sin(), x.cos(), s.t) + torch.tensordot(x, s.t[0], 1), t=torch.randn(2, 2, 3)), x=D2),
    Case("unfold-fold", lambda: Wrap(lambda s, x: F.fold(torch.tanh(s.a(F.unfold(x, 2, stride=2).mT)).mT, (6, 6), 2, stride=2), a=nn.Linear(4, 4)), x=IMAGE),
    Case("resize", lambda: Wrap(lambda s, x: s.a(F.interpolate(torch.sin(3 * x), size=(9, 9), mode="bicubic", align_corners=False)).flatten(1), a=nn.Conv2d(1, 1, 3)), x=IMAGE),
    Case("pixel-shuffle", lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.PixelShuffle(2), nn.Tanh(), nn.LPPool2d(2, 2), nn.Flatten()).eval(), x=IMAGE, step=0.002),
    Case("adaptive-average-pool", lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.Mish(), nn.AdaptiveAvgPool2d(3), nn.LocalResponseNorm(2), nn.Flatten()).eval(), x=IMAGE),
    Case("huge-batch", lambda: mlp(nn.Tanh, 2), x=uniform(100_000, 2)),
    Case("deep", lambda: nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(40))).eval(), x=uniform(24, 4)),
    Case("channels-last", lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten()).eval(), x=IMAGE.contiguous(memory_format=torch.channels_last)),
    Case("expanded-points", lambda: mlp(nn.Tanh, 3), x=uniform(24, 1).expand(24, 3)),
]  # fmt: skip
