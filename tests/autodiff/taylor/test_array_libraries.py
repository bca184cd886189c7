"""Functions of libraries that ask for the type of an array, in Taylor mode, against reverse mode."""

import pytest
import torch

import sobolev

X = torch.linspace(-1, 2, 30, dtype=torch.float64).reshape(5, 6).sin()
MATRIX = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)


def check(f):
    for operator in (sobolev.jacobian, sobolev.hessian, sobolev.laplacian):
        for mode in (torch.no_grad, torch.enable_grad):
            with mode():
                found = operator(f, X, method="taylor")
            expected = operator(f, X, method="reverse")
            torch.testing.assert_close(tuple(t.detach() for t in found), tuple(t.detach() for t in expected))


def test_einops():
    einops = pytest.importorskip("einops")

    def f(x):
        y = einops.rearrange(x.sin(), "b (h w) -> b w h", h=2)
        y = einops.einsum(y * y, MATRIX, "b w h, w c -> b h c")
        return einops.reduce(einops.repeat(y, "b h c -> b h c k", k=2), "b h c k -> b c", "mean")

    check(f)


def test_layers_of_einops():
    pytest.importorskip("einops")
    from einops.layers.torch import Rearrange, Reduce

    check(torch.nn.Sequential(torch.nn.Tanh(), Rearrange("b (h w) -> b h w", h=2), Reduce("b h w -> b w", "sum")))


def test_opt_einsum():
    opt_einsum = pytest.importorskip("opt_einsum")
    check(lambda x: opt_einsum.contract("bhw,wc,bhw->bc", x.reshape(5, 2, 3).sin(), MATRIX, x.reshape(5, 2, 3).exp()))
