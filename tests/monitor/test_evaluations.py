"""Batches in the module's precision; a new form is found out when it comes."""

import pytest
import torch
from cases import Plain

from sobolev.monitor.evaluations import Evaluations, OwnMethods, in_shape_of
from sobolev.monitor.weights import differentiable

X, OURS = torch.rand(4, 1), OwnMethods()


def test_inputs_take_the_modules_precision_targets_keep_theirs():
    evaluations, module = Evaluations(), Plain().double()
    with differentiable(module):
        x, y = evaluations.prepared(module, (X, X), OURS)
    assert x.dtype == torch.float64 and y.dtype == torch.float32


def test_every_form_has_its_evaluation():
    evaluations, module = Evaluations(), Plain()
    assert torch.equal(evaluations.inputs(module, (X, X), OURS), X) and evaluations.present.inputs == ("0",)
    assert torch.equal(evaluations.inputs(module, {"x": X, "y": X}, OURS), X) and evaluations.present.inputs == ("x",)
    assert evaluations.alone(OURS) and evaluations.plain(OURS)


def test_points_in_place_of_the_inputs():
    x = torch.rand(4, 2, 3)
    assert in_shape_of(x, None) is x
    assert in_shape_of(x, torch.rand(7, 6, dtype=torch.float64)).shape == (7, 2, 3)
    with pytest.raises(ValueError, match=r"2 columns, .* by 6 inputs"):
        in_shape_of(x, torch.rand(7, 2))


def test_an_overridden_method_means_that_nothing_is_known_of_forward():
    evaluations, own = Evaluations(), OwnMethods(outputs_at=lambda model, batch, x: model(x))
    evaluations.inputs(Plain(), (X, X), own)
    assert not evaluations.alone(own)


def test_inputs_may_be_made_from_a_batch_in_a_way_of_ones_own():
    evaluations, own = Evaluations(), OwnMethods(inputs_of=lambda batch: 2 * batch["z"])
    assert torch.equal(evaluations.inputs(Plain(), {"z": X, "y": X}, own), 2 * X)


@pytest.mark.parametrize("one_sample", [False, True])
def test_what_is_no_input_goes_with_its_row_or_is_that_of_the_first(one_sample):
    class Scaled(Plain):
        def forward(self, x, factor):
            return factor * x

    evaluations, module, factors = Evaluations(inputs=0), Scaled(), torch.arange(1.0, 5)[:, None]
    batch = (X, factors, X)
    evaluations.inputs(module, batch, OURS)
    function = evaluations.function(module, batch, 4, one_sample, OURS)(slice(2, 4))
    assert function.__self__ is module
    assert torch.equal(function(X[2:]), (factors[:1] if one_sample else factors[2:]) * X[2:])
