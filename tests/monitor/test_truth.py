"""Exact derivatives: computed once for the same points; labels only where they fit."""

import torch
from cases import Plain

from sobolev import Function
from sobolev.monitor.evaluations import Evaluations, OwnMethods
from sobolev.monitor.truth import ExactDerivatives, labels_of

X = torch.linspace(0, 1, 5)[:, None]


def labels(batch, named=False, **options):
    evaluations = Evaluations(**options)
    x = evaluations.inputs(Plain(), batch, OwnMethods())
    return labels_of(batch, evaluations.present, x, named=named)


def test_a_reference_is_evaluated_once_for_the_same_points():
    exact, cubic = ExactDerivatives(order=2), Function("x**3")
    first = exact.at(cubic, X)
    assert [t.dtype for t in first] == [torch.float64] * 3
    assert torch.allclose(first[2].flatten(), 6 * X.flatten().double())
    assert exact.at(cubic, X.clone()) is first and exact.at(cubic, X + 1) is not first


def test_labels_are_what_has_the_shape_of_a_derivative():
    slope, other = torch.rand(5, 1, 1), torch.rand(5, 7)
    found = labels((X, X, slope))
    assert found[0] is X and found[1] is slope
    assert labels((X, X, other)) == (X, None)
    assert labels((X, torch.arange(5))) == ()


def test_named_targets_are_taken_as_they_are():
    found = labels({"x": X, "y": X, "slopes": X}, named=True, inputs="x", targets=[None, "slopes"])
    assert found[0] is None and found[1] is X
