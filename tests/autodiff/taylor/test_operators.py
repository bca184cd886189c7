"""Taylor mode against references that share nothing with it: sympy, float64 reverse mode, finite differences."""

import math

import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

import sobolev
from sobolev.autodiff import NoRuleError, reverse
from sobolev.autodiff.taylor import operators as taylor

SYMBOL = sympy.Symbol("x")
UNARY = {
    "sin": (sympy.sin, torch.sin),
    "cos": (sympy.cos, torch.cos),
    "tanh": (sympy.tanh, torch.tanh),
    "exp(-x²)": (lambda e: sympy.exp(-(e**2)), lambda e: torch.exp(-(e**2))),
    "atan": (sympy.atan, torch.atan),
    "sqrt(1+x²)": (lambda e: sympy.sqrt(1 + e**2), lambda e: torch.sqrt(1 + e**2)),
    "log(2+x²)": (lambda e: sympy.log(2 + e**2), lambda e: torch.log(2 + e**2)),
    "sigmoid": (lambda e: 1 / (1 + sympy.exp(-e)), torch.sigmoid),
    "1/(1+x²)": (lambda e: 1 / (1 + e**2), lambda e: (1 + e**2).reciprocal()),
    "cube": (lambda e: e**3, lambda e: e**3),
}


def combined(pair, other, operation):
    operate = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}[operation]
    return operate(pair[0], other[0]), lambda x: operate(pair[1](x), other[1](x))


def applied(name, pair):
    exact, ours = UNARY[name]
    return exact(pair[0]), lambda x: ours(pair[1](x))


EXPRESSIONS = st.recursive(
    st.sampled_from([(SYMBOL, lambda x: x), (SYMBOL / 2 + 1, lambda x: x / 2 + 1), (2 * SYMBOL, lambda x: 2 * x)]),
    lambda inner: st.one_of(
        st.builds(applied, st.sampled_from(sorted(UNARY)), inner),
        st.builds(combined, inner, inner, st.sampled_from("+-*")),
    ),
    max_leaves=3,
)


@settings(max_examples=25)
@given(EXPRESSIONS, st.floats(-1.5, 1.5))
def test_random_expressions_against_sympy(expression, point):
    formula, function = expression
    x = torch.tensor([[point]], dtype=torch.float64)
    for order, ours in enumerate(taylor.derivatives(function, x, 6, torch.ones_like(x))):
        exact = float(sympy.diff(formula, SYMBOL, order).evalf(30, subs={SYMBOL: sympy.Float(point, 40)}))
        assert math.isclose(ours.item(), exact, rel_tol=1e-8, abs_tol=1e-8 * math.factorial(order))


@settings(max_examples=15)
@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 3),
    st.lists(st.sampled_from([nn.Tanh, nn.SiLU, nn.GELU, nn.Softplus, nn.Mish, nn.Sigmoid]), min_size=1, max_size=3),
    st.integers(0, 6),
    st.integers(0, 1000),
)
def test_random_networks_against_reverse_mode(inputs, width, outputs, activations, order, seed):
    torch.manual_seed(seed)
    layers, last = [], inputs
    for activation in activations:
        layers += [nn.Linear(last, width), activation()]
        last = width
    net = nn.Sequential(*layers, nn.Linear(last, outputs)).double()
    x, direction = torch.randn(2, 3, inputs, dtype=torch.float64)
    ours, theirs = (engine.derivatives(net, x, order, direction) for engine in (taylor, reverse))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)


def test_order_ten():
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    results = taylor.derivatives(lambda x: torch.sin(x) * torch.exp(x / 2), x, 10, torch.ones_like(x))
    formula = sympy.sin(SYMBOL) * sympy.exp(SYMBOL / 2)
    for order, ours in enumerate(results):
        exact = [float(sympy.diff(formula, SYMBOL, order).subs(SYMBOL, p)) for p in x.flatten().tolist()]
        torch.testing.assert_close(ours.flatten(), torch.tensor(exact, dtype=torch.float64), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("operator", ["hessian", "hessian_diagonal", "laplacian", "third order"])
def test_parameter_gradients_against_finite_differences(operator):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(5, 4), nn.Tanh(), nn.LayerNorm(4), nn.Linear(4, 4), nn.SiLU(), nn.Linear(4, 1)
    ).double()
    x = torch.randn(3, 5, dtype=torch.float64)
    step = {name: torch.randn_like(parameter) for name, parameter in net.named_parameters()}

    def loss(shift):
        weights = {name: parameter + shift * step[name] for name, parameter in net.named_parameters()}
        f = lambda x: functional_call(net, weights, (x,))  # noqa: E731
        if operator == "third order":
            return sobolev.derivatives(f, x, 3, torch.ones(5), method="taylor")[3].square().sum()
        return getattr(sobolev, operator)(f, x, method="taylor")[2].square().sum()

    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(shift), shift)
    with torch.no_grad():
        h = 1e-4
        difference = (8 * (loss(h) - loss(-h)) - loss(2 * h) + loss(-2 * h)) / (12 * h)
    torch.testing.assert_close(gradient, difference, rtol=1e-7, atol=1e-9)


@pytest.fixture
def net():
    torch.manual_seed(0)
    yield nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 1))
    torch.compiler.reset()


@pytest.mark.parametrize("operator", [sobolev.jacobian, sobolev.hessian, sobolev.hessian_diagonal, sobolev.laplacian])
def test_compiled_inference(net, operator):
    x = torch.randn(6, 2)
    compiled = torch.compile(lambda x: operator(net, x), fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for a, b in zip(compiled(x), operator(net, x), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("order", [2, 4])
def test_compiled_training_step(net, order):
    x, direction = torch.randn(6, 2), torch.ones(2)

    def loss(x):
        return sum(y.square().mean() for y in sobolev.derivatives(net, x, order, direction))

    expected = torch.autograd.grad(loss(x), list(net.parameters()))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for a, b in zip(torch.autograd.grad(compiled(x), list(net.parameters())), expected, strict=True):
        torch.testing.assert_close(a, b)


def test_a_compiled_module_runs_eagerly(net):
    x = torch.randn(6, 2)
    compiled = torch.compile(net, backend="eager")
    for a, b in zip(sobolev.hessian(compiled, x, method="taylor"), sobolev.hessian(net, x), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap loops over addcmul_
def test_torch_func_around_and_within(net):
    """vmap over weights around an operator; a function that calls vmap on plain tensors within."""
    x = torch.randn(6, 2)
    weights = {name: torch.stack([p.detach(), 2 * p.detach()]) for name, p in net.named_parameters()}

    def laplacian(weights):
        return sobolev.laplacian(lambda x: functional_call(net, weights, (x,)), x, method="taylor")[2]

    both = torch.func.vmap(laplacian)(weights)
    torch.testing.assert_close(both[0], sobolev.laplacian(net, x)[2])
    gradient = torch.func.grad(lambda w: laplacian(w).square().sum())({k: v[0] for k, v in weights.items()})
    expected = torch.autograd.grad(sobolev.laplacian(net, x)[2].square().sum(), net[0].weight)[0]
    torch.testing.assert_close(gradient["0.weight"], expected)


def test_torch_func_of_what_is_differentiated_is_refused_or_done_by_reverse_mode():
    def f(x):
        return torch.func.vmap(torch.func.grad(lambda row: (row**3).sum()))(x)

    x = torch.randn(4, 3)
    with pytest.raises(NoRuleError, match=r"cannot follow the function: ValueError: vmap.*method='auto'"):
        sobolev.jacobian(f, x, method="taylor")
    torch.testing.assert_close(sobolev.jacobian(f, x)[1], torch.diag_embed(6 * x))


def test_a_message_about_numbers_on_the_way():
    messages = []

    def f(x):
        messages.append(f"mean {x.mean():.2f}")
        return x**2

    taylor.jacobian(f, torch.full((2, 1), 0.5))
    assert messages == ["mean 0.50"]
