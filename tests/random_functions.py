"""Random formulas and random networks for property tests (Hypothesis)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath
import sympy
import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

# --- formulas ---------------------------------------------------------------------------------------------------

SYMBOLS = sympy.symbols("x y")


class Formula(NamedTuple):
    """An expression of x and y, and the same in torch: maps (batch, 2) to (batch,)."""

    exact: sympy.Expr
    function: Callable[[Tensor], Any]

    def __repr__(self) -> str:
        return str(self.exact)


def _softplus(e):
    return sympy.log(1 + sympy.exp(e))


UNARY = {
    "sin": (sympy.sin, torch.sin),
    "cos": (sympy.cos, torch.cos),
    "exp of sine": (lambda e: sympy.exp(sympy.sin(e)), lambda e: torch.exp(torch.sin(e))),
    "gauss": (lambda e: sympy.exp(-(e**2)), lambda e: torch.exp(-(e**2))),
    "tanh": (sympy.tanh, torch.tanh),
    "sigmoid": (lambda e: 1 / (1 + sympy.exp(-e)), torch.sigmoid),
    "atan": (sympy.atan, torch.atan),
    "asinh": (sympy.asinh, torch.asinh),
    "erf": (sympy.erf, torch.erf),
    "softplus": (_softplus, functional.softplus),
    "silu": (lambda e: e / (1 + sympy.exp(-e)), functional.silu),
    "gelu": (lambda e: e * (1 + sympy.erf(e / sympy.sqrt(2))) / 2, functional.gelu),
    "mish": (lambda e: e * sympy.tanh(_softplus(e)), functional.mish),
    "sqrt": (lambda e: sympy.sqrt(1 + e**2), lambda e: torch.sqrt(1 + e * e)),
    "rsqrt": (lambda e: (2 + e**2) ** sympy.Rational(-3, 2), lambda e: (2 + e * e) ** -1.5),
    "log": (lambda e: sympy.log(2 + e**2), lambda e: torch.log(2 + e.square())),
    "log1p": (lambda e: sympy.log(1 + e**2), lambda e: torch.log1p(e * e)),
    "reciprocal": (lambda e: 1 / (1 + e**2), lambda e: 1 / (1 + e**2)),
    "cube": (lambda e: e**3, lambda e: e**3),
    "power": (lambda e: 2 ** sympy.sin(e), lambda e: 2.0 ** torch.sin(e)),
    "negative": (lambda e: -e / 3, lambda e: -e / 3),
}
BINARY = {
    "+": (lambda a, b: a + b, lambda a, b: a + b),
    "-": (lambda a, b: a - b, torch.sub),
    "*": (lambda a, b: a * b, torch.mul),
    "/": (lambda a, b: a / (2 + sympy.sin(b)), lambda a, b: a / (2 + torch.sin(b))),
    "hypot": (lambda a, b: sympy.sqrt(1 + a**2 + b**2), lambda a, b: _root_of_squares(a, b)),
    "softmax": (lambda a, b: 1 / (1 + sympy.exp(b - a)), lambda a, b: torch.softmax(torch.stack([a, b]), 0)[0]),
    "logsumexp": (
        lambda a, b: sympy.log(sympy.exp(a) + sympy.exp(b)),
        lambda a, b: torch.logsumexp(torch.stack([a, b], -1), -1),
    ),
    "logaddexp": (lambda a, b: sympy.log(sympy.exp(a) + sympy.exp(b)), torch.logaddexp),
    "atan2": (lambda a, b: sympy.atan(a / (2 + b**2)), lambda a, b: torch.atan2(a, 2 + b * b)),
    "complex": (lambda a, b: sympy.exp(a / 4) * sympy.cos(b), lambda a, b: torch.exp(torch.complex(a / 4, b)).real),
}


def _root_of_squares(a, b):
    return torch.linalg.vector_norm(torch.stack(torch.broadcast_tensors(a, b, torch.ones_like(a)), -1), dim=-1)


def _unary(name: str, inner: Formula) -> Formula:
    exact, ours = UNARY[name]
    return Formula(exact(inner.exact), lambda x: ours(inner.function(x)))


def _binary(name: str, a: Formula, b: Formula) -> Formula:
    exact, ours = BINARY[name]
    return Formula(exact(a.exact, b.exact), lambda x: ours(a.function(x), b.function(x)))


_X, _Y = SYMBOLS
_LEAVES = [
    Formula(_X, lambda x: x[:, 0]),
    Formula(_Y, lambda x: x[..., 1]),
    Formula(_X / 2 + 1, lambda x: x.select(1, 0) / 2 + 1),
    Formula(_X * _Y, lambda x: x.prod(1)),
    Formula(_X + 2 * _Y, lambda x: x @ torch.tensor([1.0, 2.0], dtype=x.dtype)),
]
FORMULAS = st.recursive(
    st.sampled_from(_LEAVES),
    lambda inner: st.one_of(
        st.builds(_unary, st.sampled_from(sorted(UNARY)), inner),
        st.builds(_binary, st.sampled_from(sorted(BINARY)), inner, inner),
    ),
    max_leaves=3,
)


def series(formula: Formula, point: list[float], direction: list[float], order: int) -> list[float]:
    """The Taylor coefficients of t -> formula(point + t direction), by mpmath, with digits to spare."""
    evaluate = sympy.lambdify(SYMBOLS, formula.exact, "mpmath")
    with mpmath.workdps(40):
        line = [(mpmath.mpf(p), mpmath.mpf(v)) for p, v in zip(point, direction, strict=True)]
        return [float(c) for c in mpmath.taylor(lambda t: evaluate(*(p + t * v for p, v in line)), 0, order)]


# --- networks ---------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self, *inner):
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x):
        return x + self.inner(x)


class Gated(nn.Module):
    """A product of branches."""

    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return torch.sin(self.a(x)) * torch.sigmoid(self.b(x)) + x


class Concatenated(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Linear(width, 2), nn.Linear(width + 2, width)

    def forward(self, x):
        parts = [x, torch.cos(self.a(x))]
        return self.b(torch.cat(parts, -1))


class Attention(nn.Module):
    """Every feature is a token."""

    def __init__(self, width):
        super().__init__()
        self.embed, self.attend = nn.Linear(1, 4), nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        tokens = self.embed(x.unsqueeze(-1))
        return self.attend(tokens, tokens, tokens, need_weights=False)[0].mean(-1)


class Convolution(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c = nn.Conv1d(1, 2, 3, padding=1)

    def forward(self, x):
        return torch.tanh(self.c(x[:, None])).sum(1)


class InPlace(nn.Module):
    """Written piece by piece."""

    def forward(self, x):
        y = torch.zeros_like(x)
        y[:, 0] = x[:, 0] ** 2
        y[:, 1:] = x[:, :-1] * x[:, 1:]
        return y.mul_(0.5).add_(x)


class Tied(nn.Module):
    """The same weights there and back."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width) / 2)

    def forward(self, x):
        return torch.tanh(x @ self.weight) @ self.weight.T


class LayerNorm(nn.Module):
    """Written out: PyTorch's nested derivatives of its own are wrong from the third order on."""

    def __init__(self, width):
        super().__init__()
        self.ours = nn.LayerNorm(width, eps=0.1)

    def forward(self, x):
        return self.ours(x)

    def written(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 0.1).sqrt() * self.ours.weight + self.ours.bias


class Twice(nn.Module):
    """A shared submodule."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(torch.sin(self.inner(x)))


def _hooked(width):
    layer = nn.Linear(width, width)
    layer.register_forward_pre_hook(lambda module, args: (args[0] * 0.5,))
    layer.register_forward_hook(lambda module, args, output: torch.atan(output))
    return layer


def _batch_norm(width):
    norm = nn.BatchNorm1d(width)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


ACTIVATIONS = [nn.Tanh, nn.SiLU, nn.GELU, functools.partial(nn.GELU, "tanh"), nn.Softplus, nn.Mish, nn.Sigmoid,
               nn.LogSigmoid, nn.Softsign, nn.Tanhshrink, functools.partial(nn.Softmax, -1), nn.CELU, nn.Hardswish,
               functools.partial(nn.PReLU, init=0.3)]  # fmt: skip
BLOCKS: dict[str, Callable[[int], nn.Module]] = {
    "residual": lambda width: Residual(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)),
    "gated": Gated,
    "concatenated": Concatenated,
    "attention": Attention,
    "convolution": Convolution,
    "in place": lambda width: InPlace(),
    "tied": Tied,
    "layer norm": LayerNorm,
    "shared": lambda width: Twice(nn.Linear(width, width)),
    "shared block": lambda width: Twice(Residual(nn.Linear(width, width), nn.Tanh())),
    "hooked": _hooked,
    "batch norm": _batch_norm,
    "dropout": lambda width: nn.Dropout(0.5),
    "spectral norm": lambda width: parametrizations.spectral_norm(nn.Linear(width, width)),
    "weight norm": lambda width: parametrizations.weight_norm(nn.Linear(width, width)),
    "orthogonal": lambda width: parametrizations.orthogonal(nn.Linear(width, width)),
    "frozen": lambda width: nn.Linear(width, width).requires_grad_(False),
    "no bias": lambda width: nn.Linear(width, width, bias=False),
}


class Network(NamedTuple):
    """What Hypothesis draws; `build` makes it, the same every time."""

    inputs: tuple[int, ...]
    width: int
    outputs: tuple[int, ...]
    layers: tuple[str | int, ...]
    seed: int

    def build(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        torch.manual_seed(self.seed)
        flat, out = torch.Size(self.inputs).numel(), torch.Size(self.outputs).numel()
        layers = [nn.Flatten(), nn.Linear(flat, self.width), nn.Tanh()]
        for layer in self.layers:
            layers.append(BLOCKS[layer](self.width) if isinstance(layer, str) else ACTIVATIONS[layer]())
        head = [nn.Linear(self.width, out), nn.Unflatten(1, self.outputs)]
        return nn.Sequential(*layers, *head).to(dtype).eval()


def written_out(network: nn.Module) -> nn.Module:
    """With layer norms in operations that PyTorch differentiates rightly."""
    for module in network.modules():
        if isinstance(module, LayerNorm):
            module.forward = module.written
    return network


NETWORKS = st.builds(
    Network,
    inputs=st.sampled_from([(1,), (2,), (3,), (5,), (2, 2)]),
    width=st.integers(2, 5),
    outputs=st.sampled_from([(1,), (2,), (3,), (2, 2)]),
    layers=st.lists(
        st.one_of(st.sampled_from(sorted(BLOCKS)), st.integers(0, len(ACTIVATIONS) - 1)), min_size=1, max_size=4
    ).map(tuple),
    seed=st.integers(0, 10_000),
)
