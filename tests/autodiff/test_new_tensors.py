"""Functions that make a tensor and write into it stay in Taylor mode; the truth is float64 reverse mode."""

import logging

import pytest
import torch
from torch import nn
from torch.autograd import grad

import sobolev
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.tape import Path

X = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Spectral(nn.Module):
    """A layer of a Fourier neural operator: the lowest frequencies times complex weights."""

    def __init__(self, channels: int, modes: int):
        super().__init__()
        generator = torch.Generator().manual_seed(channels)
        shape = (2, channels, channels, modes, modes)
        self.weight = nn.Parameter(torch.randn(shape, dtype=torch.complex128, generator=generator) / channels)
        self.modes = modes

    def forward(self, u):
        spectrum, m = torch.fft.rfft2(u), self.modes
        out = torch.zeros(spectrum.shape, dtype=torch.complex128)
        out[:, :, :m, :m] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, :m, :m], self.weight[0])
        out[:, :, -m:, :m] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, -m:, :m], self.weight[1])
        return torch.fft.irfft2(out, s=u.shape[-2:])


class FourierOperator(nn.Module):
    def __init__(self, channels: int = 4, modes: int = 2):
        super().__init__()
        torch.manual_seed(0)
        self.lift, self.project = nn.Conv2d(1, channels, 1).double(), nn.Conv2d(channels, 1, 1).double()
        self.spectral, self.local = Spectral(channels, modes), nn.Conv2d(channels, channels, 1).double()

    def forward(self, u):
        u = self.lift(u)
        return self.project(nn.functional.gelu(self.spectral(u) + self.local(u)))


class Energy(FourierOperator):
    """One number for each sample."""

    def forward(self, u):
        return super().forward(u).square().mean((1, 2, 3))


def buffer(x):
    return torch.zeros(len(x), 3, dtype=torch.float64)


def by_columns(x):
    out = buffer(x)
    out[:, 0] = x[:, 0] ** 2
    out[:, 1:] = x[:, :2].sin()
    return out


def added(x):
    out = buffer(x)
    out += x**3
    return out.add_(x.sin())


def through_a_view(x):
    out = buffer(x)
    column = out[:, 1]
    column.copy_(x[:, 0] * x[:, 2])
    return out * x


def put(x):
    out = buffer(x)
    out.index_put_((torch.tensor([0]),), x[:1] ** 2)
    return out.scatter_(1, torch.tensor([[0], [1], [2], [1], [0]]), x[:, :1].exp())


def masked(x):
    out = buffer(x)
    out[x > 0] = x[x > 0] ** 2
    return out.masked_scatter_(x < -0.5, x[x < -0.5].exp())


def of_a_list(x):
    out = torch.empty(len(x), 3, dtype=torch.float64)
    for i, row in enumerate(x):
        out[i] = row * row.sum()
    return out


def steps(x):
    h, total = torch.zeros(len(x), 3, dtype=torch.float64), torch.ones(len(x), 1, dtype=torch.float64)
    for _ in range(3):
        h = torch.tanh(h + x)
        total += h[:, :1] * x[:, 2:]
    return torch.cat([h, total], 1)


def parts_of_parts(x):
    table = torch.full((len(x), 2, 2), 0.5, dtype=torch.float64)
    block = table[:, 0]
    block[:, 1] = x[:, 0] ** 3
    table[:, 1, 0] += x[:, 1]
    return torch.linalg.solve(table + torch.eye(2, dtype=torch.float64), x[:, :2])


FUNCTIONS = [by_columns, added, through_a_view, put, masked, of_a_list, steps, parts_of_parts]


@pytest.mark.parametrize("f", FUNCTIONS)
@pytest.mark.parametrize("operator", ["jacobian", "hessian", "hessian_diagonal", "laplacian"])
def test_functions(f, operator):
    found, exact = (getattr(sobolev, operator)(f, X, method=method) for method in ("taylor", "reverse"))
    for mine, theirs in zip(found, exact, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("model", [FourierOperator(), Energy()])
@pytest.mark.parametrize("operator", ["jacobian", "laplacian"])
def test_fourier_neural_operators(model, operator):
    u = torch.randn(2, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    results = [getattr(sobolev, operator)(model, u, method=method) for method in ("auto", "taylor", "reverse")]
    for mine in results[:2]:
        for one, exact in zip(mine, results[2], strict=True):
            torch.testing.assert_close(one, exact, rtol=1e-11, atol=1e-13)
    weights = list(model.parameters())
    losses = [torch.stack([tensor.square().sum() for tensor in result]).sum() for result in results[1:]]
    ours, theirs = (grad(loss, weights) for loss in losses)
    for mine, exact in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-10, atol=1e-13)


def test_derivatives_of_few_outputs_take_a_reverse_pass_each(monkeypatch):
    model, u, found = Energy(), torch.randn(2, 1, 6, 6, dtype=torch.float64), []
    jacobian = Path.jacobian
    monkeypatch.setattr(Path, "jacobian", lambda *given: found.append(len(given[1])) or jacobian(*given))
    sobolev.jacobian(model, u, method="taylor")
    assert found == [1]


def test_no_jet_is_left_behind_and_nothing_that_was_there_before_is_written_to():
    class Cached(nn.Module):
        kept: torch.Tensor

        def __init__(self):
            super().__init__()
            self.register_buffer("kept", torch.zeros(5, 3, dtype=torch.float64))
            self.table = None

        def forward(self, x):
            y = torch.zeros(x.shape, dtype=torch.float64)
            y[:, :2] = x[:, :2].exp()
            self.table = torch.ones(3, dtype=torch.float64)
            return y * self.table + self.kept

    model = Cached()
    _, J = sobolev.jacobian(model, X, method="taylor")
    torch.testing.assert_close(J[:, 0, 0], X[:, 0].exp())
    assert not isinstance(model.table, Jet) and torch.equal(model(X).isfinite().all(), torch.tensor(True))
    assert torch.equal(model.kept, torch.zeros_like(model.kept))


def test_a_tensor_that_was_there_before_holds_no_derivatives():
    outside = torch.zeros(5, 3, dtype=torch.float64)

    def f(x):
        outside[:, 0] = x[:, 0]
        return outside * x

    for _ in range(2):
        with pytest.raises(sobolev.autodiff.NoRuleError, match="ordinary tensor"):
            sobolev.jacobian(f, X, method="taylor")


def with_out(x):
    out = buffer(x)
    torch.mul(x, x.sin(), out=out) if not isinstance(x, torch.Tensor) else out.copy_(x * x.sin())
    return out


def test_what_cannot_be_followed_is_answered_by_reverse_mode(caplog):
    with caplog.at_level(logging.DEBUG, logger="sobolev"):
        results = sobolev.hessian(with_out, X)
    assert "ordinary tensor" in caplog.text
    for ours, theirs in zip(results, sobolev.hessian(with_out, X, method="reverse"), strict=True):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(sobolev.autodiff.NoRuleError, match="ordinary tensor"):
        sobolev.hessian(with_out, X, method="taylor")


@pytest.mark.parametrize("make", [torch.zeros_like, lambda x: x.new_zeros(x.shape), lambda x: x.clone().zero_()])
def test_tensors_made_from_x_are_followed(make):
    def f(x):
        out = make(x)
        out[:, 0] = x[:, 1] ** 2
        out[:, 1:] += x[:, :2].sin()
        return out

    for ours, theirs in zip(
        sobolev.hessian(f, X, method="taylor"), sobolev.hessian(f, X, method="reverse"), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
