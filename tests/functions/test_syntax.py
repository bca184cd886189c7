import ast

import pytest
import torch

from sobolev import Function
from sobolev.functions.syntax import check_names, short, syntax_tree


def test_the_tree_is_that_of_one_expression():
    assert ast.unparse(syntax_tree("  2*x + sin(y)\n")) == "2 * x + sin(y)"
    assert isinstance(syntax_tree("x, y"), ast.Tuple)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" ", r"is empty; write one such as 'x\*\*2'"),
        ("x = 1", r"'x = 1' is not a formula \(at character \d: .*\); leave out what is before '='"),
        ("1 +* x", r"at character 4: "),
        ("3x³", r"write products as 2\*x"),
        ("lambda*x", "call the variable 'lam'"),
        ("x" * 10_001, "has 10001 characters; at most 10000"),
        ("(" * 4000 + "x" + ")" * 4000, "nested"),
    ],
)
def test_what_is_no_expression(text, message):
    with pytest.raises(ValueError, match=message):
        syntax_tree(text)


@pytest.mark.parametrize("name", ["_x", "2x", "a b", "", 3])
def test_what_cannot_name_a_variable(name):
    with pytest.raises(ValueError, match="cannot be the name of a variable"):
        check_names(["x", name])
    with pytest.raises(ValueError, match="'x' is listed twice"):
        check_names(["x", "y", "x"])


def test_long_formulas_are_quoted_in_part():
    assert short("x" * 80) == repr("x" * 80)
    assert len(short("x" * 81)) == 82 and short("x" * 81).endswith("...'")


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("x·y", "x*y"),
        ("2×x − π", "2*x - pi"),
        ("sin(π*x)", "sin(pi*x)"),
        ("ａ + 1", "a + 1"),
        ("µ*x", "μ*x"),
        ("-x² + x³*y", "-x**2 + x**3*y"),
        ("x⁻¹ + (x + 1)¹⁰", "x**(-1) + (x + 1)**10"),
    ],
)
def test_formulas_as_people_type_them(typed, read):
    assert ast.dump(syntax_tree(typed)) == ast.dump(syntax_tree(read))


@pytest.mark.parametrize("typed", ["πx", "sin(πx)", "2π*x", "π2*x", "x_π"])
def test_pi_beside_a_letter_or_a_number_is_no_name_of_both(typed):
    with pytest.raises(ValueError, match=r"is not a formula .*write products as 2\*x"):
        Function(typed, ["x"])


def test_a_decimal_comma_makes_no_second_output():
    for typed in ("1,5*x", "x**2,5", "0,5"):
        with pytest.raises(ValueError, match=r"write decimals with a point, 1.5\*x, or a blank"):
            Function(typed, ["x"])
    x = torch.full((1, 1), 3.0, dtype=torch.float64)
    assert Function("x**2,3*x")(x).tolist() == [[9.0, 9.0]]
    assert Function("x**2, 5")(x).tolist() == [[9.0, 5.0]]


def test_an_equation_in_place_of_a_formula_is_told_what_to_leave_out():
    with pytest.raises(ValueError, match="leave out what is before '='"):
        Function("y = x**2")


def test_variables_keep_the_sign_they_were_given():
    assert Function("µ*Ω", ["µ", "Ω"])(torch.full((1, 2), 3.0)).item() == 9.0
