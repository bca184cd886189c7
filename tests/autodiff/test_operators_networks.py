"""The five operators on random networks: against nested reverse mode and finite differences, both in float64."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_functions import ACTIVATIONS, NETWORKS, Network, written_out
from torch import nn
from torch.func import functional_call

import sobolev
from sobolev.autodiff import reverse
from sobolev.autodiff.guard import guarded

OPERATORS = ("jacobian", "hessian", "hessian_diagonal", "laplacian")
MODES = {mode.__name__: mode for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode)}
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "strided": lambda x: torch.stack([x, -x], -1)[..., 0],
    "the same row": lambda x: x[:1].expand_as(x),
    "reversed": lambda x: x.flip(0),
}
NOT_IN_HALF = {"orthogonal", "spectral norm", "weight norm"}
"""PyTorch has no decompositions and norms of weights in half precision."""


class Case(NamedTuple):
    """How a network is evaluated."""

    order: int
    rows: int
    chunk_size: int | str | None
    mode: str
    layout: str
    size: float
    method: str

    def points(self, network, dtype=torch.float64):
        generator = torch.Generator().manual_seed(self.rows)
        x = self.size * torch.randn(self.rows, *network.inputs, generator=generator, dtype=torch.float64)
        return LAYOUTS[self.layout](x.to(dtype)), torch.randn(x.shape, generator=generator, dtype=torch.float64)


CASES = st.builds(
    Case,
    order=st.sampled_from([0, 1, 2, 2, 3, 3, 4, 5, 6]),
    rows=st.sampled_from([0, 1, 2, 4]),
    chunk_size=st.sampled_from(["auto", None, 1, 3]),
    mode=st.sampled_from(sorted(MODES)),
    layout=st.sampled_from(sorted(LAYOUTS)),
    size=st.sampled_from([1e-3, 1.0, 5.0]),
    method=st.sampled_from(["taylor", "auto"]),
)


def affordable(network: Network, order: int) -> tuple[Network, int]:
    """Nested reverse mode doubles its work with every order."""
    if order > 3:
        network = network._replace(outputs=(1,), layers=network.layers[:2])
    return network, min(order, 4) if "attention" in network.layers else order


def check_against_reverse_mode(network: Network, case: Case) -> None:
    network, order = affordable(network, case.order)
    f, (x, direction) = network.build(), case.points(network)
    reference = written_out(network.build())
    options = {"chunk_size": case.chunk_size, "method": case.method}
    calls = [(operator, {}) for operator in OPERATORS]
    for operator, own in [*calls, ("derivatives", {"order": order, "direction": direction})]:
        with guarded(x.device):
            expected = getattr(reverse, operator)(reference, x, **own)
        with MODES[case.mode]():
            ours = getattr(sobolev, operator)(f, x, **own, **options)
        for k, (a, b) in enumerate(zip(ours, expected, strict=True)):
            assert a.requires_grad == (case.mode == "enable_grad" and b.requires_grad) or not k
            scale = b.abs().max().item() if b.numel() else 0.0
            torch.testing.assert_close(
                a.detach(), b.detach(), rtol=1e-8, atol=1e-10 + 1e-9 * scale, msg=lambda m, o=operator: f"{o}: {m}"
            )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(NETWORKS, CASES)
def test_random_networks(network, case):
    check_against_reverse_mode(network, case)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(NETWORKS, CASES)
def test_many_random_networks(network, case):
    check_against_reverse_mode(network, case)


def check_precision(network: Network, case: Case, dtype: torch.dtype) -> None:
    """The digits that the precision has, against the same weights and points in float64."""
    if dtype != torch.float32:
        network = network._replace(layers=tuple(layer for layer in network.layers if layer not in NOT_IN_HALF))
    f, (x, direction) = network.build().to(dtype), case.points(network, dtype)
    direction, order = direction.to(dtype), min(case.order, 4)
    with MODES[case.mode]():
        results = [*sobolev.derivatives(f, x, order, direction, method="taylor"), *sobolev.laplacian(f, x)]
    f = f.double()
    truth = [
        *sobolev.derivatives(f, x.double(), order, direction.double(), method="taylor"),
        *sobolev.laplacian(f, x.double(), method="taylor"),
    ]
    for ours, exact in zip(results, truth, strict=True):
        assert ours.dtype == dtype
        if not exact.numel():
            continue
        allowed = (1e-3 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps) * (1e-2 + exact.abs().max())
        assert (ours.double() - exact).abs().max() <= allowed


@settings(max_examples=50, deadline=None, derandomize=True)
@given(NETWORKS, CASES, st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
def test_precision(network, case, dtype):
    check_precision(network, case, dtype)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(NETWORKS, CASES, st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
def test_precision_of_many(network, case, dtype):
    check_precision(network, case, dtype)


SMOOTH = range(8)
"""Differences must not step over a kink."""
LOSSES = {
    "value": lambda f, x: sobolev.jacobian(f, x, method="taylor")[0],
    "gradient": lambda f, x: sobolev.jacobian(f, x, method="taylor")[1],
    "hessian": lambda f, x: sobolev.hessian(f, x, method="taylor")[2],
    "diagonal": lambda f, x: sobolev.hessian_diagonal(f, x, method="taylor")[2],
    "laplacian": lambda f, x: sobolev.laplacian(f, x, method="taylor")[2],
    "second": lambda f, x: sobolev.derivatives(f, x, 2, torch.ones_like(x), method="taylor")[2],
    "third": lambda f, x: sobolev.derivatives(f, x, 3, torch.ones_like(x), method="taylor")[3],
}


EIGHTH_ORDER = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
"""Of central differences."""


def check_gradients(network: Network, what: str) -> None:
    """One backward pass through the derivatives gives what differences of a loss on them say, for weights and x."""
    layers = tuple(layer for layer in network.layers if isinstance(layer, str) or layer in SMOOTH)
    f = network._replace(layers=layers).build()
    x = torch.randn(2, *network.inputs, dtype=torch.float64)
    start = {**dict(f.named_parameters()), "x": x}
    steps = {name: torch.randn_like(tensor) for name, tensor in start.items()}

    def loss(shift):
        moved = {name: tensor.detach() + shift * steps[name] for name, tensor in start.items()}
        points = moved.pop("x")
        return LOSSES[what](lambda x: functional_call(f, moved, (x,)), points).sin().sum()

    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(shift), shift)
    for h in (1e-3, 1e-4, 1e-5, 1e-6):  # a layer norm of two units goes from -1 to 1 within √ε = 0.003
        with torch.no_grad():
            difference = sum(w * (loss(k * h) - loss(-k * h)) for k, w in EIGHTH_ORDER.items()) / h
        if torch.allclose(gradient, difference, rtol=1e-6, atol=1e-7):
            return
    torch.testing.assert_close(gradient, difference, rtol=1e-6, atol=1e-7)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(NETWORKS, st.sampled_from(sorted(LOSSES)))
def test_gradients_against_finite_differences(network, what):
    check_gradients(network, what)


def test_gradients_through_layer_norms_of_two_units():
    """Where a difference with a step of 1e-3 is as large as the gradient and has the wrong sign."""
    torch.manual_seed(35)
    f = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 1)).double()
    formula = nn.Sequential(f[0], TwoUnits(), f[2], TwoUnits(), f[4])
    x, variables = torch.randn(2, 3, dtype=torch.float64), list(f[::2].parameters())
    results = []
    for network, method in ((f, "taylor"), (formula, "reverse")):
        third = sobolev.derivatives(network, x, 3, torch.ones_like(x), method=method)[3]
        results.append(torch.autograd.grad(third.sin().sum(), variables, allow_unused=True, materialize_grads=True))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


class TwoUnits(nn.Module):
    """The layer norm of two units, written out."""

    def forward(self, x):
        half = (x[:, :1] - x[:, 1:]) / 2
        first = half * torch.rsqrt(half**2 + 1e-5)
        return torch.cat([first, -first], 1)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(NETWORKS, st.sampled_from(sorted(LOSSES)))
def test_gradients_of_many_against_finite_differences(network, what):
    check_gradients(network, what)


def test_the_smooth_activations_come_first():
    names = [str(ACTIVATIONS[k]()) for k in SMOOTH]
    assert not any(name.startswith(("CELU", "Hardswish", "PReLU", "Softsign")) for name in names)
