"""How a module is called, from its signature and a batch."""

import lightning.pytorch
import pytest
import torch
from torch import nn

from sobolev.monitor.inputs import evaluation, evaluation_by_user, joined
from sobolev.monitor.targets import Target

X, T, MASK, Y = torch.rand(4, 2), torch.rand(4, 1), torch.ones(4, dtype=torch.bool), torch.rand(4, 1)


class Sum(nn.Module):
    def forward(self, x, t, mask=None):
        return x.sum(1, keepdim=True) * t


class Several(nn.Module):
    def forward(self, x):
        return {"u": x, "v": 2 * x}


def test_by_position_by_name_and_nested():
    for batch, paths in [
        ((X, T, Y), ("0", "1")),
        ({"t": T, "x": X, "y": Y}, ("t", "x")),
        (((X, T), Y), ("0.0", "0.1")),
        ({"x": X, "mask": MASK, "t": T}, ("x", "t")),
    ]:
        found = evaluation(Sum(), batch)
        assert found.inputs == paths
        x = found.x(batch)
        assert x.shape == (4, 3) and torch.equal(found.y(Sum(), batch, x), X.sum(1, keepdim=True) * T)


def test_one_input_others_fixed():
    found = evaluation(Sum(), (X, T, Y), inputs=0)
    assert found.inputs == ("0",) and not found.alone and found.targets == (Target("2"),)
    assert torch.equal(found.y(Sum(), (X, T, Y), 2 * X), 2 * X.sum(1, keepdim=True) * T)


def test_several_outputs_are_columns():
    found = evaluation(Several(), (X, Y), output=["u", "v"])
    assert torch.equal(found.y(Several(), (X, Y), X), torch.cat([X, 2 * X], 1)) and found.alone
    with pytest.raises(TypeError, match="say which of these is meant"):
        evaluation(Several(), (X, Y))


def test_inputs_made_from_the_batch_are_handed_to_forward():
    found = evaluation(nn.Linear(2, 1), {"a": X, "y": Y}, x=X + 1)
    assert found.inputs is None and found.y(nn.Linear(2, 1), {"a": X, "y": Y}, X).shape == (4, 1)


def test_where_the_user_calls_forward():
    found = evaluation_by_user({"ids": MASK, "x": X, "y": Y}, None, None)
    assert found.inputs == ("x",) and found.targets == (Target("y"),) and not found.alone


def test_what_cannot_be_told_is_asked_for():
    with pytest.raises(TypeError, match="inputs: a`"):
        evaluation(nn.Linear(2, 1), {"a": X, "b": X})
    with pytest.raises(ValueError, match="no entry 'z'"):
        evaluation(Sum(), (X, T), inputs="z")


def test_a_single_tensor_is_not_copied():
    assert joined([X]) is X and joined([X, T]).shape == (4, 3)


class Wrapped:
    """A batch of a class of somebody's own."""

    def __init__(self, x, y):
        self.x, self.y, self.name = x, y, "mine"


class OfWrapped(nn.Module):
    def forward(self, batch):
        return batch.x.square().sum(1, keepdim=True)


def test_attributes_of_an_object_are_entries_like_keys():
    found = evaluation(nn.Linear(2, 1), Wrapped(X, Y), inputs="x")
    assert found.inputs == ("x",) and found.targets == (Target("y"),)
    whole = evaluation(OfWrapped(), Wrapped(X, Y), inputs="x")
    assert torch.equal(whole.y(OfWrapped(), Wrapped(X, Y), 2 * X), 4 * X.square().sum(1, keepdim=True))


def test_overridden_methods_are_asked_before_anything_is_guessed():
    class Opaque:
        numbers = X.tolist()

    assert evaluation_by_user(Opaque(), None, None, x=X).inputs is None
    with pytest.raises(ValueError, match=r"no tensor of floating point.*inputs_of"):
        evaluation_by_user(Opaque(), None, None)


class WithoutForward(lightning.pytorch.LightningModule):
    pass


def test_questions_name_what_can_be_answered():
    with pytest.raises(TypeError, match=r"WithoutForward has no forward of its own.*outputs_at"):
        evaluation(WithoutForward(), X)
    with pytest.raises(TypeError) as asked:
        evaluation(nn.Linear(3, 1), X)
    assert "inputs: `" not in str(asked.value) and "override" in str(asked.value)
