import time

import mpmath
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sobolev import Function

NUMBERS = st.sampled_from(["2", "0.5", "3", "1.25", "7"])
LEAVES = st.sampled_from(["x", "y"]) | NUMBERS
TEXTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from(["2", "3", "(-1)"])).map(lambda t: f"({t[0]})**{t[1]}"),
        st.tuples(st.sampled_from(["sin", "cos", "tanh", "exp", "atan", "erf"]), inner).map("{0[0]}({0[1]})".format),
        inner.map("-{}".format),
    ),
    max_leaves=6,
)
MEANING = {name: getattr(mpmath, name) for name in ("sin", "cos", "tanh", "exp", "atan", "erf")}


@settings(max_examples=150)
@given(TEXTS, st.floats(0.3, 1.7), st.floats(0.3, 1.7))
def test_random_formulas_equal_mpmath(text, a, b):
    def exact(x, y):
        exec_names = {**MEANING, "x": mpmath.mpf(x), "y": mpmath.mpf(y)}
        return eval(text.replace("0.5", "(mpf(1)/2)").replace("1.25", "(mpf(5)/4)"), {**exec_names, "mpf": mpmath.mpf})

    with mpmath.workdps(40):
        try:
            value, slope = mpmath.mpf(exact(a, b)), mpmath.diff(exact, (a, b), (1, 0))
        except (ZeroDivisionError, OverflowError):
            assume(False)
        assume(1e-30 < abs(value) < 1e30 and 1e-12 < abs(slope) < 1e30)
    try:
        f = Function(text, ["x", "y"])
    except ValueError as error:
        assert "finite real number" in str(error)  # a constant divided by zero
        return
    ours, gradient = f.jacobian(torch.tensor([[a, b]], dtype=torch.float64))
    assert ours.item() == pytest.approx(float(value), rel=1e-11)
    assert gradient[0, 0, 0].item() == pytest.approx(float(slope), rel=1e-10)


GARBAGE = st.text(max_size=30) | st.text(st.sampled_from("xy()[]{}.,:+-*/^'\"_019e=<> \n#@!lambdaif"), max_size=30)


@pytest.mark.filterwarnings("ignore:. is read as Euler's number")
@settings(max_examples=500)
@given(GARBAGE)
def test_garbage_raises_nothing_but_value_error(text):
    try:
        Function(text)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('touch owned')", "without a prefix"),
        ("().__class__.__bases__", "without a prefix"),
        ("np.sin(x)", r"without a prefix"),
        ("(lambda: 1)()", "no call of a function"),
        ("[x for x in y]", "cannot be part of a formula"),
        ("x[0]", "cannot be part of a formula"),
        ("f'{x}'", "cannot be part of a formula"),
        ("(x := 3)", "cannot be part of a formula"),
        ("'x'", "is no number"),
        ("True", "is no number"),
        ("2j*x", "is no number"),
        ("x^2", r"write \*\*"),
        ("x²y", r"write products as 2\*x"),
        ("√x + |x|", r"roots as sqrt\(x\)"),
        ("2x", r"write products as 2\*x"),
        ("2(x + 1)", r"write products with \*"),
        ("lambda*x", "call the variable 'lam'"),
        ("sinn(x)", "did you mean sin"),
        ("sin*x", r"write sin\(\.\.\.\)"),
        ("sin(x, 2)", "takes 1 argument"),
        ("sin(x=2)", "one after the other"),
        ("__x + 1", "cannot be the name of a variable"),
        ("9**9**9", "exponent is larger"),
        ("(2*x)**(10**9)", "exponent is larger"),
        ("x**99999", "exponent is larger"),
        ("10**300*10**300*x", "too large"),
        ("exp(exp(exp(9)))*x", "not a finite real number"),
        ("gamma(10**9)*x", "not a finite real number"),
        ("1e999*x", "too large"),
        ("1/0 + x", "not a finite real number"),
        ("sqrt(-1)*x", "not a finite real number"),
        ("log(0)*x", "not a finite real number"),
        ("asin(2)*x", "not a finite real number"),
        ("x == 1", "cannot be part"),
        ("where(x == 1, 2, 3)", "compare with"),
        ("where(x, 2, 3)", "no condition"),
        ("where(x > 1, 2)", "write where"),
        ("(" * 4000 + "x" + ")" * 4000, "nested"),
        ("-" * 3000 + "x", "nested too deeply"),
        ("x" + "+x" * 3000, "nested too deeply|too many"),
        ("x+" * 50000, "characters"),
        ("", "empty"),
        ("()", "empty"),
        ("3", "no variable"),
        ("x\0", "not a formula"),
        ("\ud800", "not a formula"),
    ],
)
def test_refusals_are_immediate_and_say_why(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=message):
        Function(text)
    assert time.perf_counter() - start < 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "name"), [("E*A*x", "E"), ("x + e", "e")])
def test_a_constant_that_may_be_meant_otherwise_is_said(text, name):
    with pytest.warns(UserWarning, match=f"{name} is read as Euler's number"):
        Function(text)
    Function(text, ["x", "A", name])  # a variable of that name


@pytest.mark.parametrize("text", ["e**(-x)", "E**x", "exp(x)"])
def test_eulers_number_as_a_base_is_read_without_a_word(text):
    Function(text)


def test_unknown_name_comes_with_the_nearest():
    with pytest.raises(ValueError, match="unknown name 'spott'; did you mean spot"):
        Function("spott*2", ["spot", "vol"])


def test_a_function_unlike_any_lists_no_fifty_names():
    with pytest.raises(ValueError, match=r"unknown function 'qqq'; a product is written with \*") as caught:
        Function("qqq(y)")
    assert len(str(caught.value)) < 200
