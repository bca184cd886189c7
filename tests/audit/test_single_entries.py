"""A close-up: which input and output each of its points looks at, and what it sees there."""

import pytest
import torch

from sobolev.audit.modules import modules_behind
from sobolev.audit.probe import probing
from sobolev.audit.single_entries import SingleEntries

UNITS = torch.tensor([1.0, 1e-6, 1e6])


def f(x):
    return torch.stack([(x * k).sin().sum(1) for k in (1, 2, 3)], 1) * UNITS.to(x)


def test_every_input_and_every_output_has_points_of_its_own():
    with probing(f, torch.randn(10, 2), 1, modules_behind(f)) as probe:
        close = SingleEntries(probe)
        seen = set(zip(close.inputs.tolist(), close.outputs.tolist(), strict=True))
        assert seen == {(i, o) for i in range(2) for o in range(3)}
        assert ((close.direction != 0).sum(1) == 1).all()


def test_each_point_sees_its_output_in_units_of_its_size_along_its_input():
    with probing(f, torch.randn(10, 2), 1, modules_behind(f)) as probe:
        close = SingleEntries(probe)
        value, slope = close.reverse
        rows = torch.arange(len(close.x))
        output, by = close.outputs, close.inputs
        units = (UNITS.double() / probe.output_sizes)[output]
        torch.testing.assert_close(value, f(close.x)[rows, output] / probe.output_sizes[output])
        exact = (output + 1) * torch.cos((output + 1) * close.x[rows, by]) * units
        torch.testing.assert_close(slope, exact * probe.input_sizes[by])


@pytest.mark.parametrize(("width", "height"), [(1, 200), (200, 1)])
def test_of_many_inputs_or_outputs_some_all_along(width, height):
    def g(x):
        return x.sum(1, keepdim=True).expand(-1, height)

    with probing(g, torch.randn(10, width), 1, {}) as probe:
        close = SingleEntries(probe)
        places, count = (close.inputs, width) if width > 1 else (close.outputs, height)
        assert len(close.x) == 64
        assert places.min() == 0 and places.max() > 0.9 * count


def test_names_only_what_there_are_several_of():
    with probing(f, torch.randn(4, 2), 1, {}) as probe:
        assert SingleEntries(probe).named(3) == "by input 1 of output 0"
    with probing(lambda x: f(x)[:, 0], torch.randn(4, 2), 1, {}) as probe:
        assert SingleEntries(probe).named(1) == "by input 1"
