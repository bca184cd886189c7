"""The tables of the surrogates, what they call a shortfall, and a peer whose derivatives are written out here."""

import numpy as np
import pytest
from benchmarks import surrogates
from benchmarks.machine import describe
from benchmarks.surrogate_fits import OURS, Problem, _legendre, ours, suitable
from benchmarks.test_functions import Sample


def measured(surrogate, error, function="Franke1", noise=0.0, seed=0):
    errors = {"value": error, "gradient": 2 * error, "Hessian": 3 * error}
    setting = {"function": function, "rows": 300, "noise": noise, "seed": seed, "surrogate": surrogate}
    return {**setting, **errors, "seconds": 1.5, "megabytes": 10}


def test_every_measurement_has_a_cell_and_every_setting_a_line():
    rows = [measured(OURS, 1e-3), measured("SMT KRG", 2e-3), measured(OURS, 1e-2, noise=0.1)]
    failed = {**measured("SMT KRG", 0.0, noise=0.1), "failed": "ValueError: no"}
    failed = {key: value for key, value in failed.items() if key not in surrogates.ERRORS}
    text = surrogates.document({"machine": describe(), "rows": [*rows, failed]})
    cells = ["**0.5**, 0.5 (Franke1)"] * 3
    assert f"| 300 | 0 | values | 1 | {' | '.join(cells)} | 1.5, 1.5 |" in text
    assert "| Franke1 | 1.0e-03 / 2.0e-03 / 3.0e-03 (1.5) | 2.0e-03 / 4.0e-03 / 6.0e-03 (1.5) |" in text
    assert "| Franke1 | 1.0e-02 / 2.0e-02 / 3.0e-02 (1.5) | ValueError |" in text
    assert "nowhere." in text


def test_a_peer_that_is_nearer_is_said():
    rows = [measured(OURS, 1e-2), measured("SMT KRG", 1e-3), measured("scikit-learn GP", 0.9e-2)]
    rows += [measured(OURS, 1e-4, "Ishigami"), measured("SMT KRG", 1e-2, "Ishigami")]
    data = {"machine": describe(), "rows": rows}
    assert surrogates.shortfalls(data) == [
        "n = 300, no noise, Franke1: gradient 10.0 times that of SMT KRG",
        "n = 300, no noise, Franke1: Hessian 10.0 times that of SMT KRG",
    ]
    line = "* n = 300, no noise, Franke1: value 10 (SMT KRG), gradient 10 (SMT KRG), Hessian 10 (SMT KRG)\n"
    assert line in surrogates.document(data)


def test_ratios_are_geometric_means_of_the_seeds_and_tiny_errors_are_alike():
    rows = [measured(OURS, 1e-3, seed=0), measured(OURS, 4e-3, seed=1)]
    rows += [measured("SMT KRG", 2e-3, seed=0), measured("SMT KRG", 2e-3, seed=1)]
    assert surrogates.ratios(rows)["value"]["Franke1"] == (pytest.approx(1.0), "SMT KRG")
    rows = [measured(OURS, 1e-12), measured("SMT KRG", 1e-14)]
    assert surrogates.ratios(rows)["Hessian"]["Franke1"] == (1.0, "SMT KRG")


def test_methods_are_asked_for_what_they_are_made_for():
    assert "scipy spline" in suitable(False, 1, 300)
    assert "scipy spline" not in suitable(False, 2, 300)
    assert "SMT KRG" not in suitable(False, 2, 3000)
    assert suitable(True, 1, 100) == [f"{OURS}, gradients", "jenn"]


def test_sums_of_legendre_polynomials_and_their_derivatives():
    predict = _legendre(np.array([[0, 0], [2, 1]]), np.array([3.0, 2.0]))
    x, y = np.array([[0.3, -0.7], [0.1, 0.4]]).T
    value, gradient, hessian = predict(np.stack([x, y], 1))
    scale = 2 * np.sqrt(5) * np.sqrt(3)
    np.testing.assert_allclose(value, 3 + scale * (1.5 * x**2 - 0.5) * y, rtol=1e-12)
    np.testing.assert_allclose(gradient, scale * np.stack([3 * x * y, 1.5 * x**2 - 0.5], 1), rtol=1e-12)
    np.testing.assert_allclose(hessian[:, 0, 1], scale * 3 * x, rtol=1e-12)
    np.testing.assert_allclose(hessian[:, 1, 1], 0.0, atol=1e-12)


def test_errors_of_a_known_function():
    x = np.linspace(0, 1, 60)[:, None]
    problem = Problem(_sine(x), np.zeros(1), np.ones(1), 0.0)
    errors = surrogates.relative_errors(ours(problem), _sine(np.linspace(0.05, 0.95, 40)[:, None]))
    assert max(errors.values()) < 1e-7


def _sine(x):
    return Sample(x, np.sin(5 * x[:, 0]), 5 * np.cos(5 * x), -25 * np.sin(5 * x)[:, :, None])
