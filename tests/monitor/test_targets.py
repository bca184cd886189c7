"""Where targets are, and signs and units of labels."""

import pytest
import torch

from sobolev.monitor.forward import Arguments
from sobolev.monitor.targets import Target, targets_in

Y = torch.rand(4, 1)
FIRST = Arguments(lambda batch: ((batch[0],), {}))


def test_targets_stand_behind_the_inputs_or_have_a_usual_name():
    assert targets_in((Y, Y, Y), None, FIRST) == (Target("1"), Target("2"))
    by_name = Arguments(lambda batch: ((batch["x"],), {}))
    assert targets_in({"x": Y, "target": Y}, None, by_name) == (Target("target"),)
    assert targets_in((Y, Y), [1, None], FIRST) == (Target("1"), None)
    assert targets_in(Y, None, FIRST) == ()


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("forces", Target("forces")),
        ("-forces", Target("forces", -1.0)),
        ("- 0.001*forces", Target("forces", -0.001)),
        ("1e3 * data.dE_dx", Target("data.dE_dx", 1e3)),
        ("-forces/2", Target("forces", -0.5)),
        ("-1", Target("-1")),
        (-1, Target("-1")),
        ("-1*2", Target("2", -1.0)),
        ("dy/dx", Target("dy/dx")),
    ],
)
def test_a_target_may_have_a_sign_and_a_unit(text, target):
    assert targets_in({}, text, FIRST) == (target,)


def test_targets_by_order():
    assert targets_in({}, {1: "-forces"}, FIRST) == (None, Target("forces", -1.0))
    assert targets_in({}, {"0": "energy", 2: "hessian"}, FIRST) == (Target("energy"), None, Target("hessian"))
