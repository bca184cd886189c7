"""Which output, and which targets."""

import pytest
import torch

from sobolev.monitor.forward_calls import Arguments
from sobolev.monitor.outputs import OutputError, literal, output_paths, target_paths

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
