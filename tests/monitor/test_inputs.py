"""How a module is called, from its signature and a batch."""

import pytest
import torch
from torch import nn

from sobolev.monitor.forward import Arguments
from sobolev.monitor.inputs import (
    OutputError,
    evaluation,
    evaluation_by_user,
    joined,
    literal,
    output_paths,
    target_paths,
)

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
    assert found.inputs == ("0",) and not found.alone and found.targets == ("2",)
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
    assert found.inputs == ("x",) and found.targets == ("y",) and not found.alone


def test_what_cannot_be_told_is_asked_for():
    with pytest.raises(TypeError, match="inputs: a`"):
        evaluation(nn.Linear(2, 1), {"a": X, "b": X})
    with pytest.raises(ValueError, match="no entry 'z'"):
        evaluation(Sum(), (X, T), inputs="z")


def test_a_single_tensor_is_not_copied():
    assert joined([X]) is X and joined([X, T]).shape == (4, 3)


Y = torch.rand(4, 1)
FIRST = Arguments(lambda batch: ((batch[0],), {}))


@pytest.mark.parametrize(
    ("returned", "output", "paths"),
    [
        (Y, None, ("",)),
        ((Y, torch.zeros(())), None, ("0",)),
        ({"ids": torch.arange(4), "y": Y}, None, ("y",)),
        ({"u": Y, "v": Y}, ["v", "u"], ("v", "u")),
        ((Y, Y), 1, ("1",)),
    ],
)
def test_outputs(returned, output, paths):
    assert output_paths(returned, 4, output) == paths


def test_outputs_that_do_not_fit():
    with pytest.raises(OutputError, match="several as a list"):
        output_paths((Y, Y), 4, None)
    with pytest.raises(OutputError, match="no 'z'"):
        output_paths(Y, 4, "z")
    with pytest.raises(ValueError, match="for 5 samples"):
        output_paths(Y, 5, None)


def test_targets_stand_behind_the_inputs_or_have_a_usual_name():
    assert target_paths((Y, Y, Y), None, FIRST) == ("1", "2")
    assert target_paths({"x": Y, "target": Y}, None, Arguments(lambda batch: ((batch["x"],), {}))) == ("target",)
    assert target_paths((Y, Y), [1, None], FIRST) == ("1", None)
    assert target_paths(Y, None, FIRST) == ()


def test_a_path_as_in_python():
    assert literal("x") == "'x'" and literal("0") == "0"
