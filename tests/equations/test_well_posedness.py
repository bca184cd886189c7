import warnings

import pytest

from sobolev.equations import Problem

LINE, PLANE = {"x": (2.0, 10.0)}, {"x": (0.0, 1.0), "t": (0.0, 2.0)}
HEAT = "du_dt = d2u_dx2"


def test_no_condition_at_all():
    with pytest.raises(
        ValueError, match=r"no condition.*'d2u_dx2 \+ u' has many solutions; give some, such as u\(2\) = 1"
    ):
        Problem(["d2u_dx2 + u"], [], LINE)
    with pytest.raises(ValueError, match=r"such as u\(x, 0\) = 1"):
        Problem([HEAT], [], PLANE)


def test_an_unknown_without_equation():
    with pytest.raises(ValueError, match="no equation contains v, so nothing determines it"):
        Problem(["d2u_dx2 + u"], ["u(2) = 1"], LINE, ("u", "v"))


DOUBTS = {
    ("d2u_dx2 + u", "u(2) = 1"): r"of order 2 but has 1 condition\(s\): unless that is enough",
    ("d2u_dx2 = x", "du_dx(2) = 1", "du_dx(3) = 1"): "only derivatives of u are given, never u itself",
    (HEAT, "u(x, 0) = 1"): "no condition holds at a value of x, though",
}


@pytest.mark.parametrize("texts", DOUBTS)
def test_probably_many_solutions(texts):
    with pytest.warns(UserWarning, match=DOUBTS[texts]):
        Problem(texts[:1], texts[1:], PLANE if texts[0] == HEAT else LINE)


@pytest.mark.parametrize(
    "texts, domain",
    [
        (["d2u_dx2 + u", "u(2) = 1", "u(3) = 1"], LINE),
        (["du_dx = u", "u(5) = 1"], LINE),
        ([HEAT, "u(x, 0) = 1", "u(0, t) = u(1, t)"], PLANE),
    ],
)
def test_no_false_alarm(texts, domain):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Problem(texts[:1], texts[1:], domain)
