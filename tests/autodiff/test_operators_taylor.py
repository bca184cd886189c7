"""Taylor mode through the public operators: precision, blocks, what it cannot follow."""

import logging

import pytest
import torch
from torch import nn

import sobolev
from sobolev.autodiff import NoRuleError, reverse

OPERATORS = [sobolev.jacobian, sobolev.hessian, sobolev.hessian_diagonal, sobolev.laplacian]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 2)).double()


@pytest.fixture
def x():
    return torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def close(ours, theirs, rtol=1e-9, atol=1e-11):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("chunk_size", [1, 3, 7, 100, None])
def test_blocks_change_nothing_but_rounding(net, x, operator, chunk_size):
    close(operator(net, x, method="taylor", chunk_size=chunk_size), operator(net, x, method="reverse"))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(net, x, operator, rows):
    close(operator(net, x[:rows], method="taylor"), operator(net, x[:rows], method="reverse"))


def test_elementwise_results_do_not_depend_on_the_blocks(x):
    function = lambda x: torch.exp(torch.sin(x))  # noqa: E731
    whole = sobolev.hessian_diagonal(function, x, method="taylor", chunk_size=None)
    parts = sobolev.hessian_diagonal(function, x, method="taylor", chunk_size=2)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_points_that_are_not_contiguous(net, x):
    apart = torch.stack([x, x], dim=2)[:, :, 0]
    close(sobolev.laplacian(net, apart, method="taylor"), sobolev.laplacian(net, x, method="taylor"))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_modes_of_the_caller_change_no_digit(net, x, mode):
    expected = sobolev.hessian(net, x, method="taylor")
    with mode():
        results = sobolev.hessian(net, x, method="taylor")
    assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


def test_no_graph_is_kept_without_gradients(net, x):
    with torch.no_grad():
        assert not any(result.requires_grad for result in sobolev.hessian(net, x, method="taylor"))
    assert all(result.requires_grad for result in sobolev.hessian(net, x, method="taylor"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_single_precision(net, x, dtype):
    net, x = net.to(dtype), x.to(dtype)
    results = sobolev.derivatives(net, x, order=2, direction=torch.ones(3), method="taylor")
    exact = reverse.derivatives(net.double(), x.double(), 2, torch.ones(7, 3, dtype=torch.float64))
    for ours, theirs in zip(results, exact, strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), theirs, rtol=2 * torch.finfo(dtype).eps, atol=1e-3)


def test_second_backward_through_the_results(net, x):
    """A graph of the gradient: the rules' own backward passes are differentiable."""
    x = x.requires_grad_()
    seconds = []
    for method in ("taylor", "reverse"):
        d2 = sobolev.derivatives(net, x, order=2, direction=torch.ones(3), method=method)[2]
        (gradient,) = torch.autograd.grad(d2.sum(), x, create_graph=True)
        seconds.append(torch.autograd.grad(gradient.square().sum(), x)[0])
    torch.testing.assert_close(*seconds)


class Awkward(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how, self.layer = how, nn.Linear(3, 3).double()

    def forward(self, x):
        y = torch.tanh(self.layer(x))
        return (
            y
            * {
                "item": lambda: y.square().mean().item() * 0 + 2,
                "float": lambda: 2.0 if float(y.detach().reshape(-1)[0]) > -10 else 1.0,
                "branch": lambda: 2 if y.sum().exp() else 3,
                "numpy": lambda: torch.from_numpy(y.detach().numpy() * 0 + 2),
                "copy": lambda: torch.tensor(y.tolist(), dtype=y.dtype) * 0 + 2,
                "no rule": lambda: 2 + 0 * torch.special.airy_ai(y.detach()),
                "isinstance": lambda: 2 if isinstance(y, torch.Tensor) else 1 / 0,
            }[self.how]()
        )


@pytest.mark.parametrize("how", ["item", "float", "branch", "numpy", "copy", "no rule", "isinstance"])
def test_what_taylor_mode_cannot_follow_goes_by_reverse_mode(x, how, caplog):
    net = Awkward(how)
    with caplog.at_level(logging.DEBUG, logger="sobolev"):
        results = sobolev.laplacian(net, x)
    assert "by nested reverse mode" in caplog.text
    close(results, sobolev.laplacian(net, x, method="reverse"))


def test_an_operation_without_rule_is_named_with_its_module(x):
    with pytest.raises(NoRuleError, match=r"no rule for .*Awkward.*sobolev\.autodiff\.rule"):
        sobolev.laplacian(Awkward("no rule"), x, method="taylor")


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save = x, weight
        return x * weight

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.save
        return gradient * weight, (gradient * x).sum(0)


def test_a_custom_function_keeps_the_gradient_of_its_weights(x):
    weight = nn.Parameter(torch.ones(3, dtype=torch.float64))
    results = sobolev.jacobian(lambda x: Doubled.apply(x, weight), x)
    results[1].sum().backward()
    torch.testing.assert_close(weight.grad, torch.full((3,), 7.0, dtype=torch.float64))


def test_shared_modules_hooks_and_parametrisations_are_those_of_the_model(x):
    torch.manual_seed(0)
    shared = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    net = nn.Sequential(shared, nn.Tanh(), shared).double()
    net[1].register_forward_hook(lambda module, args, output: output * 2)
    close(sobolev.hessian(net, x, method="taylor"), sobolev.hessian(net, x, method="reverse"))


@pytest.mark.parametrize("point", [6.0, 10.0, 20.0, -30.0])
def test_tails_are_relatively_accurate(point):
    for dtype, rtol in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        x = torch.tensor([[point]], dtype=dtype)
        s = torch.tensor(point, dtype=torch.float64).cosh() ** -2
        tanh = sobolev.derivatives(torch.tanh, x, 3, method="taylor")
        t = torch.tanh(torch.tensor(point, dtype=torch.float64))
        for ours, exact in zip(tanh[1:], (s, -2 * t * s, s * (4 - 6 * s)), strict=True):
            torch.testing.assert_close(ours.double().squeeze(), exact, rtol=rtol, atol=0)


@pytest.mark.parametrize("gradients", [True, False])
def test_results_may_be_written_over(gradients):
    perceptron = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1))
    x = torch.randn(4, 1)
    with torch.set_grad_enabled(gradients):
        for f in (perceptron, lambda x: perceptron(x).sin()):
            for k in range(3):
                results = sobolev.derivatives(f, x, 2)
                before = [result.clone() for result in results]
                results[k].mul_(2)
                before[k] = 2 * before[k]
                assert all(torch.equal(a, b) for a, b in zip(results, before, strict=True))
