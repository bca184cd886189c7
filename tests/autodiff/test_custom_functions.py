"""Custom autograd Functions: a backward that is not differentiable is found, one that is goes unnoticed."""

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable

import sobolev

X = torch.linspace(-1, 1, 7, dtype=torch.float64)[:, None]


class Right(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.cos(*ctx.saved_tensors)


class Once(Right):
    backward = staticmethod(once_differentiable(Right.backward))


class NoGrad(Right):
    @staticmethod
    def backward(ctx, gradient):
        with torch.no_grad():
            return gradient * torch.cos(*ctx.saved_tensors)


class Numpy(Right):
    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return torch.from_numpy(gradient.detach().numpy() * x.detach().cos().numpy())


class Saved(Right):
    """Saves what its forward computed, without a graph."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(torch.cos(x))
        return torch.sin(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]


class PartlySaved(torch.autograd.Function):
    """x / √(1 + x²); half of its slope knows of x."""

    @staticmethod
    def forward(ctx, x):
        scale = (1 + x * x).rsqrt()
        ctx.save_for_backward(x, scale)
        return x * scale

    @staticmethod
    def backward(ctx, gradient):
        x, scale = ctx.saved_tensors
        return gradient * scale * (1 - x * x * scale * scale)


class Reversed(torch.autograd.Function):
    """Of domain adaptation: its backward is no derivative, and is differentiable."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Linear(torch.autograd.Function):
    """A layer whose backward forgets that weights can change."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        return gradient @ weight.detach(), gradient.T @ x


class Turning(torch.autograd.Function):
    """Its backward turns the sign of what forward multiplies by."""

    @staticmethod
    def forward(ctx, x, sign):
        ctx.save_for_backward(x)
        ctx.sign = sign
        return torch.sin(x) * sign

    @staticmethod
    def backward(ctx, gradient):
        result = gradient * torch.cos(*ctx.saved_tensors) * ctx.sign.clone()
        ctx.sign.mul_(-1)
        return result, None


class Network(nn.Module):
    def __init__(self, function, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.function = nn.Linear(1, 8), nn.Linear(8, 1), function
        self.to(dtype)

    def forward(self, x):
        return self.last(self.function(self.first(x).tanh()))


CUT = [Once, NoGrad, Numpy, Saved, PartlySaved]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("function", CUT)
def test_a_second_derivative_of_a_cut_graph_is_refused(function, dtype):
    with pytest.raises(sobolev.UntrustworthyDerivativeError, match=function.__name__):
        sobolev.derivatives(Network(function.apply, dtype), X.to(dtype), method="reverse")


@pytest.mark.parametrize("function", CUT)
def test_the_graph_of_the_forward_is_taken_where_there_is_one(function):
    own = Network(function.apply)
    exact = Network(lambda x: x / (1 + x * x).sqrt() if function is PartlySaved else torch.sin(x))
    for network in (own, exact):
        (sobolev.derivatives(network, X)[2] ** 2).sum().backward()
    for mine, theirs in zip(own.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("operator", [sobolev.hessian, sobolev.hessian_diagonal, sobolev.laplacian])
def test_by_every_operator(operator):
    with torch.no_grad(), pytest.raises(sobolev.UntrustworthyDerivativeError, match="Once"):
        operator(Network(Once.apply), X, method="reverse")


@pytest.mark.parametrize("function", CUT)
def test_without_a_graph_taylor_mode_is_right(function):
    exact = Network(lambda x: x / (1 + x * x).sqrt() if function is PartlySaved else torch.sin(x))
    with torch.no_grad():
        found = sobolev.derivatives(Network(function.apply), X)
    torch.testing.assert_close(found, tuple(d.detach() for d in sobolev.derivatives(exact, X, method="reverse")))


@pytest.mark.parametrize("function", CUT)
def test_a_loss_on_first_derivatives_is_refused_when_it_is_differentiated(function):
    y, slope = sobolev.derivatives(Network(function.apply), X, 1, method="reverse")
    exact = sobolev.derivatives(Network(function.apply), X, 1, method="taylor")
    torch.testing.assert_close((y, slope), exact)
    with pytest.raises(sobolev.UntrustworthyDerivativeError, match=function.__name__):
        slope.square().mean().backward()


def test_a_layer_that_forgets_its_weights():
    weight = torch.tensor([[1.5]], dtype=torch.float64, requires_grad=True)
    _, slope = sobolev.derivatives(lambda x: Linear.apply(x, weight), X, 1)
    with pytest.raises(sobolev.UntrustworthyDerivativeError, match="Linear"):
        slope.sum().backward()
    assert weight.item() == 1.5 and weight.grad is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_is_right_stays(dtype):
    network, exact, x = Network(Right.apply, dtype), Network(torch.sin, dtype), X.to(dtype)
    for found in (network, exact):
        (sobolev.derivatives(found, x)[2] ** 2).sum().backward()
    for a, b in zip(network.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_what_is_no_derivative_on_purpose_stays():
    """Reverse mode gives the derivatives of the graph."""
    found = sobolev.derivatives(Network(lambda x: Reversed.apply(x)), X, method="reverse")
    expected = sobolev.derivatives(Network(lambda x: x), X, method="reverse")
    torch.testing.assert_close(found[1:], (-expected[1], -expected[2]))


def test_a_backward_that_changes_the_function_is_refused():
    sign = torch.ones((), dtype=torch.float64)
    network = Network(lambda x: Turning.apply(x, sign))
    with pytest.raises(sobolev.UntrustworthyDerivativeError, match="Turning writes to a tensor"):
        sobolev.derivatives(network, X)
