"""Which outputs count: by name, by attribute, by column, or the only one there is."""

import pytest
import torch
from torch.distributions import Independent, Normal

from sobolev.monitor.outputs import OutputError, literal, output_entry, output_paths

Y, TWO = torch.rand(4, 1), torch.rand(4, 2)


@pytest.mark.parametrize(
    ("returned", "output", "paths"),
    [
        (Y, None, ("",)),
        ((Y, torch.zeros(())), None, ("0",)),
        ({"ids": torch.arange(4), "y": Y}, None, ("y",)),
        ({"u": Y, "v": Y}, ["v", "u"], ("v", "u")),
        ((Y, Y), 1, ("1",)),
        (TWO, 1, ("1",)),
        (Normal(Y, 1 + Y), None, ("mean",)),
        (Independent(Normal(TWO, 1 + TWO), 1), "stddev", ("stddev",)),
    ],
)
def test_outputs(returned, output, paths):
    assert output_paths(returned, 4, output) == paths


def test_parts_of_what_forward_returns():
    normal = Normal(Y, 1 + Y)
    assert torch.equal(output_entry(normal, "loc"), Y) and torch.equal(output_entry(normal, "variance"), (1 + Y) ** 2)
    assert torch.equal(output_entry(TWO, 1), TWO[:, 1:]) and torch.equal(output_entry({"u": TWO}, "u.0"), TWO[:, :1])


def test_outputs_that_do_not_fit():
    with pytest.raises(OutputError, match="several as a list"):
        output_paths((Y, Y), 4, None)
    with pytest.raises(OutputError, match="no 'z'"):
        output_paths(Y, 4, "z")
    with pytest.raises(OutputError, match="returns no 2"):
        output_paths(TWO, 4, 2)
    with pytest.raises(OutputError, match=r"no tensor of floating point.*outputs_at"):
        output_paths(object(), 4, None)
    with pytest.raises(ValueError, match="for 5 samples"):
        output_paths(Y, 5, None)


def test_a_path_as_in_python():
    assert literal("x") == "'x'" and literal("0") == "0"
