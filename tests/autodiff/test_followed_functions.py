"""Training through custom Functions by the graph of their forward, where their backward agrees with it."""

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable

import sobolev
from sobolev.errors import UntrustworthyDerivativeError


class Sine(torch.autograd.Function):
    """Its backward cannot be differentiated."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * torch.cos(x)


class RootOfSquare(torch.autograd.Function):
    """(x²)^(3/2) + x², whose backward is right, and NaN at 0 when it is differentiated (as Entmax's)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.relu(x) ** 3 + x**2

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (3 * torch.relu(x) ** 1.5 * torch.relu(x).sqrt() + 2 * x)


class Reversed(torch.autograd.Function):
    """Gradients of the other sign: what is wanted is not the derivative."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Network(nn.Module):
    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.activation = nn.Linear(3, 6), nn.Linear(6, 1), activation
        self.double()

    def forward(self, x):
        return self.last(self.activation(self.first(x)))


X = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("function", "plain"), [(Sine, torch.sin), (RootOfSquare, lambda x: torch.relu(x) ** 3 + x**2)]
)
@pytest.mark.parametrize("method", ["auto", "taylor"])
def test_derivatives_and_gradients_to_weights_are_those_of_the_forward(function, plain, method):
    found, exact = [], []
    for results, network, how in ((found, Network(function.apply), method), (exact, Network(plain), "taylor")):
        for operator in (sobolev.hessian, sobolev.laplacian):
            tensors = operator(network, X, method=how)
            loss = sum(tensor.square().sum() for tensor in tensors)
            results += [*tensors, *torch.autograd.grad(loss, list(network.parameters()))]
    for mine, theirs in zip(found, exact, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def test_the_class_is_as_it_was():
    forward = vars(Sine)["forward"]
    sobolev.hessian(Network(Sine.apply), X)
    assert vars(Sine)["forward"] is forward
    y = Network(Sine.apply)(X)
    assert y.requires_grad and "Sine" in str(Network(lambda x: Sine.apply(x)).activation(X.requires_grad_()).grad_fn)
    X.requires_grad_(False)


def test_a_backward_that_is_not_the_derivative_has_its_say():
    network = Network(lambda x: torch.tanh(Reversed.apply(x)))
    with pytest.raises(sobolev.autodiff.NoRuleError, match="Reversed"):
        sobolev.hessian(network, X, method="taylor")
    _, J, _ = sobolev.hessian(network, X)
    _, plain, _ = sobolev.hessian(Network(torch.tanh), X)
    torch.testing.assert_close(J, -plain)


def test_weights_inside_a_function_are_left_to_its_backward():
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            ctx.save_for_backward(x, weight)
            return torch.tanh(x) * weight

        @staticmethod
        @once_differentiable
        def backward(ctx, gradient):
            x, weight = ctx.saved_tensors
            return gradient * weight / torch.cosh(x) ** 2, (gradient * torch.tanh(x)).sum(0)

    weight = nn.Parameter(torch.ones(6, dtype=torch.float64))
    with pytest.raises(UntrustworthyDerivativeError, match="Scaled"):
        sobolev.hessian(Network(lambda x: Scaled.apply(x, weight)), X)
