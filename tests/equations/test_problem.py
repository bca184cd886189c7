"""Problems with known solutions: these leave nothing but rounding; and what is no problem is said in a sentence."""

import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sobolev import MLP
from sobolev.equations import Problem

PLANE = {"x": (0.0, 1.0), "t": (0.0, 2.0)}
SOLUTIONS = {
    "sin(x)*exp(-t)": lambda x, t: x.sin() * (-t).exp(),
    "x**2*t + cos(t)": lambda x, t: x**2 * t + t.cos(),
    "tanh(x - t)": lambda x, t: (x - t).tanh(),
    "1/(2 + x*t)": lambda x, t: 1 / (2 + x * t),
}
TERMS = ("u", "du_dx", "du_dt", "d2u_dx2", "d2u_dxdt", "d2u_dt2", "d3u_dx3", "u*du_dx", "u**2", "sin(u)", "x*d2u_dt2")


def stacked(function):
    return lambda z: function(*z.unbind(1))[:, None]


def exact(term, solution):
    """The term as a formula of x and t, by sympy."""
    x, t = sympy.symbols("x t")
    u = sympy.sympify(solution)
    d = {"u": u, "du_dx": u.diff(x), "du_dt": u.diff(t), "d2u_dx2": u.diff(x, 2), "d2u_dxdt": u.diff(x, t)}
    d |= {"d2u_dt2": u.diff(t, 2), "d3u_dx3": u.diff(x, 3)}
    return sympy.sympify(term).subs(d)


@given(
    solution=st.sampled_from(sorted(SOLUTIONS)),
    terms=st.lists(st.tuples(st.integers(-9, 9), st.sampled_from(TERMS)), min_size=1, max_size=4),
)
@settings(max_examples=25)
@torch.no_grad()
def test_a_manufactured_solution_leaves_rounding(solution, terms):
    left = " + ".join(f"{factor or 1}*{term}" for factor, term in terms)
    right = str(sum((factor or 1) * exact(term, solution) for factor, term in terms))
    at_start, at_wall = (str(sympy.sympify(solution).subs(*value)) for value in (("t", 0), ("x", 1)))
    conditions = [f"u(x, 0) = {at_start}", f"u(1, t) = {at_wall}"]
    problem = Problem([f"{left} = {right}"], conditions, PLANE)
    x = torch.rand(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(len(terms)))
    f = stacked(SOLUTIONS[solution])
    size = max(float(value.abs().max()) for value in problem.residuals(lambda z: 1 + z.sum(1, keepdim=True) ** 3, x))
    assert all(r.abs().max() < 1e-11 * (1 + size) for r in problem.residuals(f, x))
    assert all(v.abs().max() < 1e-14 for v in problem.violations(f, x))
    assert sum(problem.loss(f, x)) < 1e-20


def test_gradients_of_the_loss_are_those_of_finite_differences():
    """By every weight of a small network, in float64."""
    problem = Problem(["du_dt + u*du_dx = d2u_dx2"], ["u(x, 0) = sin(pi*x)", "du_dx(0, t) + u(0, t) = 1"], PLANE)
    network = MLP(2, hidden=(4,), activation="tanh").double()
    x = torch.rand(9, 2, dtype=torch.float64)
    names, weights = zip(
        *((n, w.detach().clone().requires_grad_()) for n, w in network.named_parameters()), strict=True
    )

    def loss(*weights):
        named = dict(zip(names, weights, strict=True))
        return sum(problem.loss(lambda z: torch.func.functional_call(network, named, z), x))

    assert torch.autograd.gradcheck(loss, weights, eps=1e-6, atol=1e-7)


def test_systems_periodic_ends_and_shared_times():
    """u' = v, v' = -u: a circle; it ends where it began."""
    problem = Problem(
        ["du_dt = v", "dv_dt + u"], ["u(0) = 1", "v(0) = 0", "u(0) = u(2*pi)"], {"t": (0.0, 7.0)}, ("u", "v")
    )
    t = torch.rand(20, 1, dtype=torch.float64)
    assert sum(problem.loss(lambda t: torch.cat([t.cos(), -t.sin()], 1), t)) < 1e-28
    violations = problem.violations(lambda t: torch.cat([t, t], 1), t)
    assert [round(float(v), 6) for v in violations] == [-1, 0, round(-2 * torch.pi, 6)]


@pytest.mark.parametrize("length, height", [(1e-6, 1e3), (1.0, 1.0), (1e5, 1e-8)])
def test_the_loss_is_free_of_units(length, height):
    """A function and its problem in other units have the same loss; it is of order one."""
    domain = {"x": (0.0, 2 * length)}
    equation = f"d2u_dx2 = -{height / length**2!r}*sin(x/{length!r})"
    problem = Problem([equation], ["u(0) = 0", f"du_dx(0) = {height / length!r}"], domain)
    points = torch.linspace(0, 2, 11, dtype=torch.float64)[:, None]
    found = problem.loss(lambda x: height * (x / length) ** 3, points * length)
    usual = Problem(["d2u_dx2 = -sin(x)"], ["u(0) = 0", "du_dx(0) = 1"], {"x": (0.0, 2.0)}).loss(lambda x: x**3, points)
    torch.testing.assert_close(torch.stack(found), torch.stack(usual), rtol=1e-9, atol=0)
    assert all(0.1 < float(part) < 100 for part in usual)


def test_sizes_follow_the_data():
    def size(equation, *conditions):
        return Problem([equation], conditions, {"x": (0.0, 12**0.5)}).sizes.tolist()

    assert size("d2u_dx2 + u", "u(0) = 3", "du_dx(0) = -5") == [5.0]
    assert size("du_dx = 7", "u(0) = 0") == [7.0]
    assert size("du_dx = -50*u + 100", "u(0) = 0") == [2.0]
    assert size("d2u_dx2 + u", "u(0) = 0", "du_dx(0) = 0") == [1.0]


def test_single_precision():
    problem = Problem(["d2u_dx2 + u"], ["u(0) = 1"] * 2, {"x": (0.0, 1.0)})
    loss = problem.loss(torch.cos, torch.rand(8, 1))
    assert all(part.dtype == torch.float32 for part in loss) and sum(loss) < 1e-10


ODE, START = "d2u_dx2 + u", ["u(0) = 1", "du_dx(0) = 0"]
HEAT = "du_dt = d2u_dx2"
MISTAKES = {
    "unknown name": (
        ("d2u_dx2 + w",),
        START,
        r"the equation 'd2u_dx2 \+ w': 'w' is neither an input \(x\) nor a deriv",
    ),
    "notation": (("u_xx + u",), START, "'u_xx' is neither.*d2u_dx2"),
    "order": (("d12u_dx12 + u",), START, "d12u_dx12 is of order 12; derivatives are computed up to order 10"),
    "code": (("__import__('os') + u",), START, "calls an unknown function '__import__'"),
    "syntax": (("d2u_dx2 + u +",), START, r"the equation 'd2u_dx2 \+ u \+'.* is not a formula"),
    "half": (("d2u_dx2 =",), START, "nothing on one side of '='"),
    "no unknown": (("x**2",), START, r"contains no unknown \(u\)"),
    "two in one": (("d2u_dx2 + u, u",), START, "is 2 formulas; give several equations as a list"),
    "outside": ((ODE,), ["u(20) = 1", "u(0) = 1"], r"'u\(20\) = 1': x = 20 lies outside its domain \[0, 10\]"),
    "contradiction": ((ODE,), ["u(0) = 1", "2*u(0) = 3"], r"'u\(0\) = 1' contradicts the condition '2\*u\(0\) = 3'"),
    "arguments": ((ODE,), ["u(0, 1) = 1", "u(0) = 1"], r"u\(0, 1\) has 2 argument\(s\); write u\(0\) = 1"),
    "no place": ((ODE,), ["u = 1", "u(0) = 1"], r"says nothing about u; write u\(0\) = 1"),
    "fixed": ((ODE,), ["u(0) = x", "u(1) = 1"], r"x has a value in u\(0\); write that value"),
    "not finite": ((ODE,), ["u(0) = 1/0", "u(1) = 1"], "not a finite real number"),
    "singular": (("d2u_dx2 + sqrt(x - 5)*u",), START, "not finite at 250 of 500 points"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_in_a_sentence(mistake):
    equations, conditions, message = MISTAKES[mistake]
    with pytest.raises(ValueError, match=message) as caught:
        Problem(equations, conditions, {"x": (0.0, 10.0)})
    assert len(str(caught.value)) < 700


PLANE_MISTAKES = {
    "u(2*x, 0) = 1": r"'2 \* x' in u\(2\*x, 0\) is neither a number nor x",
    "u(t, 0) = 1": "'t' in .* is neither a number nor x",
    "du_dy(x, 0) = 1": "'du_dy' is neither",
    "w(x, 0) = 1": r"says nothing about u; write u\(x, 0\) = 1",
    "u(x, 0) = sim(x)": "unknown function 'sim'; did you mean sin",
    "u(x, 0) = y": "'y' is neither an input",
    "u(x, 0) = log(x)": "is not finite at 1 of 100 points",
    "u(x, 0) = 1 = 2": "more than one '='",
}


@pytest.mark.parametrize("condition", PLANE_MISTAKES)
@pytest.mark.filterwarnings("ignore:no condition holds at a value of x")
def test_a_mistaken_condition_is_said_in_a_sentence(condition):
    with pytest.raises(ValueError, match=PLANE_MISTAKES[condition]) as caught:
        Problem([HEAT], [condition], PLANE)
    assert condition in str(caught.value)


def test_an_equation_without_derivatives_needs_no_condition():
    problem = Problem(["u**2 = x"], [], {"x": (0.0, 1.0)})
    x = torch.rand(5, 1, dtype=torch.float64)
    assert sum(problem.loss(torch.sqrt, x)) < 1e-28


def test_a_laplacian_is_the_sum_of_second_derivatives():
    domain = {"x": (0.0, 1.0), "y": (0.0, 2.0), "t": (0.0, 1.0)}
    z = torch.rand(20, 3, dtype=torch.float64)
    conditions = ["u(0, y, t) = 0", "u(x, 0, t) = 0"]
    f = stacked(lambda x, y, t: (2 * x).sin() * y**3 * t.exp())
    in_space = (-4 * (2 * z[:, 0]).sin() * z[:, 1] ** 3 + 6 * z[:, 1] * (2 * z[:, 0]).sin()) * z[:, 2].exp()
    by_y = 6 * z[:, 1] * (2 * z[:, 0]).sin() * z[:, 2].exp()
    for text, wanted in (("laplacian(u)", in_space), ("2*laplacian(u, y) - 0", 2 * by_y)):
        (found,) = Problem([text], conditions, domain).residuals(f, z)
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    for mistake in ("laplacian(v)", "laplacian(u, z)"):
        with pytest.raises(ValueError, match=r"write laplacian\(u\), or .* laplacian\(u, x, y, t\)"):
            Problem([mistake], conditions, domain)


MEASURED = (torch.rand(5, 2, dtype=torch.float64), torch.ones(5, 1, dtype=torch.float64))


def test_coefficients_are_numbers_of_equations_and_conditions():
    problem = Problem(
        ["du_dt = k*d2u_dx2"], ["u(x, 0) = a*x**2"], PLANE, coefficients={"k": 3.0, "a": 1.0}, measurements=MEASURED
    )
    f, x = stacked(lambda x, t: x**2 + 4 * t), torch.rand(9, 2, dtype=torch.float64)
    (guessed,), (at_start,) = problem.residuals(f, x), problem.violations(f, x)
    torch.testing.assert_close(guessed, torch.full_like(guessed, 4 - 3 * 2))
    assert at_start.abs().max() < 1e-14
    right = {"k": torch.tensor(2.0, dtype=torch.float64), "a": torch.tensor(1.0, dtype=torch.float64)}
    assert problem.residuals(f, x, right)[0].abs().max() < 1e-12
    off = f(MEASURED[0]) - 1
    torch.testing.assert_close(problem.misfit(f, x), off.square().mean() / problem.sizes.square()[0])


def test_values_that_were_not_measured_do_not_count():
    values = torch.tensor([[1.0], [torch.nan], [3.0]], dtype=torch.float64)
    points = torch.rand(3, 2, dtype=torch.float64)
    problem = Problem(["du_dt = d2u_dx2"], ["u(x, 0) = 0"], PLANE, measurements=(points, values))
    misfit = problem.misfit(stacked(lambda x, t: 0 * x + 1), points)
    torch.testing.assert_close(misfit, torch.tensor(2.0, dtype=torch.float64) / problem.sizes.square()[0])


@pytest.mark.parametrize(
    ("equation", "coefficients", "measured", "said"),
    [
        ("du_dt = k*d2u_dx2", {"k": 1.0}, None, "nothing tells k: give measurements of u, .* x, t, u"),
        ("du_dt = d2u_dx2", {"k": 1.0}, MEASURED, "'k' stands in no equation"),
        ("du_dt = d2u_dx2", {"du_dx": 1.0}, MEASURED, "call it otherwise"),
        ("k = x", {"k": 1.0}, MEASURED, "contains no unknown"),
    ],
)
def test_coefficients_that_make_no_sense_are_refused(equation, coefficients, measured, said):
    with pytest.raises(ValueError, match=said):
        Problem([equation], ["u(x, 0) = 0"], PLANE, coefficients=coefficients, measurements=measured)


def test_a_condition_more_than_the_order_tells_an_eigenvalue():
    """The lowest state of the harmonic oscillator, exp(-x²/2), with k = 1."""
    equation, line, k = ["d2u_dx2 - x**2*u + k*u = 0"], {"x": (-4.0, 4.0)}, {"k": 0.8}
    edges = ["u(-4) = 0", "u(4) = 0"]
    problem = Problem(equation, [*edges, "u(0) = 1"], line, ("u",), coefficients=k)
    x = torch.linspace(-4, 4, 50, dtype=torch.float64)[:, None]
    one = {"k": torch.tensor(1.0, dtype=torch.float64)}
    assert problem.residuals(lambda x: torch.exp(-(x**2) / 2), x, one)[0].abs().max() < 1e-12
    with pytest.raises(ValueError, match=r"nothing tells k: .* or, of an eigenvalue, one condition more"):
        Problem(equation, edges, line, ("u",), coefficients=k)


def test_a_residual_is_held_against_the_terms_of_this_solution():
    """A steep front has terms a hundred times those of a function that varies over the domain."""
    width = 0.01
    front = Problem(["du_dx - d2u_dx2*0.005 = 0"], ["u(0) = 0", "u(1) = 1"], {"x": (-1.0, 1.0)}, ("u",), 10)
    x = torch.linspace(-1, 1, 4001, dtype=torch.float64)[:, None]
    (found, *_) = front.violated(lambda x: torch.tanh(x / width), x)
    s = 1 - torch.tanh(x / width) ** 2
    terms = torch.cat([s / width, 0.005 * -2 * torch.tanh(x / width) * s / width**2], 1)
    residual = terms[:, 0] - terms[:, 1]
    size = terms.abs().amax(1).square().mean().sqrt()
    assert found.rms == pytest.approx(float(residual.square().mean().sqrt()))
    assert found.share == pytest.approx(float(residual.square().mean().sqrt() / size))


def test_what_an_equation_holds_without_unknowns_is_a_term():
    plate = Problem(["d2u_dx2 = 100"], ["u(0) = 0", "u(1) = 0"], {"x": (0.0, 1.0)}, ("u",), 10)
    x = torch.rand(50, 1, dtype=torch.float64)
    assert plate.violated(lambda x: 0 * x, x)[0].share == pytest.approx(1)
    assert plate.violated(lambda x: 51 * x * (x - 1), x)[0].share == pytest.approx(2 / 102)


def test_hardly_anything_is_not_held_against_itself():
    oscillator = Problem(["d2u_dx2 + u"], ["u(0) = 0", "du_dx(0) = 1"], {"x": (0.0, 1.0)}, ("u",), 10)
    x = torch.rand(50, 1, dtype=torch.float64)
    assert oscillator.violated(lambda x: 1e-9 * x.exp(), x)[0].share < 1e-7
