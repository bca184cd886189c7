"""Exact derivatives: computed once for the same points; labels only where they fit."""

import torch
from cases import Plain

from sobolev import DerivativeMonitor, Function
from sobolev.monitor.opened import opened

X = torch.linspace(0, 1, 5)[:, None]


def prepared(batch, **options):
    monitor = DerivativeMonitor(order=2, **options)
    with opened(module := Plain()):
        monitor._watch.forms.prepared(module, batch)
    return monitor._watch.truths


def test_a_reference_is_evaluated_once_for_the_same_points():
    truths, cubic = prepared((X, X)), Function("x**3")
    first = truths.exact(cubic, X)
    assert [t.dtype for t in first] == [torch.float64] * 3
    assert torch.allclose(first[2].flatten(), 6 * X.flatten().double())
    assert truths.exact(cubic, X.clone()) is first and truths.exact(cubic, X + 1) is not first


def test_labels_are_what_has_the_shape_of_a_derivative():
    slope, other = torch.rand(5, 1, 1), torch.rand(5, 7)
    labels = prepared((X, X, slope)).labels((X, X, slope))
    assert labels[0] is X and labels[1] is slope
    assert prepared((X, X, other)).labels((X, X, other)) == (X, None)
    assert prepared((X, torch.arange(5))).labels((X, torch.arange(5))) == ()


def test_named_targets_are_taken_as_they_are():
    batch = {"x": X, "y": X, "slopes": X}
    labels = prepared(batch, inputs="x", targets=[None, "slopes"]).labels(batch)
    assert labels[0] is None and labels[1] is X
