"""The rules hold no branch on values and no host synchronisation: torch.compile takes them in one graph."""

from functools import partial

import pytest
import torch
from cases import Products
from torch import nn
from torch.nn import functional

import sobolev
from sobolev.autodiff.taylor import operators as taylor

torch.manual_seed(0)


def written(x):
    y = x.sin()
    y[:, 0] = x[:, 1] ** 2
    y += x
    return functional.relu(y, inplace=True) + y.max(1, keepdim=True).values


class Activations(nn.Module):
    """All at once: compiling takes longer than computing."""

    def __init__(self):
        super().__init__()
        kinds = [
            nn.ReLU,
            nn.ReLU6,
            nn.LeakyReLU,
            nn.PReLU,
            nn.ELU,
            nn.CELU,
            nn.SELU,
            nn.GELU,
            nn.SiLU,
            nn.Mish,
            nn.Tanh,
        ]
        kinds += [
            nn.Sigmoid,
            nn.Softplus,
            nn.LogSigmoid,
            nn.Softsign,
            nn.Tanhshrink,
            nn.Hardtanh,
            nn.Hardswish,
            nn.Hardsigmoid,
        ]
        kinds += [
            nn.Hardshrink,
            nn.Softshrink,
            partial(nn.GELU, "tanh"),
            partial(nn.Softmax, 1),
            partial(nn.LogSoftmax, 1),
        ]
        kinds += [partial(nn.Softmin, 1), partial(nn.Threshold, 0.1, 0.0)]
        self.layer, self.activations = nn.Linear(4, 4), nn.ModuleList(kind() for kind in kinds)

    def forward(self, x):
        z = self.layer(x)
        return sum(activation(z) for activation in self.activations) + nn.ReLU(inplace=True)(z * 2) + torch.relu_(z * 3)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.attend, self.norm = (
            nn.Linear(1, 4),
            nn.MultiheadAttention(4, 2, batch_first=True),
            nn.RMSNorm(4),
        )

    def forward(self, x):
        h = self.embed(x.unsqueeze(-1))
        return self.norm(h + self.attend(h, h, h, need_weights=False)[0]).mean(1)


class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.lstm = nn.GRU(2, 3, bidirectional=True), nn.LSTM(6, 2, 2, batch_first=True)

    def forward(self, x):
        return self.lstm(self.gru(x.unflatten(1, (2, 2)))[0])[0].flatten(1)


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.lstm = nn.GRUCell(4, 3), nn.LSTMCell(3, 2)

    def forward(self, x):
        return self.lstm(self.gru(x))[0]


def lengths(x):
    y = (
        x / x.norm(dim=1, keepdim=True)
        + functional.normalize(x, dim=1)
        + torch.linalg.vector_norm(x, dim=1, keepdim=True)
    )
    return (y / x.std(1, keepdim=True)).relu_() + 1 / (2 + functional.cosine_similarity(x, y, dim=1).unsqueeze(1))


def rearranged(x):
    y = torch.cat([part.sin() for part in x.split(2, 1)] + [x.unflatten(1, (2, 2)).mT.flatten(1)[:, [0, 3]]], 1)
    y = torch.flip(y, dims=(1,)).unsqueeze(1).movedim(1, -1).squeeze(-1)
    y = torch.stack([*torch.unbind(y, 1)], 1) * x.sort(1).values.repeat(1, 2)[:, :6] + y.cumsum(1).roll(1, 1)
    return torch.matmul(torch.where(y > 0, y.clamp(max=2), functional.pad(y, (1, 1))[:, :-2]), torch.ones(6, 2))


def operators(x):
    w = torch.linspace(1, 2, 4)
    x = torch.add(torch.einsum("bi,ij,bj->bj", x, torch.eye(4), x), other=x)
    return x**w + w**x + x / w + w / x + (x - w) * (w - x) + x % w + 2**x + 1 / x + (5 - x) + x // w + 7 // x


MODELS = {
    "operators": lambda x: operators(x.exp()),
    "activations": Activations(),
    "attention": Attention(),
    "gated cells": Gated(),
    "lengths": lengths,
    "rearranged": rearranged,
    "layer norm": nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ELU(), nn.Linear(6, 2), nn.Softmax(1)),
    "convolution": nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 3), nn.GroupNorm(1, 2), nn.MaxPool1d(2)),
    "adaptive pooling": nn.Sequential(nn.Linear(4, 4), nn.Unflatten(1, (1, 4)), nn.AdaptiveMaxPool1d(2)),
    "recurrent": nn.GRUCell(4, 3),
    "written": written,
    "losses": lambda x: torch.stack(
        [
            functional.l1_loss(x, x.sin(), weight=x.detach().abs(), reduction="none").sum(1),
            functional.cross_entropy(x, torch.arange(5) % 4, label_smoothing=0.1, reduction="none"),
            functional.mse_loss(x, x.cos(), reduction="none").mean(1),
        ]
    ),
    "special functions": lambda x: (
        torch.special.bessel_j1(x) + torch.special.i0e(x) + torch.special.zeta(2.0, x.exp()) + torch.special.i1(x)
    ),
    "decompositions": lambda x: (
        torch.linalg.lu_factor(torch.eye(2) * 3 + x.reshape(-1, 2, 2)).LU
        + torch.linalg.householder_product(x.reshape(-1, 2, 2), x[:, :2].sin())
    ),
    "linear algebra": lambda x: torch.linalg.solve(torch.eye(2) * 3 + x.reshape(-1, 2, 2), x[:, :2]),
}


@pytest.mark.parametrize("name", MODELS)
def test_compiled_inference(name):
    model, x = MODELS[name], torch.randn(5, 4)
    torch.compiler.reset()

    def f(x):
        with torch.no_grad():
            return taylor.laplacian(model, x)

    compiled = torch.compile(f, fullgraph=True, backend="eager")(x)
    for ours, theirs in zip(compiled, f(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if isinstance(model, nn.Module)])
def test_compiled_training_step(name):
    model, x, direction = MODELS[name], torch.randn(5, 4), torch.ones(5, 4)
    torch.compiler.reset()

    def loss(x):
        return sum(y.square().mean() for y in taylor.derivatives(model, x, 2, direction))

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    weights = list(model.parameters())
    ours, theirs = (torch.autograd.grad(f(x), weights, allow_unused=True) for f in (compiled, loss))
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None) or not (b if a is None else a).any()
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_recurrent_layers_where_dynamo_is_allowed_to_take_them():
    model, x = Sequences(), torch.randn(3, 4)
    torch.compiler.reset()
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(lambda x: taylor.laplacian(model, x), fullgraph=True, backend="eager")(x)
    for ours, theirs in zip(compiled, taylor.laplacian(model, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("f", [lambda x, w: x @ w, lambda x, w: w @ x])
def test_what_dynamo_confuses_is_refused(f):
    torch.compiler.reset()
    w, x = torch.rand(2, 4, 4)
    compiled = torch.compile(lambda x: taylor.jacobian(lambda x: f(x, w), x), fullgraph=True, backend="eager")
    with pytest.raises(Exception, match=r"torch\.matmul"):
        compiled(x)


def chain(activation, outputs=1):
    layers = nn.Linear(5, 6), activation(), nn.Linear(6, 6), activation(), nn.Linear(6, outputs)
    return nn.Sequential(*layers)


OF_MANY_INPUTS = {
    "tanh": chain(nn.Tanh),
    "silu, two outputs": chain(nn.SiLU, 2),
    "more outputs than pay": chain(nn.Sigmoid, 4),
    "layer norm": nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 1)),
    "ends in an activation": nn.Sequential(nn.Linear(5, 2), nn.Tanh()),
    "linear": nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 1)),
    "linear, no chain": nn.Linear(5, 1),
    "products": Products(),
    "rows change places": lambda x: torch.tanh(x.transpose(0, 1) * 2).transpose(0, 1).exp().sum(1, keepdim=True),
    "constant": lambda x: torch.ones_like(x[:, :1]),
}


OTHERS = [sobolev.jacobian, sobolev.hessian_diagonal, sobolev.laplacian]


@pytest.mark.parametrize(
    ("operator", "name"),
    [(sobolev.hessian, name) for name in OF_MANY_INPUTS] + [(f, name) for f in OTHERS for name in ("tanh", "linear")],
)
def test_second_derivatives_of_many_inputs(name, operator):
    """With a graph to the weights and without one; LayerNorm's weights have a wrong gradient in reverse mode."""
    model, x = OF_MANY_INPUTS[name], torch.randn(5, 5)
    torch.compiler.reset()
    compiled = torch.compile(lambda x: operator(model, x), fullgraph=True, backend="aot_eager")
    expected, found = operator(model, x, method="reverse"), compiled(x)
    with torch.no_grad():
        graphless = compiled(x)
    for a, b, c in zip(found, graphless, expected, strict=True):
        assert not b.requires_grad
        torch.testing.assert_close(a, c, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(b, c, rtol=1e-4, atol=1e-5)
    if isinstance(model, nn.Module):
        weights = list(model.parameters())
        ours, theirs = (
            torch.autograd.grad(sum(y.square().sum() for y in results), weights, allow_unused=True)
            for results in (found, operator(model, x, method="taylor"))
        )
        for a, b in zip(ours, theirs, strict=True):
            assert (a is None) == (b is None) or not (b if a is None else a).any()
            if a is not None and b is not None:
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("activation", "dtype"),
    [(nn.Tanh, torch.float32), (nn.Tanh, torch.float64), (nn.Sigmoid, torch.float32), (nn.SiLU, torch.float64)],
)
def test_all_orders_of_a_chain(activation, dtype):
    torch.compiler.reset()
    model, x = chain(activation).to(dtype), torch.linspace(-2, 2, 7, dtype=dtype)[:, None].repeat(1, 5)
    compiled = torch.compile(lambda x: sobolev.derivatives(model, x, 6, torch.ones(5)), fullgraph=True, backend="eager")
    exact = sobolev.derivatives(model.double(), x.double(), 6, torch.ones(5))
    model.to(dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    with torch.no_grad():
        for order, (a, b) in enumerate(zip(compiled(x), exact, strict=True)):
            assert (a - b).abs().max() <= tolerance * 3**order * (1 + b.abs().max())


@pytest.mark.parametrize(
    "run",
    [
        lambda model, x: sobolev.derivatives(model, x, 3, torch.ones(5)),
        lambda model, x: sobolev.hessian(model, x),
        lambda model, x: sobolev.laplacian(lambda x: model(x), x),
    ],
)
def test_other_numbers_of_the_same_shapes_are_not_compiled_again(run):
    torch.compiler.reset()
    model = chain(nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    compiled = torch.compile(lambda x: sum(y.square().mean() for y in run(model, x)), fullgraph=True, backend="eager")
    compiled(torch.randn(5, 5)).backward()
    with torch.compiler.set_stance("fail_on_recompile"):
        for _ in range(2):
            optimizer.step()
            optimizer.zero_grad()
            x = torch.randn(5, 5)
            loss = compiled(x)
            loss.backward()
            torch.testing.assert_close(loss, sum(y.square().mean() for y in run(model, x)))
