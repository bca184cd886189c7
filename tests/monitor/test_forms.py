"""Batches in the module's precision; a new form is found out when it comes."""

import pytest
import torch
from cases import Plain
from torch import nn

from sobolev import DerivativeMonitor
from sobolev.monitor.opened import opened

X = torch.rand(4, 1)


def test_inputs_take_the_modules_precision_targets_keep_theirs():
    forms, module = DerivativeMonitor()._watch.forms, Plain().double()
    with opened(module):
        x, y = forms.prepared(module, (X, X))
    assert x.dtype == torch.float64 and y.dtype == torch.float32


def test_every_form_has_its_evaluation():
    forms, module = DerivativeMonitor()._watch.forms, Plain()
    assert torch.equal(forms.inputs(module, (X, X)), X) and forms.evaluation.inputs == ("0",)
    assert torch.equal(forms.inputs(module, {"x": X, "y": X}), X) and forms.evaluation.inputs == ("x",)
    assert forms.alone


def test_points_in_place_of_the_inputs():
    forms, module = DerivativeMonitor()._watch.forms, Plain(nn.Sequential(nn.Flatten(), nn.Linear(6, 1)))
    batch = (torch.rand(4, 2, 3), X)
    forms.inputs(module, batch)
    assert forms.inputs_at(batch, torch.rand(7, 6, dtype=torch.float64)).shape == (7, 2, 3)
    with pytest.raises(ValueError, match=r"2 columns, .* by 6 inputs"):
        forms.inputs_at(batch, torch.rand(7, 2))


def test_an_overridden_method_means_that_nothing_is_known_of_forward():
    class Mine(DerivativeMonitor):
        def outputs_at(self, model, batch, x):
            return model(x)

    forms = Mine()._watch.forms
    forms.inputs(Plain(), (X, X))
    assert not forms.alone
