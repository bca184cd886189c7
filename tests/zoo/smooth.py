"""Smooth, well-behaved models: the right numbers, and nothing above a note."""

# ruff: noqa: E501  the tables hold one case a line

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from zoo.case import Case, Wrap, mlp, uniform

D2, D3, IMAGE, SEQUENCE = uniform(24, 2), uniform(24, 3), uniform(12, 1, 6, 6), uniform(16, 5, 2)


class Act(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


ACTIVATIONS = {
    "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "silu": nn.SiLU, "gelu": nn.GELU, "gelu-tanh": lambda: nn.GELU("tanh"),
    "softplus": nn.Softplus, "mish": nn.Mish, "logsigmoid": nn.LogSigmoid, "tanhshrink": nn.Tanhshrink,
    "sin": lambda: Act(torch.sin), "gaussian": lambda: Act(lambda z: torch.exp(-z * z)), "erf": lambda: Act(torch.erf),
    "atan": lambda: Act(torch.atan), "snake": lambda: Act(lambda z: z + torch.sin(z) ** 2),
    "square": lambda: Act(torch.square), "asinh": lambda: Act(torch.asinh),
    "glu": lambda: Act(lambda z: z * torch.sigmoid(1.7 * z)),
}  # fmt: skip


class Siren(nn.Module):
    """Sitzmann et al. (2020): sin(w0 (W x + b)), W uniform in ±1/n first, ±sqrt(6/n)/w0 after."""

    def __init__(self, inputs, width=32, w0=30.0):
        super().__init__()
        self.w0 = w0
        self.layers = nn.ModuleList([nn.Linear(inputs, width), nn.Linear(width, width)])
        self.last = nn.Linear(width, 1)
        for i, layer in enumerate(self.layers):
            bound = 1 / inputs if i == 0 else (6 / width) ** 0.5 / w0
            nn.init.uniform_(layer.weight, -bound, bound)

    def forward(self, x):
        for layer in self.layers:
            x = torch.sin(self.w0 * layer(x))
        return self.last(x)


class SpectralLayer(nn.Module):
    """Li et al. (2020), Fourier neural operator: multiply the lowest Fourier modes by complex weights."""

    def __init__(self, width=4, modes=3):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width, modes, dtype=torch.cfloat) / width)
        self.local = nn.Conv1d(width, width, 1)
        self.modes = modes

    def forward(self, v):
        low = torch.einsum("bim,iom->bom", torch.fft.rfft(v)[..., : self.modes], self.weight)
        return F.gelu(
            torch.fft.irfft(F.pad(low, (0, v.shape[-1] // 2 + 1 - self.modes)), n=v.shape[-1]) + self.local(v)
        )


class Kan(nn.Module):
    """Liu et al. (2024): every edge a cubic B-spline (Cox-de Boor) plus SiLU."""

    def __init__(self, inputs, outputs, cells=5):
        super().__init__()
        h = 6 / cells
        self.register_buffer("knots", torch.arange(-3, cells + 4) * h - 3)
        self.spline = nn.Parameter(torch.randn(outputs, inputs, cells + 3) * 0.3)
        self.base = nn.Linear(inputs, outputs)

    def forward(self, x):
        x, t = x[..., None], self.knots
        b = ((x >= t[:-1]) & (x < t[1:])).to(x.dtype)
        for k in range(1, 4):
            left = (x - t[: -k - 1]) / (t[k:-1] - t[: -k - 1]) * b[..., :-1]
            b = left + (t[k + 1 :] - x) / (t[k + 1 :] - t[1:-k]) * b[..., 1:]
        return torch.einsum("bik,oik->bo", b, self.spline) + self.base(F.silu(x[..., 0]))


class Attention(nn.Module):
    """Vaswani et al. (2017): softmax(Q K' / sqrt(d)) V over the tokens of each sample."""

    def __init__(self, width=4):
        super().__init__()
        self.qkv, self.out = nn.Linear(2, 3 * width), nn.Linear(width, 1)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.out(torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v).mean(1)


class Flow(nn.Module):
    """Chen et al. (2018), neural ODE: four steps of Runge and Kutta."""

    def __init__(self):
        super().__init__()
        self.field = mlp(nn.Tanh, 2, 2)

    def forward(self, x):
        h = 0.25
        for _ in range(4):
            a = self.field(x)
            b = self.field(x + h / 2 * a)
            c = self.field(x + h / 2 * b)
            x = x + h / 6 * (a + 2 * b + 2 * c + self.field(x + h * c))
        return x


def residual(self, x):
    for block in self.blocks:
        x = x + block(x)
    return self.head(x)


def rbf(self, x: Tensor):
    return torch.exp(-((x[:, None] - self.centres) ** 2).sum(-1) * 2) @ self.weights


def fourier(self, x):
    z = 2 * torch.pi * x @ self.frequencies
    return self.net(torch.cat([z.sin(), z.cos()], -1))


def experts(self, x):
    gates = torch.softmax(self.gate(x), -1)
    return (gates[:, None] * torch.stack([e(x) for e in self.experts], -1)).sum(-1)


def complex_layer(self, x):
    z = torch.complex(x @ self.a, x @ self.b)
    return (z * z.conj() + torch.exp(z * 1j)).real


def gradient_inside(self, x):
    x = x.requires_grad_() if x.is_leaf else x
    (gradient,) = torch.autograd.grad(self.net(x).sum(), x, create_graph=True)
    return gradient


def recurrent(self, x):
    return self.head(self.rnn(x)[0][:, -1])


def normed(norm):
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), norm, nn.SiLU(), nn.Linear(16, 1)).eval()


def trained_batch_norm():
    norm = nn.BatchNorm1d(16)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


def spectral():
    net = mlp(nn.Tanh, 2)
    parametrizations.spectral_norm(net[0])
    parametrizations.weight_norm(net[2])
    return net.eval()


def orthogonal():
    net = mlp(nn.Tanh, 2)
    parametrizations.orthogonal(net[2])
    return net.eval()


def old_norms():
    import warnings

    net = mlp(nn.Tanh, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(net[0])
        nn.utils.spectral_norm(net[2])
    return net.eval()


class Symmetric(nn.Module):
    def forward(self, w):
        return w.triu() + w.triu(1).mT


def parametrised():
    net = mlp(nn.Tanh, 2)
    parametrize.register_parametrization(net[2], "weight", Symmetric())
    return net.eval()


def linear_solve(self, x):
    a = torch.eye(2, dtype=x.dtype) * 3 + x[:, :, None] * x[:, None, :]
    return torch.linalg.solve(a, self.net(x)[..., None])[..., 0]


CASES = [Case(f"mlp-{name}", lambda a=a: mlp(a), x=uniform(24, 1, low=-2, high=2)) for name, a in ACTIVATIONS.items()]
CASES += [
    Case("mlp-2-inputs-3-outputs", lambda: mlp(nn.SiLU, 2, 3), x=D2),
    Case("resnet", lambda: Wrap(residual, blocks=nn.ModuleList(mlp(nn.SiLU, 2, 2) for _ in range(3)), head=nn.Linear(2, 1)), x=D2),
    Case("conv2d", lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 1)).eval(), x=IMAGE),
    Case("conv-group-norm", lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(), nn.Linear(64, 1)).eval(), x=IMAGE),
    Case("conv1d-transpose", lambda: nn.Sequential(nn.Conv1d(5, 4, 1), nn.Tanh(), nn.ConvTranspose1d(4, 2, 2), nn.Flatten(), nn.Linear(6, 1)).eval(), x=SEQUENCE),
    Case("layer-norm", lambda: normed(nn.LayerNorm(16)), x=D2),
    Case("rms-norm", lambda: normed(nn.RMSNorm(16)), x=D2),
    Case("batch-norm-eval", lambda: normed(trained_batch_norm()), x=D2),
    Case("instance-norm", lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 1)).eval(), x=IMAGE, step=0.01),
    Case("dropout-eval", lambda: normed(nn.Dropout(0.5)), x=D2),
    Case("spectral-and-weight-norm", spectral, x=D2),
    Case("old-weight-and-spectral-norm", old_norms, x=D2, step=0.002),
    Case("orthogonal", orthogonal, x=D2),
    Case("parametrised", parametrised, x=D2),
    Case("attention", lambda: Attention().eval(), x=SEQUENCE),
    Case("sdpa", lambda: Wrap(lambda s, x: s.head(F.scaled_dot_product_attention(s.q(x), s.q(x), s.q(x))).sum(1), q=nn.Linear(2, 4), head=nn.Linear(4, 1)), x=SEQUENCE),
    Case("multihead", lambda: Wrap(lambda s, x: s.mha(s.q(x), s.q(x), s.q(x), need_weights=False)[0].sum(1), mha=nn.MultiheadAttention(4, 2, batch_first=True), q=nn.Linear(2, 4)), x=SEQUENCE),
    Case("transformer-gelu", lambda: nn.Sequential(nn.Linear(2, 4), nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", batch_first=True), nn.Flatten(), nn.Linear(20, 1)).eval(), x=SEQUENCE, step=0.005),
    Case("transformer-norm-first", lambda: nn.Sequential(nn.Linear(2, 4), nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", batch_first=True, norm_first=True), nn.Flatten(), nn.Linear(20, 1)).eval(), x=SEQUENCE, step=0.005),
    Case("gru", lambda: Wrap(recurrent, rnn=nn.GRU(2, 6, batch_first=True), head=nn.Linear(6, 1)), x=SEQUENCE),
    Case("lstm-2-layers", lambda: Wrap(recurrent, rnn=nn.LSTM(2, 6, 2, batch_first=True), head=nn.Linear(6, 1)), x=SEQUENCE),
    Case("rnn-bidirectional", lambda: Wrap(recurrent, rnn=nn.RNN(2, 6, batch_first=True, bidirectional=True), head=nn.Linear(12, 1)), x=SEQUENCE),
    Case("lstm-cell", lambda: Wrap(lambda s, x: s.cell(x)[0], cell=nn.LSTMCell(2, 4)), x=D2),
    Case("siren", lambda: Siren(1).eval(), step=0.002),
    Case("siren-3d", lambda: Siren(3).eval(), x=D3, step=0.002),
    Case("fourier-features", lambda: Wrap(fourier, frequencies=torch.randn(2, 8), net=mlp(nn.Tanh, 16)), x=D2, step=0.004),
    Case("fno-1d", lambda: nn.Sequential(nn.Conv1d(5, 4, 1), nn.Upsample(16), SpectralLayer(), SpectralLayer(), nn.Conv1d(4, 1, 1), nn.Flatten()).eval(), x=SEQUENCE),
    Case("kan", lambda: nn.Sequential(Kan(2, 4), Kan(4, 1)).eval(), x=D2, step=0.001),
    Case("soft-mixture-of-experts", lambda: Wrap(experts, gate=nn.Linear(2, 3), experts=nn.ModuleList(mlp(nn.Tanh, 2) for _ in range(3))), x=D2),
    Case("rbf", lambda: Wrap(rbf, centres=torch.randn(9, 2), weights=nn.Parameter(torch.randn(9, 1))), x=D2),
    Case("complex", lambda: Wrap(complex_layer, a=torch.randn(2, 3), b=torch.randn(2, 3)), x=D2),
    Case("neural-ode", lambda: Flow().eval(), x=D2),
    Case("deeponet", lambda: Wrap(lambda s, x: (s.branch(x[:, :1]) * s.trunk(x[:, 1:])).sum(-1, keepdim=True), branch=mlp(nn.SiLU, 1, 8), trunk=mlp(nn.SiLU, 1, 8)), x=D2),
    Case("bilinear", lambda: Wrap(lambda s, x: s.b(torch.tanh(x), torch.sin(x)), b=nn.Bilinear(2, 2, 3)), x=D2),
    Case("glu", lambda: nn.Sequential(nn.Linear(2, 16), nn.GLU(), nn.Linear(8, 1)).eval(), x=D2),
    Case("softmax-head", lambda: nn.Sequential(mlp(nn.Tanh, 2, 4), nn.Softmax(-1)).eval(), x=D2),
    Case("log-softmax-head", lambda: nn.Sequential(mlp(nn.Tanh, 2, 4), nn.LogSoftmax(-1)).eval(), x=D2),
    Case("logsumexp", lambda: Wrap(lambda s, x: torch.logsumexp(s.n(x), -1, keepdim=True), n=mlp(nn.Tanh, 2, 4)), x=D2),
    Case("normalised", lambda: Wrap(lambda s, x: F.normalize(s.n(x) + 2, dim=-1), n=mlp(nn.Tanh, 2, 4)), x=D2),
    Case("linalg-solve", lambda: Wrap(linear_solve, net=mlp(nn.Tanh, 2, 2)), x=D2),
    Case("linalg-det", lambda: Wrap(lambda s, x: torch.linalg.det(torch.eye(2, dtype=x.dtype) * 3 + s.n(x).reshape(-1, 2, 2))[:, None], n=mlp(nn.Tanh, 2, 4)), x=D2),
    Case("cumulative", lambda: Wrap(lambda s, x: torch.cumsum(s.n(x).exp(), -1) / torch.cumprod(s.n(x).exp() + 1, -1), n=mlp(nn.Tanh, 2, 3)), x=D2),
    Case("hypernetwork", lambda: Wrap(lambda s, x: torch.tanh(torch.bmm(s.n(x).reshape(-1, 3, 2), x[..., None]))[..., 0], n=mlp(nn.Tanh, 2, 6)), x=D2),
    Case("hard-boundary", lambda: Wrap(lambda s, x: x * (1 - x) * s.n(x) + torch.sin(x), n=mlp(nn.Tanh))),
    Case("gradient-inside", lambda: Wrap(gradient_inside, net=mlp(nn.Tanh, 2)), x=D2),
    Case("embedding-beside", lambda: Wrap(lambda s, x: s.n(x + s.e.weight[1]), e=nn.Embedding(3, 2), n=mlp(nn.Tanh, 2)), x=D2),
    Case("clamp-outside-domain", lambda: Wrap(lambda s, x: s.n(x).clamp(-50, 50), n=mlp(nn.Tanh))),
    Case("polynomial", lambda: lambda x: x**3 - 2 * x**2 + 1),
    Case("runge", lambda: lambda x: 1 / (1 + 25 * x * x), step=0.003),
    Case("in-place", lambda: Wrap(lambda s, x: s.n(x.mul_(2).add_(1).tanh_()), n=mlp(nn.SiLU)), x=uniform(24, 1)),
]  # fmt: skip
