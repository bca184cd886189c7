import copy
import math
import pickle

import mpmath
import pytest
import sympy
import torch

from sobolev import Function, FunctionData

X, Y = sympy.symbols("x y", real=True)
CASES = [  # the text, and sympy's own reading of it
    ("x**2", X**2),
    ("sin(x)*cos(y)", sympy.sin(X) * sympy.cos(Y)),
    ("(1 - x)**2 + 100*(y - x**2)**2", (1 - X) ** 2 + 100 * (Y - X**2) ** 2),
    ("1/(1 + 25*x**2)", 1 / (1 + 25 * X**2)),
    ("exp(-x**2/2)*tan(y)", sympy.exp(-(X**2) / 2) * sympy.tan(Y)),
    ("tanh(3*x)*sinh(y) - cosh(x*y)", sympy.tanh(3 * X) * sympy.sinh(Y) - sympy.cosh(X * Y)),
    ("asin(x/3) + acos(y/3) + atan(x*y)", sympy.asin(X / 3) + sympy.acos(Y / 3) + sympy.atan(X * Y)),
    ("asinh(x) + acosh(2 + y**2) + atanh(x/4)", sympy.asinh(X) + sympy.acosh(2 + Y**2) + sympy.atanh(X / 4)),
    ("atan2(y, 3 + x)", sympy.atan2(Y, 3 + X)),
    ("sqrt(4 + x*y) + cbrt(5 + x)", sympy.sqrt(4 + X * Y) + sympy.cbrt(5 + X)),
    ("log(4 + x) + log10(5 + y) + log2(9 + x) + log1p(y**2)", None),
    ("erf(x)*erfc(y) + expm1(x)", sympy.erf(X) * sympy.erfc(Y) + sympy.exp(X) - 1),
    ("Phi(x + y)", sympy.erfc(-(X + Y) / sympy.sqrt(2)) / 2),
    ("gamma(3 + x) + lgamma(4 + y)", sympy.gamma(3 + X) + sympy.loggamma(4 + Y)),
    ("j0(x) + j1(4 + y)", sympy.besselj(0, X) + sympy.besselj(1, 4 + Y)),
    ("i0(x) + i1(4 + y)", sympy.besseli(0, X) + sympy.besseli(1, 4 + Y)),
    ("sigmoid(x)*softplus(y)", sympy.log(1 + sympy.exp(Y)) / (1 + sympy.exp(-X))),
    ("(3 + x)**(1 + y) + 2**x", (3 + X) ** (1 + Y) + 2**X),
    ("pi*x + y*E**x + 0.1*e**y", sympy.pi * X + Y * sympy.E**X + sympy.E**Y / 10),
]
CASES[10] = (CASES[10][0], sympy.log(4 + X) + sympy.log(5 + Y, 10) + sympy.log(9 + X, 2) + sympy.log(1 + Y**2))


def points(rows=5, columns=2):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(rows, columns, dtype=torch.float64, generator=generator) * 3 - 1.5


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_value_and_derivatives_equal_sympys(text, expected):
    f, x = Function(text, ["x", "y"]), points()
    y, jacobian, hessian = f.hessian(x)
    for row, point in enumerate(x.tolist()):
        at = dict(zip((X, Y), map(sympy.Float, point), strict=True))
        exact = [
            expected,
            *(expected.diff(v) for v in (X, Y)),
            *(expected.diff(v, w) for v in (X, Y) for w in (X, Y)),
        ]
        exact = torch.tensor([float(sympy.re(e.evalf(30, subs=at))) for e in exact], dtype=torch.float64)
        ours = torch.cat([y[row], jacobian[row, 0], hessian[row, 0].flatten()])
        torch.testing.assert_close(ours, exact, rtol=2e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("sin(x)/x", lambda x: mpmath.sinc(x)),
        ("(exp(x) - 1)/x", lambda x: mpmath.hyp1f1(1, 2, x)),
        ("(1 - cos(x))/x**2", lambda x: mpmath.sinc(x / 2) ** 2 / 2),
        ("log(cosh(30*x))", lambda x: mpmath.log(mpmath.cosh(30 * x))),
    ],
)
def test_accurate_where_digits_cancel(text, exact):
    x = torch.tensor([0.0, 1e-12, 1e-7, -1e-4, 3e-3, -0.02, 0.3, 2.0], dtype=torch.float64)
    ours = Function(text).derivatives(x[:, None], 3)
    with mpmath.workdps(60):
        for i, point in enumerate(x.tolist()):
            series = mpmath.taylor(exact, mpmath.mpf(point), 3)
            for k in range(4):
                expected = float(series[k] * math.factorial(k))
                assert ours[k][i, 0].item() == pytest.approx(expected, rel=2e-11, abs=1e-14)


def test_a_pole_and_an_undefined_value_stay_so():
    assert Function("1/x**2")(torch.zeros(1, 1)).isinf().all()
    assert Function("log(x)")(torch.full((300, 1), -1.0)).isnan().all()


@pytest.mark.parametrize("order", [4, 8])
def test_higher_orders(order):
    x = points(4, 1)
    *_, ours = Function("exp(2*x)*x").derivatives(x, order)
    torch.testing.assert_close(ours, torch.exp(2 * x) * (2**order * x + order * 2 ** (order - 1)), rtol=1e-12, atol=0)


def test_directions_and_full_tensors_agree():
    f, x, v = Function("x**3*y**2 + y"), points(), torch.tensor([0.5, -2.0], dtype=torch.float64)
    tensors = f.tensors(x, 3)
    assert [tuple(t.shape) for t in tensors] == [(5, 1), (5, 1, 2), (5, 1, 2, 2), (5, 1, 2, 2, 2)]
    along = f.derivatives(x, 3, v)
    torch.testing.assert_close(along[1], torch.einsum("boi,i->bo", tensors[1], v))
    torch.testing.assert_close(along[3], torch.einsum("boijk,i,j,k->bo", tensors[3], v, v, v))
    with pytest.raises(ValueError, match="along which direction"):
        f.derivatives(x)


@pytest.mark.parametrize(
    ("text", "at", "values"),
    [
        ("abs(x)**3", 0.0, (0, 0, 0)),
        ("abs(x)", -2.0, (2, -1, 0)),
        ("relu(x)**2", 1.5, (2.25, 3, 2)),
        ("sign(x) + heaviside(x)", 0.0, (0.5, 0, 0)),
        ("max(x, x**2, 0.1)", 2.0, (4, 4, 2)),
        ("min(x, x**2)", 0.5, (0.25, 1, 2)),
        ("where(0 < x <= 1, x**2, 7)", 1.0, (1, 2, 2)),
        ("where(x < 0 or x > 1, 7, x**2)", 0.5, (0.25, 1, 2)),
        ("where(x > 0 and x < 1, 7, x**2)", 3.0, (9, 6, 2)),
        ("x**2 if x >= 0 else sqrt(x)", 0.0, (0, 0, 2)),
    ],
)
def test_pieces(text, at, values):
    ours = Function(text).derivatives(torch.tensor([[at]], dtype=torch.float64))
    assert tuple(part.item() for part in ours) == values


def test_names():
    clash = Function("S*I + E*N - Q*beta/gamma + lam", ["S", "I", "E", "N", "Q", "beta", "gamma", "lam"])
    assert clash(torch.arange(2.0, 10.0)[None]).item() == 2 * 3 + 4 * 5 - 6 * 7 / 8 + 9
    assert Function("z + b*a").inputs == ("a", "b", "z")
    assert Function("x").outputs == ("y",)
    assert Function("x*y").outputs == ("f",)
    assert Function("x, x**2").outputs == ("y1", "y2")
    assert Function("x, x**2").hessian(points(3, 1))[2].shape == (3, 2, 1, 1)
    assert Function("1", ["x"]).jacobian(points(3, 1))[1].tolist() == [[[0.0]]] * 3


def test_dtype_shape_and_copies():
    f, x = Function("x/3"), torch.ones(2, 1)
    assert f(x).dtype == torch.float32
    assert f(torch.ones(0, 1)).shape == (0, 1)
    for twin in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert torch.equal(twin(x), f(x))
    with torch.inference_mode():
        assert torch.equal(f(torch.ones(2, 1)), f(x))
    with pytest.raises(ValueError, match=r"shape \(2, 2\); 'x/3' needs \(batch, 1\)"):
        f(torch.ones(2, 2))
    with pytest.raises(TypeError, match="floating-point"):
        f(torch.ones(2, 1, dtype=torch.int64))


def test_autograd_through_a_function_agrees():
    x = points().requires_grad_()
    f = Function("sin(x)*exp(y)")
    (gradient,) = torch.autograd.grad(f(x).sum(), x)
    torch.testing.assert_close(gradient, f.jacobian(x.detach())[1][:, 0])


def test_callable_and_import_path():
    x = points()
    f = Function(lambda p: torch.sin(p[:, 0]) * p[:, 1] ** 2, ["x", "y"])
    for ours, exact in zip(f.hessian(x), Function("sin(x)*y**2").hessian(x), strict=True):
        torch.testing.assert_close(ours, exact)
    g = Function("torch.nn.functional.softplus")
    torch.testing.assert_close(g.derivatives(points(5, 1))[2], Function("softplus(x)").derivatives(points(5, 1))[2])
    assert copy.deepcopy(g).name == "torch.nn.functional.softplus"
    with pytest.raises(ValueError, match="Python's own library"):
        Function("os.system")
    with pytest.raises(ValueError, match=r"cannot import 'nosuch\.thing'"):
        Function("nosuch.thing")
    with pytest.raises(ValueError, match="has no"):
        Function("torch.nn.functional.softpuls")
    with pytest.raises(TypeError, match="not int"):
        Function(3)


def test_data_of_a_callable():
    data = FunctionData(torch.sin, (0, 1), 50, derivative_order=2)
    data.setup()
    torch.testing.assert_close(data.training.labels[1][:, 0, 0], -data.training_targets)
