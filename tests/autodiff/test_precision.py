import copy

import pytest
import torch
from torch import nn

import sobolev
from sobolev.autodiff import reverse


class Unfollowed(nn.Module):
    """Writes into an ordinary tensor, so that it goes by reverse mode."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.LayerNorm(16), nn.Linear(16, 2))

    def forward(self, x):
        y = self.layers(x)
        result = torch.zeros(y.shape, dtype=y.dtype)
        result[:, 0] = y[:, 0]
        result[:, 1] = y[:, 1] ** 2
        return result


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("operator", ["jacobian", "hessian", "hessian_diagonal", "laplacian"])
def test_reverse_mode_computes_half_precision_in_single(operator, dtype):
    torch.manual_seed(0)
    net, x = Unfollowed().to(dtype), torch.randn(6, 3).to(dtype)
    twin = copy.deepcopy(net).double()
    ours, exact = getattr(sobolev, operator)(net, x), getattr(reverse, operator)(twin, x.double())
    for a, b in zip(ours, exact, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a.double(), b, rtol=torch.finfo(dtype).eps, atol=1e-4)
    gradients = torch.autograd.grad(ours[1].float().square().sum(), list(net.parameters()))
    expected = torch.autograd.grad(exact[1].square().sum(), list(twin.parameters()))
    for a, b in zip(gradients, expected, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(
            a.double(), b, rtol=0, atol=2 * torch.finfo(dtype).eps * (b.abs().max().item() + 1e-3)
        )


class Series(nn.Module):
    """Both ask for the dtype of their weights."""

    def __init__(self):
        super().__init__()
        self.layer, self.rnn = nn.Linear(1, 4), nn.GRU(4, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(self.layer(x.unsqueeze(-1).to(self.layer.weight.dtype)))[0].flatten(1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["taylor", "reverse"])
def test_modules_that_ask_for_the_precision_of_their_weights(dtype, method):
    torch.manual_seed(0)
    net, x, direction = Series().to(dtype), torch.randn(3, 5).to(dtype), torch.ones(5)
    ours = sobolev.derivatives(net, x, 2, direction, method=method)
    exact = sobolev.derivatives(net.double(), x.double(), 2, direction)
    for a, b in zip(ours, exact, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a.double(), b, rtol=torch.finfo(dtype).eps, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_of_a_perceptron_in_half_precision(dtype):
    torch.manual_seed(0)
    chain, x = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype), torch.randn(6, 1).to(dtype)
    twin = copy.deepcopy(chain).double()
    exact = torch.autograd.grad(sobolev.derivatives(twin, x.double(), method="reverse")[2].sum(), twin[0].weight)[0]
    for f in (chain, lambda x: chain(x)):
        curvature = sobolev.derivatives(f, x, method="taylor")[2]
        (found,) = torch.autograd.grad(curvature.float().sum(), chain[0].weight)
        torch.testing.assert_close(found.double(), exact, rtol=0.02, atol=0.02 * exact.abs().max().item())
