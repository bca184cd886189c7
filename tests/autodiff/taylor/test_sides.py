"""Functions that are smooth where their formula is not: even functions of |x|, of norms, of max(x, -x)."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import sobolev

X = torch.tensor([[0.0], [0.7], [-0.3], [0.0]], dtype=torch.float64)


def matern(r):
    return (1 + r + r * r / 3) * torch.exp(-r)


def log_cosh(r):
    return r + functional.softplus(-2 * r) - math.log(2)


OF_DISTANCES = {
    "Matérn": (matern, -1 / 3, 1.0),
    "log cosh": (log_cosh, 1.0, 0.0),
    "x sin": (lambda r: r * torch.sin(r), 2.0, 0.0),
}
ABSOLUTE = {
    "abs": torch.abs,
    "max": lambda x: torch.maximum(x, -x),
    "sign": lambda x: x * torch.sign(x),
    "sqrt": lambda x: torch.sqrt(x * x),
    "power": lambda x: (x**2) ** 0.5,
    "norm": lambda x: torch.linalg.vector_norm(x[:, None], dim=1),
    "hypot": lambda x: torch.hypot(x, torch.zeros_like(x)),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("absolute", ABSOLUTE.values(), ids=ABSOLUTE)
@pytest.mark.parametrize("of", OF_DISTANCES.values(), ids=OF_DISTANCES)
def test_one_input(of, absolute, dtype):
    function, bend, value = of
    found = sobolev.derivatives(lambda x: function(absolute(x)), X.to(dtype), order=2)
    for tensor, exact in zip(found, (value, 0.0, bend), strict=True):
        torch.testing.assert_close(tensor[[0, 3], 0], torch.full((2,), exact, dtype=dtype), rtol=1e-5, atol=1e-6)
    beside = sobolev.derivatives(lambda x: function(x * torch.sign(x)), X[1:3], order=2, method="reverse")
    for tensor, exact in zip(found, beside, strict=True):
        torch.testing.assert_close(tensor[1:3].double(), exact, rtol=1e-4, atol=1e-5)


DISTANCES = {
    "norm": lambda x: torch.linalg.vector_norm(x, dim=1, keepdim=True),
    "root": lambda x: x.square().sum(1, keepdim=True).sqrt(),
    "pairwise": lambda x: functional.pairwise_distance(x, torch.zeros_like(x), eps=0.0)[:, None],
    "cdist": lambda x: torch.cdist(x[:, None], torch.zeros(1, x.shape[1], dtype=x.dtype))[:, 0],
}


@pytest.mark.parametrize("inputs", [2, 5])
@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
@pytest.mark.parametrize("of", OF_DISTANCES.values(), ids=OF_DISTANCES)
def test_several_inputs(of, distance, inputs):
    function, bend, _ = of
    x = torch.cat([torch.zeros(1, inputs), torch.rand(3, inputs)]).double()
    eye = bend * torch.eye(inputs, dtype=x.dtype)
    f = lambda x: function(distance(x))  # noqa: E731
    for operator, exact in (
        (sobolev.hessian, eye),
        (sobolev.hessian_diagonal, eye.diagonal()),
        (sobolev.laplacian, eye.trace()),
    ):
        _, slope, found = operator(f, x)
        torch.testing.assert_close(found[0, 0], exact, rtol=1e-9, atol=1e-9)
        assert slope[0].abs().max() < 1e-9 and found.isfinite().all()
    _, _, along = sobolev.derivatives(f, x, direction=torch.arange(1.0, 1 + inputs).double())
    assert along[0].item() == pytest.approx(bend * sum(k * k for k in range(1, 1 + inputs)))


def test_higher_orders():
    f, exact = lambda x: log_cosh(x.abs()), lambda x: log_cosh(x)
    found = sobolev.derivatives(f, X, order=6)
    wanted = sobolev.derivatives(exact, X, order=6)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)


def test_a_root_inside_a_root():
    f = lambda x: matern(torch.sqrt(torch.sqrt(x * x) ** 2))  # noqa: E731
    torch.testing.assert_close(sobolev.derivatives(f, X)[2][0], torch.tensor([-1 / 3], dtype=torch.float64))


def test_what_has_a_kink_itself_is_as_pytorch_has_it():
    for f in (torch.abs, lambda x: torch.exp(-x.abs()), lambda x: x * x.abs(), lambda x: x.abs() + x**2):
        mine = sobolev.derivatives(f, X, order=2)
        theirs = sobolev.derivatives(f, X, order=2, method="reverse")
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b)


class Kernel(nn.Module):
    """A radial basis function network with one centre at 0."""

    def __init__(self):
        super().__init__()
        self.scale, self.weight = nn.Parameter(torch.tensor(1.5).double()), nn.Parameter(torch.tensor(0.7).double())

    def forward(self, x):
        return self.weight * matern(self.scale * torch.linalg.vector_norm(x, dim=1, keepdim=True))


def test_gradients_of_losses_on_them_reach_the_weights():
    kernel = Kernel()
    _, _, laplacian = sobolev.laplacian(kernel, torch.zeros(1, 3, dtype=torch.float64))
    laplacian.sum().backward()  # -weight scale²
    assert laplacian.item() == pytest.approx(-0.7 * 1.5**2)
    assert kernel.scale.grad.item() == pytest.approx(-2 * 0.7 * 1.5)
    assert kernel.weight.grad.item() == pytest.approx(-(1.5**2))


@pytest.mark.parametrize("count", [3, 21, 201])
def test_the_audit_agrees(count):
    x = torch.linspace(-1, 1, count, dtype=torch.float64)[:, None]
    x[count // 2] = 0
    for function, *_ in OF_DISTANCES.values():
        assert sobolev.audit(lambda x, function=function: function(x.abs()), x).method == "taylor"
