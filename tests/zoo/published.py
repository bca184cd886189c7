"""More of what was published, from its formulas, and layers of torch that few try."""

# ruff: noqa: E501  the tables hold one case a line

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils import parametrize

from zoo.case import Case, Wrap, mlp, uniform
from zoo.smooth import IMAGE, SEQUENCE
from zoo.traps import wrapped

D1, D2, D3, D4 = (uniform(24, k) for k in (1, 2, 3, 4))


class Sine(nn.Module):
    def __init__(self, w=1.0):
        super().__init__()
        self.w = w

    def forward(self, x):
        return torch.sin(self.w * x)


class Snake(nn.Module):
    """Ziyin et al. (2020): x + sin²(a x) / a."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(1.3))

    def forward(self, x):
        return x + torch.sin(self.a * x) ** 2 / self.a


class Rational(nn.Module):
    """Molina et al. (2020): a safe Padé unit, smooth through its squares."""

    def forward(self, x):
        return (0.1 + 1.2 * x + 0.6 * x**2 + 0.1 * x**3) / (1 + (0.4 * x + 0.2 * x**2) ** 2)


class Gaussian(nn.Module):
    """Ramasinghe & Lucey (2022)."""

    def forward(self, x):
        return torch.exp(-(x**2) / 0.5)


class Swish(nn.Module):
    """Ramachandran et al. (2017), with its trained slope."""

    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(1.7))

    def forward(self, x):
        return x * torch.sigmoid(self.beta * x)


class Serf(nn.Module):
    """x erf(log(1 + e^x)), Nag et al. (2021)."""

    def forward(self, x):
        return x * torch.erf(F.softplus(x))


class DynamicTanh(nn.Module):
    """Zhu et al. (2025), in the place of a normalisation."""

    def __init__(self, width):
        super().__init__()
        self.a, self.g, self.b = (
            nn.Parameter(torch.tensor(0.5)),
            nn.Parameter(torch.ones(width)),
            nn.Parameter(torch.zeros(width)),
        )

    def forward(self, x):
        return self.g * torch.tanh(self.a * x) + self.b


class MultiplicativeFilter(nn.Module):
    """Fathony et al. (2021): z <- (W z + b) sin(w x + p)."""

    def __init__(self):
        super().__init__()
        self.filters = nn.ModuleList(nn.Linear(2, 16) for _ in range(3))
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        z = torch.sin(3 * self.filters[0](x))
        for layer, f in zip(self.layers, self.filters[1:], strict=True):
            z = layer(z) * torch.sin(3 * f(x))
        return self.out(z)


class ModifiedMLP(nn.Module):
    """Wang et al. (2021): two encoders gate every layer."""

    def __init__(self):
        super().__init__()
        self.u, self.v, self.h = nn.Linear(2, 16), nn.Linear(2, 16), nn.Linear(2, 16)
        self.layers, self.out = nn.ModuleList(nn.Linear(16, 16) for _ in range(2)), nn.Linear(16, 1)

    def forward(self, x):
        u, v, z = torch.tanh(self.u(x)), torch.tanh(self.v(x)), torch.tanh(self.h(x))
        for layer in self.layers:
            gate = torch.tanh(layer(z))
            z = gate * u + (1 - gate) * v
        return self.out(z)


class Highway(nn.Module):
    """Srivastava et al. (2015)."""

    def __init__(self):
        super().__init__()
        self.h, self.t = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        gate = torch.sigmoid(self.t(x) - 1)
        return gate * torch.tanh(self.h(x)) + (1 - gate) * x


class DeepRitz(nn.Module):
    """E & Yu (2018): blocks with cubed rectifiers, whose second derivative has a kink and no jump."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 1)

    def forward(self, x):
        z = self.a(x)
        return self.c(z + F.relu(self.b(F.relu(z) ** 3)) ** 3)


def hash_grid(self, x):
    """Müller et al. (2022): features at the corners of a cell, blended linearly."""
    total, levels = [], (3, 7, 13)
    for n, features in zip(levels, (self.t0, self.t1, self.t2), strict=True):
        at = (x + 1) / 2 * (n - 1)
        low = at.floor().clamp(0, n - 2).long()
        w = at - low
        corners = 0.0
        for i in (0, 1):
            for j in (0, 1):
                index = (low[:, 0] + i) * 2654435761 % 64 ^ (low[:, 1] + j) % 64
                weight = (w[:, 0] if i else 1 - w[:, 0]) * (w[:, 1] if j else 1 - w[:, 1])
                corners = corners + weight[:, None] * features[index % 64]
        total.append(corners)
    return self.n(torch.cat(total, -1))


def tri_plane(self, x):
    """Chan et al. (2022): features of three planes, bilinear."""
    features = 0.0
    for k, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
        grid = torch.stack([x[:, i], x[:, j]], -1)[None, :, None]
        features = features + F.grid_sample(self.planes[k : k + 1].to(x.dtype), grid, align_corners=True)[0, :, :, 0].T
    return self.n(features)


def perceiver(self, x):
    """Jaegle et al. (2021): latents attend to the inputs."""
    z = self.latents.expand(len(x), -1, -1)
    weights = torch.softmax(self.q(z) @ self.k(x).mT / 2, -1)
    z = F.layer_norm(z + weights @ self.v(x), (4,))
    return self.o(z.mean(1))


def set_transformer(self, x):
    """Zaheer et al. (2017): phi of every element, summed, rho."""
    return self.rho(torch.tanh(self.phi(x)).sum(1))


def performer(self, x):
    """Choromanski et al. (2021): positive random features."""

    def features(z):
        return torch.exp(z @ self.w - z.square().sum(-1, keepdim=True) / 2) + 1e-4

    q, k = features(self.q(x)), features(self.k(x))
    return (q @ (k.mT @ x) / (q @ k.sum(1)[..., None])).flatten(1)


def linformer(self, x):
    return (torch.softmax(x @ (self.e @ x).mT, -1) @ (self.f @ x)).flatten(1)


def alibi(self, x):
    """Press et al. (2022)."""
    n = x.shape[1]
    bias = -0.5 * (torch.arange(n)[:, None] - torch.arange(n)).abs().to(x)
    return F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], attn_mask=bias)[:, 0].flatten(1)


def causal(self, x):
    return F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], is_causal=True)[:, 0].flatten(1)


def soft_tree(self, x):
    """Frosst & Hinton (2017)."""
    p = torch.sigmoid(self.g(x))
    leaves = torch.stack(
        [p[:, 0] * p[:, 1], p[:, 0] * (1 - p[:, 1]), (1 - p[:, 0]) * p[:, 2], (1 - p[:, 0]) * (1 - p[:, 2])], -1
    )
    return leaves @ self.v


def hopfield(self, x):
    """Ramsauer et al. (2021)."""
    for _ in range(3):
        x = torch.softmax(2 * x @ self.m.T, -1) @ self.m
    return x


def hamiltonian(self, x):
    """Greydanus et al. (2019): the symplectic gradient of a network."""
    with torch.enable_grad():
        z = x if x.requires_grad else x.detach().requires_grad_()
        (g,) = torch.autograd.grad(self.n(z).sum(), z, create_graph=True)
    return torch.cat([g[:, 1:], -g[:, :1]], -1)


def runge_kutta(self, x):
    for _ in range(3):
        k1 = self.n(x)
        k2 = self.n(x + 0.1 * k1)
        k3 = self.n(x + 0.1 * k2)
        k4 = self.n(x + 0.2 * k3)
        x = x + 0.2 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def neural_controlled(self, x):
    """Kidger et al. (2020), Euler steps along a path of which x is the controls."""
    z = self.z.expand(len(x), -1)
    for step in x.unbind(1):
        z = z + (torch.tanh(self.f(z)).reshape(len(x), 3, -1) @ step[..., None])[..., 0]
    return z


def sinkhorn(self, x):
    """Cuturi (2013), ten steps in the logarithm."""
    cost = -(x[:, :, None] - torch.linspace(-1, 1, 4).to(x)).square() / 0.3
    for _ in range(10):
        cost = cost - cost.logsumexp(-1, keepdim=True)
        cost = cost - cost.logsumexp(-2, keepdim=True)
    return (cost.exp() * torch.arange(4.0).to(x)).sum(-1)


def kalman(self, x):
    mean, variance = torch.zeros(len(x)).to(x), torch.ones(len(x)).to(x)
    for z in x.unbind(-1):
        gain = (variance + 0.1) / (variance + 0.1 + torch.exp(z / 3))
        mean, variance = mean + gain * (z - mean), (1 - gain) * (variance + 0.1)
    return mean


def black_scholes(x):
    spot, time = 100 * torch.exp(x[:, 0] / 2), 1.5 + x[:, 1]
    d1 = (torch.log(spot / 100) + (0.02 + 0.2**2 / 2) * time) / (0.2 * time.sqrt())
    cdf = torch.distributions.Normal(0.0, 1.0).cdf
    return spot * cdf(d1) - 100 * torch.exp(-0.02 * time) * cdf(d1 - 0.2 * time.sqrt())


def ewald(x):
    """Coulomb's law, screened, of three charges."""
    q = torch.tensor([1.0, -2.0, 1.0]).to(x)
    places = torch.tensor([[0.0, 0, 2], [0, 2.5, 0], [2, 0, 0]]).to(x)
    r = (x[:, None] - places).norm(dim=-1)
    return (q * torch.erfc(0.7 * r) / r).sum(-1)


def lennard_jones(x):
    r = 1.3 + x[:, 0] / 4
    return 4 * (r**-12 - r**-6)


def spherical_harmonics(x):
    r = x + torch.tensor([2.0, 0, 0]).to(x)
    r = F.normalize(r, dim=-1)
    a, b, c = r.unbind(-1)
    return torch.stack([a * b, b * c, 3 * c * c - 1, a * c, a * a - b * b], -1)


def quaternion(x):
    q = F.normalize(torch.cat([torch.ones_like(x[:, :1]) * 2, x], -1), dim=-1)
    w, i, j, k = q.unbind(-1)
    return torch.stack([1 - 2 * (j * j + k * k), 2 * (i * j - k * w), 2 * (i * k + j * w)], -1)


def legendre(x):
    p = [torch.ones_like(x), x]
    for n in range(1, 7):
        p.append(((2 * n + 1) * x * p[-1] - n * p[-2]) / (n + 1))
    return torch.cat(p, -1)


def wavelet_scatter(self, x):
    return torch.sqrt(F.conv1d(x.mT, self.a, padding=2) ** 2 + F.conv1d(x.mT, self.b, padding=2) ** 2 + 1e-3).mean(-1)


def stft(self, x):
    s = torch.stft(x, 8, hop_length=4, window=torch.hann_window(8).to(x), return_complex=True, center=True)
    return (s.real**2 + s.imag**2 + 1e-3).log().flatten(1)


def cosine_transform(x):
    n = x.shape[-1]
    k = torch.arange(n).to(x)
    return torch.tanh(x @ torch.cos(math.pi / n * (k[:, None] + 0.5) * k)) / 3


def fourier_2d(self, x):
    z = torch.fft.rfft2(x[:, 0])
    return torch.fft.irfft2(z * self.w, s=x.shape[-2:]).tanh().mean((1, 2))


class Cayley(nn.Module):
    def forward(self, w):
        a = w - w.mT
        eye = torch.eye(len(w)).to(w)
        return torch.linalg.solve(eye + a, eye - a)


def cayley():
    layer = nn.Linear(4, 4)
    parametrize.register_parametrization(layer, "weight", Cayley())
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(4, 1)).eval()


def monotone(self, x):
    return F.linear(
        torch.tanh(F.linear(x, F.softplus(self.a.weight), self.a.bias)), F.softplus(self.b.weight), self.b.bias
    )


def maf(self, x):
    """Papamakarios et al. (2017): a masked layer's mean and scale."""
    mask = torch.tril(torch.ones(3, 3), -1).to(x)
    mean, scale = x @ (self.a * mask).T, torch.tanh(x @ (self.b * mask).T)
    z = (x - mean) * torch.exp(-scale)
    return -0.5 * z.square().sum(-1) - scale.sum(-1)


def rational_spline(self, x):
    """Durkan et al. (2019): monotone rational quadratic pieces; the slope is continuous, the bend jumps at the knots."""
    knots, values, slopes = (
        torch.linspace(-1, 1, 6).to(x),
        torch.tensor([-1.0, -0.7, 0.1, 0.3, 0.8, 1.0]).to(x),
        torch.tensor([1.0, 0.5, 1.5, 0.7, 1.2, 1.0]).to(x),
    )
    k = (torch.searchsorted(knots, x.detach().contiguous()) - 1).clamp(0, 4)
    w, h = knots[k + 1] - knots[k], values[k + 1] - values[k]
    s, t = h / w, (x - knots[k]) / w
    top = h * (s * t**2 + slopes[k] * t * (1 - t))
    return values[k] + top / (s + (slopes[k] + slopes[k + 1] - 2 * s) * t * (1 - t))


def time_embedding(self, x):
    """Ho et al. (2020): sines of x at ten frequencies, a SiLU between."""
    w = torch.exp(-math.log(1e4) * torch.arange(10) / 10).to(x)
    return self.n(torch.cat([torch.sin(20 * x * w), torch.cos(20 * x * w)], -1))


def latent_ode_attention(self, x):
    return torch.einsum("bik,bjk,bjl->bil", x, x, torch.tanh(x)).flatten(1) / 8


def gat_v2(self, x):
    """Brody et al. (2022): a leaky rectifier in the scores."""
    scores = F.leaky_relu(self.a(x)[:, :, None] + self.b(x)[:, None], 0.2).sum(-1)
    return (scores.softmax(-1) @ x).flatten(1)


def activations():
    kinds = {
        "snake": Snake,
        "rational": Rational,
        "gaussian": Gaussian,
        "swish-trained": Swish,
        "serf": Serf,
        "sine": Sine,
        "sine-10": lambda: Sine(10.0),
        "tanhshrink": nn.Tanhshrink,
        "log-sigmoid": nn.LogSigmoid,
        "mish": nn.Mish,
        "dyt": lambda: DynamicTanh(16),
    }
    return [Case(f"activation-{name}", lambda kind=kind: mlp(kind), step=0.01) for name, kind in kinds.items()]


def layers():
    kinds = {
        "conv3d": (lambda: nn.Sequential(nn.Conv3d(1, 2, 2), nn.SiLU(), nn.Flatten()), uniform(6, 1, 3, 3, 3)),
        "conv-transpose2d": (lambda: nn.Sequential(nn.ConvTranspose2d(1, 2, 2, stride=2), nn.Tanh(), nn.Flatten()), uniform(6, 1, 3, 3)),
        "depthwise-dilated": (lambda: nn.Sequential(nn.Conv2d(2, 4, 2, groups=2, dilation=2), nn.GELU(), nn.Flatten()), uniform(6, 2, 4, 4)),
        "reflection-pad": (lambda: nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten()), uniform(6, 1, 4, 4)),
        "circular-pad": (lambda: nn.Sequential(nn.Conv1d(1, 2, 3, padding=1, padding_mode="circular"), nn.Tanh(), nn.Flatten()), uniform(8, 1, 6)),
        "lp-pool": (lambda: nn.Sequential(nn.Conv1d(1, 2, 2), nn.Softplus(), nn.LPPool1d(3, 2), nn.Flatten()), uniform(8, 1, 7)),
        "local-response": (lambda: nn.Sequential(nn.Conv2d(1, 6, 2), nn.LocalResponseNorm(3), nn.Flatten()), uniform(6, 1, 4, 4)),
        "cosine-similarity": (lambda: Wrap(lambda s, x: s.c(x[:, :2] + 2, x[:, 2:] + 1), c=nn.CosineSimilarity()), D4),
        "pairwise-distance": (lambda: Wrap(lambda s, x: s.c(x[:, :2] + 3, x[:, 2:]), c=nn.PairwiseDistance()), D4),
        "bilinear-of-parts": (lambda: Wrap(lambda s, x: torch.tanh(s.c(x[:, :2], x[:, 2:])), c=nn.Bilinear(2, 2, 3)), D4),
        "adaptive-log-softmax": (lambda: Wrap(lambda s, x: s.c.log_prob(x), c=nn.AdaptiveLogSoftmaxWithLoss(4, 10, [3, 6])), D4),
        "softmin": (lambda: nn.Sequential(nn.Linear(2, 4), nn.Softmin(-1)), D2),
        "softmax2d": (lambda: nn.Sequential(nn.Conv2d(1, 3, 2), nn.Softmax2d(), nn.Flatten()), uniform(6, 1, 3, 3)),
        "unflatten-fold": (lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Unflatten(1, (4, 2)), nn.Fold((3, 2), 2), nn.Flatten()), D2),
        "upsample-bilinear": (lambda: nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(1, 1, 3), nn.Tanh(), nn.Flatten()), uniform(6, 1, 3, 3)),
        "channel-shuffle": (lambda: nn.Sequential(nn.Conv2d(1, 4, 2), nn.ChannelShuffle(2), nn.Tanh(), nn.Flatten()), uniform(6, 1, 3, 3)),
        "embedding-bag-weights": (lambda: Wrap(lambda s, x: s.e(torch.arange(3).expand(len(x), 3), per_sample_weights=x), e=nn.EmbeddingBag(3, 4, mode="sum")), D3),
        "gru-cell-chain": (lambda: Wrap(lambda s, x: s.c(x, s.c(x, s.c(x))), c=nn.GRUCell(2, 3)), D2),
        "rnn-tanh": (lambda: Wrap(lambda s, x: s.r(x)[0].flatten(1), r=nn.RNN(2, 3, batch_first=True)), SEQUENCE),
        "lstm-projection": (lambda: Wrap(lambda s, x: s.r(x)[0].flatten(1), r=nn.LSTM(2, 5, proj_size=2, batch_first=True)), SEQUENCE),
        "cross-attention": (lambda: Wrap(lambda s, x: s.a(x, s.m.expand(len(x), -1, -1), s.m.expand(len(x), -1, -1), need_weights=False)[0].flatten(1), a=nn.MultiheadAttention(2, 1, batch_first=True), m=torch.randn(1, 5, 2)), SEQUENCE),
        "whole-transformer": (lambda: Wrap(lambda s, x: s.t(x, x).flatten(1), t=nn.Transformer(6, 2, 1, 1, 8, activation="gelu", batch_first=True)), uniform(12, 3, 6)),
        "group-norm-image": (lambda: nn.Sequential(nn.GroupNorm(1, 1), nn.Conv2d(1, 2, 3), nn.SiLU(), nn.Flatten()), IMAGE),
        "rms-norm-deep": (lambda: nn.Sequential(nn.Linear(2, 8), nn.RMSNorm(8), nn.SiLU(), nn.Linear(8, 8), nn.RMSNorm(8), nn.Linear(8, 1)), D2),
        "avg-pool-ceil": (lambda: nn.Sequential(nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False), nn.Flatten(), nn.Tanh()), uniform(6, 1, 3, 3)),
    }  # fmt: skip
    return [Case(f"layer-{name}", lambda build=build: build().eval(), x=x) for name, (build, x) in kinds.items()]


CASES = [
    *activations(),
    *layers(),
    Case("multiplicative-filter", lambda: MultiplicativeFilter().eval(), x=D2),
    Case("modified-mlp", lambda: ModifiedMLP().eval(), x=D2),
    Case("cross-map-norm", lambda: nn.Sequential(nn.Conv2d(1, 6, 2), nn.CrossMapLRN2d(3), nn.Flatten()).eval(), "no-derivative", x=uniform(6, 1, 4, 4)),
    Case("highway", lambda: nn.Sequential(Highway(), Highway(), Highway()).eval(), x=D2),
    Case("deep-ritz", lambda: DeepRitz().eval(), x=D2, step=0.002),
    Case("hash-grid", lambda: Wrap(hash_grid, t0=torch.randn(64, 2), t1=torch.randn(64, 2), t2=torch.randn(64, 2), n=mlp(nn.Tanh, 6)), "kink", x=D2),
    Case("tri-plane", lambda: Wrap(tri_plane, planes=torch.randn(3, 2, 4, 4), n=mlp(nn.Tanh, 2)), "kink", x=D3),
    Case("perceiver", lambda: Wrap(perceiver, latents=torch.randn(1, 3, 4), q=nn.Linear(4, 4), k=nn.Linear(2, 4), v=nn.Linear(2, 4), o=nn.Linear(4, 1)), x=SEQUENCE),
    Case("deep-sets", lambda: Wrap(set_transformer, phi=nn.Linear(2, 8), rho=mlp(nn.Tanh, 8)), x=SEQUENCE),
    Case("performer", lambda: Wrap(performer, q=nn.Linear(2, 2), k=nn.Linear(2, 2), w=torch.randn(2, 6)), x=SEQUENCE),
    Case("linformer", lambda: Wrap(linformer, e=torch.randn(2, SEQUENCE.shape[1]), f=torch.randn(2, SEQUENCE.shape[1])), x=SEQUENCE),
    Case("alibi", lambda: Wrap(alibi), x=SEQUENCE),
    Case("causal-attention", lambda: Wrap(causal), x=SEQUENCE),
    Case("soft-tree", lambda: Wrap(soft_tree, g=nn.Linear(2, 3), v=torch.randn(4, 1)), x=D2),
    Case("hopfield", lambda: Wrap(hopfield, m=torch.randn(5, 2)), x=D2, step=0.005),
    Case("hamiltonian", wrapped(hamiltonian, 2), x=D2),
    Case("runge-kutta-4", wrapped(runge_kutta, 2, 2), x=D2),
    Case("controlled-equation", lambda: Wrap(neural_controlled, z=torch.randn(1, 3), f=nn.Linear(3, 6)), x=SEQUENCE),
    Case("sinkhorn", lambda: Wrap(sinkhorn), x=D4),
    Case("kalman", lambda: Wrap(kalman), x=D4),
    Case("black-scholes", lambda: black_scholes, x=D2),
    Case("screened-coulomb", lambda: ewald, x=D3),
    Case("lennard-jones", lambda: lennard_jones, x=D1, step=0.01),
    Case("spherical-harmonics", lambda: spherical_harmonics, x=D3),
    Case("quaternion", lambda: quaternion, x=D3),
    Case("legendre", lambda: legendre, x=D1),
    Case("scattering", lambda: Wrap(wavelet_scatter, a=torch.randn(3, 2, 5), b=torch.randn(3, 2, 5)), x=SEQUENCE, step=0.002),
    Case("short-time-fourier", lambda: Wrap(stft), x=uniform(8, 16), step=0.001),
    Case("cosine-transform", lambda: cosine_transform, x=uniform(24, 6)),
    Case("fourier-2d", lambda: Wrap(fourier_2d, w=torch.randn(IMAGE.shape[-2], IMAGE.shape[-1] // 2 + 1)), x=IMAGE),
    Case("cayley-orthogonal", cayley, x=D4),
    Case("monotone", lambda: Wrap(monotone, a=nn.Linear(1, 8), b=nn.Linear(8, 1)), x=D1),
    Case("masked-autoregressive", lambda: Wrap(maf, a=torch.randn(3, 3), b=torch.randn(3, 3)), x=D3),
    Case("rational-quadratic-spline", lambda: Wrap(rational_spline), "kink", x=uniform(24, 1, low=-0.99, high=0.99)),
    Case("time-embedding", lambda: Wrap(time_embedding, n=mlp(nn.SiLU, 20)), x=D1, step=0.005),
    Case("einsum-attention", lambda: Wrap(latent_ode_attention), x=SEQUENCE),
    Case("graph-attention-v2", lambda: Wrap(gat_v2, a=nn.Linear(2, 6), b=nn.Linear(2, 6)), "kink", x=2 * SEQUENCE),
]  # fmt: skip
