"""Derivatives in text, and names for them."""

from itertools import combinations_with_replacement

import pytest

from sobolev.functions.notation import (
    checked_names,
    checked_units,
    derivative_notation,
    derivative_place,
    derivative_unit,
)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ([], "price"),
        (["spot"], "dprice/dspot"),
        (["spot", "spot"], "d2price/dspot2"),
        (["spot", "rate"], "d2price/dspotdrate"),
        (["spot", "spot", "rate"], "d3price/dspot2drate"),
        (["x1"], "dprice/dx1"),
        (["x1", "x1"], "d2price/dx1dx1"),
        (["x1", "x2"], "d2price/dx1dx2"),
        (["x12", "x12"], "d2price/dx12dx12"),
        (["x", "x", "x1", "x1"], "d4price/dx2dx1dx1"),
    ],
)
def test_every_order_is_written_like_the_columns_of_a_table(inputs, text):
    assert derivative_notation("price", inputs) == text


def test_the_sequence_of_the_inputs_does_not_matter():
    for text in ("d2v/dadb", "d2v/dbda"):
        assert derivative_place(text, ["a", "b"], ["u", "v"], "option") == (1, 0, 1)
        assert checked_names({text: "cross"}, ["a", "b"], ["u", "v"]) == {"d2v/dadb": "cross"}


def test_no_two_derivatives_are_written_alike():
    """Neither are those by x1 twice, by x12, and by x and x2."""
    inputs = ["x", "x1", "x2", "x12", "x122"]
    orders = [combinations_with_replacement(inputs, order) for order in range(1, 5)]
    texts = [derivative_notation("y", by) for order in orders for by in order]
    assert len(set(texts)) == len(texts) == 5 + 15 + 35 + 70


def test_a_second_derivative_by_an_input_with_a_number_may_be_written_with_a_power():
    for text in ("d2y/dx12", "d2y/dx1dx1"):
        assert derivative_place(text, ["x1", "x2", "x12"], ["y"], "option") == (0, 0, 0)
    assert derivative_place("dy/dx12", ["x1", "x2", "x12"], ["y"], "option") == (0, 2)
    assert checked_names({"d2y/dx12": "gamma"}, ["x1"], ["y"]) == {"d2y/dx1dx1": "gamma"}


def test_what_is_no_derivative_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"derivative_names: 'dprice/dspt' names no derivative.*dprice/dspot"):
        checked_names({"dprice/dspt": "delta"}, ["spot"], ["price"])


@pytest.mark.parametrize("names", [{"dy/dx": "x"}, {"dy/dx": "y"}, {"dy/dx": "slope", "d2y/dx2": "slope"}])
def test_no_name_stands_for_two_things(names):
    with pytest.raises(ValueError, match="stands for two things"):
        checked_names(names, ["x"], ["y"])


@pytest.mark.parametrize(
    ("output", "inputs", "unit"),
    [
        ("MPa", ["K"], "MPa/K"), ("kN", ["m/s"], "kN/(m/s)"), ("", ["K", "K"], "1/K²"), ("m", ["", "s"], "m/s"),
        ("m/s", ["s"], "(m/s)/s"), ("kN", ["K", "m/s"], "kN/(K·(m/s))"), ("m", [], "m"), ("m", [""], "m"),
        ("J", ["m/s", "m/s"], "J/(m/s)²"),
    ],
)  # fmt: skip
def test_units_of_derivatives(output, inputs, unit):
    assert derivative_unit(output, inputs) == unit


def test_units_of_names_that_are_not_there_are_refused():
    assert checked_units({"x": "m"}, ["x", "y"]) == {"x": "m"}
    with pytest.raises(ValueError, match=r"units: there is no 'presure' among inputs and outputs; write pressure"):
        checked_units({"presure": "MPa"}, ["pressure", "y"])
