"""Which algorithm is chosen, beside the table in the documentation."""

from pathlib import Path

import pytest
import torch

from sobolev.autodiff.algorithms import of_any_function, of_perceptron

DOCS = Path(__file__).parents[2] / "docs/how-it-works.md"


def test_a_perceptron_along_a_direction():
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            assert [of_perceptron("derivatives", order, 100, 1, 1) for order in (1, 2, 3)] == ["directional"] * 2 + [
                None
            ]


@pytest.mark.parametrize("operator", ["jacobian", "hessian", "hessian_diagonal", "laplacian"])
def test_a_perceptron_of_few_outputs(operator):
    with torch.no_grad():
        assert of_perceptron(operator, 2, 100, 4, 2) == "units"
        assert of_perceptron(operator, 2, 100, 4, 3) is None
        assert of_perceptron(operator, 2, 0, 4, 1) is None
    assert of_perceptron(operator, 2, 100, 4, 1) is None  # a graph is kept


@pytest.mark.parametrize(
    ("operator", "rows", "inputs", "algorithms"),
    [
        ("jacobian", 1000, 3, ["pushed"]),
        ("jacobian", 1000, 4, ["reversed", "pushed"]),
        ("jacobian", 10, 4, ["pushed"]),
        ("jacobian", 10, 16, ["reversed", "pushed"]),
        ("hessian", 10, 1, ["pushed"]),
        ("hessian", 1000, 2, ["collapsed", "pushed"]),
        ("hessian", 100, 2, ["pushed"]),
        ("hessian", 0, 9, ["pushed"]),
        ("laplacian", 1000, 50, ["pushed"]),
        ("hessian_diagonal", 1000, 50, ["pushed"]),
    ],
)
def test_any_function(operator, rows, inputs, algorithms):
    assert of_any_function(operator, rows, inputs) == algorithms


def test_the_collapsed_hessian_of_three_inputs_without_a_graph():
    with torch.no_grad():
        assert of_any_function("hessian", 1000, 2) == ["pushed"]
        assert of_any_function("hessian", 1000, 3) == ["collapsed", "pushed"]
        assert of_any_function("hessian", 10, 3) == ["pushed"]


def test_under_transforms_nothing_is_reversed():
    chosen = []
    torch.func.vmap(lambda x: chosen.append(of_any_function("jacobian", 1000, 9)) or x)(torch.ones(2))
    assert chosen == [["pushed"]]


def test_the_table_names_every_algorithm():
    table = DOCS.read_text(encoding="utf-8")
    assert all(f"`{name}`" in table for name in ("directional", "units", "reversed", "collapsed", "pushed", "nested"))
