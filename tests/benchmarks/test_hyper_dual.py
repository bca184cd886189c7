"""Hyper-dual numbers against sympy."""

import numpy as np
import pytest
import sympy
from benchmarks.hyper_dual import derivatives

NAMES = ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan", "square", "log10")


def formula(x, functions, power):
    """Arithmetic of all kinds around every function, of two inputs (samples, 2)."""
    u, v = x[:, 0], x[:, 1]
    total = 2.0 / u - u / v + v**power - 1.5**u + (3 - u) * np.float64(2.0) ** 2 - -v / 7
    for number, f in enumerate(functions):
        total = total + f(u * v + 0.3 * number + 1) * (u - v)
    return total


@pytest.mark.parametrize("power", [0, 1, 2, -1.5])
def test_values_gradients_and_hessians_are_those_of_sympy(power):
    x = np.random.default_rng(0).uniform(0.2, 0.9, (5, 2))
    found = derivatives(lambda x: formula(x, [getattr(np, name) for name in NAMES], power), x)

    u, v = sympy.symbols("u v", positive=True)
    special = {"arctan": sympy.atan, "square": lambda t: t**2, "log10": lambda t: sympy.log(t) / sympy.log(10)}
    known = [special.get(name) or getattr(sympy, name) for name in NAMES]
    exact = formula(np.array([[u, v]], dtype=object), [lambda t, f=f: np.array([f(t[0])]) for f in known], power)[0]
    gradient = [exact.diff(s) for s in (u, v)]
    for wanted, got in zip((exact, gradient, [[g.diff(s) for s in (u, v)] for g in gradient]), found, strict=True):
        numbers = [sympy.lambdify((u, v), wanted, "math")(*point) for point in x]
        np.testing.assert_allclose(got, numbers, rtol=1e-11)
