import math
from dataclasses import replace

import pytest
import torch

from sobolev.estimates.verdict import Expected, percent, verdict


def test_a_useless_derivative_is_named_with_what_more_rows_would_bring():
    fine, useless = Expected(0, 0.01, 1.0, 0.01, 1.0), Expected(2, 0.8, 1.0, 0.8, 0.5)
    sentence = (
        "f'' is estimated to be wrong by 80 % of its size: do not use it; 4 times as many rows would bring about 40 %"
    )
    assert verdict([fine, useless]) == sentence


def test_a_network_that_falls_behind_its_rows_is_to_be_trained():
    assert "these rows allow 5 %: train longer" in str(Expected(1, 0.5, 1.0, 0.05, 1.0))


def test_where_rows_bring_nothing_nothing_is_promised():
    assert str(Expected(1, 0.5, 1.0, 0.5, 0.0)).endswith("do not use it; more rows alone would bring little")


def test_of_rows_without_noise_no_number_is_promised():
    assert str(Expected(1, 0.5, 1.0, 0.5, None)).endswith("more rows would help, by how much is not known")


def test_of_several_outputs_the_worst_is_named_whatever_their_units():
    entries, sizes = torch.tensor([[0.5], [3.0]]), torch.tensor([[1.0], [300.0]])
    slope = Expected(1, 2.15, 212.0, 2.15, None, entries, sizes)
    assert verdict([slope], ["speed", "power"]).startswith("f' of speed is estimated to be wrong by 50 % of its size")
    assert verdict([slope]).startswith("f' of output 1 is estimated to be wrong by 50 %")
    assert slope.of_output(1).relative == pytest.approx(0.01)
    assert slope.of_output(0).unknown == pytest.approx(0.5)


def test_a_derivative_that_others_hide_in_their_units_is_named():
    """By a length in thousandths of a metre, which is right, and by a pressure in 1e5 Pa, which is not."""
    errors, sizes = torch.tensor([[30.0, 4e-6]]), torch.tensor([[1000.0, 1e-5]])
    slope = Expected(1, 21.0, 707.0, 21.0, None, errors, sizes, torch.tensor([1e-3, 1e5]).double())
    said = verdict([slope], inputs=["length", "pressure"])
    assert said.startswith("f' by pressure is estimated to be wrong by 40 % of its size: do not use it")
    assert verdict([slope]).startswith("f' by input 2 is")
    hardly = replace(slope, scatter=torch.tensor([1e-3, 1e3]).double())  # the pressure moves next to nothing
    assert verdict([hardly], inputs=["length", "pressure"]).startswith("f' is estimated to be wrong by 3 %")
    bends = replace(
        slope,
        order=2,
        entries=torch.tensor([[[1.0, 3.5e-3], [3.5e-3, 1e-12]]]),
        sizes=torch.tensor([[[1e3, 1e-2], [1e-2, 1e-10]]]),
    )
    assert verdict([bends], inputs=["length", "pressure"]).startswith("f'' by length and pressure is estimated")


def test_what_is_said_of_all_together_does_not_depend_on_units():
    """A pressure in bar, and in pascal: its derivative's numbers are 1e5 times smaller."""
    errors, sizes, scatter = torch.tensor([[0.2, 0.5]]), torch.tensor([[1.0, 1.0]]), torch.tensor([1.0, 0.8])
    said = []
    for unit in (1.0, 1e5):
        units = torch.tensor([1.0, unit])
        parts = errors / units, sizes / units
        rmse, size = (float(part.square().mean().sqrt()) for part in parts)
        said.append(verdict([Expected(1, rmse, size, rmse, None, *parts, scatter * units)]))
    assert said[0] == said[1]
    together = math.hypot(0.2, 0.4) / math.hypot(1, 0.8)
    assert said[0].startswith(f"f' is estimated to be wrong by {percent(together)}")


def test_what_is_no_number_is_not_said_to_be_right():
    broken = Expected(1, math.nan, math.nan, math.nan, None)
    assert math.isnan(broken.relative)
    assert math.isnan(Expected(1, math.nan, 0.0, math.nan, None).relative)
    assert "NaN" in verdict([Expected(0, 0.1, 1.0, 0.1, None), broken])


def test_good_derivatives_are_said_to_be_good():
    assert verdict([Expected(k, 1e-5, 1.0, 1e-5, 1.0) for k in range(3)]).endswith("wrong by 1.0e-05 of its size")


def test_care_lies_between():
    assert "use it with care" in str(Expected(1, 0.2, 1.0, 0.2, 1.0))


def test_a_derivative_that_is_zero_has_no_relative_error():
    assert Expected(2, 0.0, 0.0, 0.0, 1.0).relative == 0
    assert Expected(2, 1.0, 0.0, 1.0, 1.0).relative == float("inf")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.018, "1.8 %"), (0.8, "80 %"), (0.996, "100 %"), (1.004, "100 %"), (7.6, "760 %"), (2e-9, "2.0e-09")],
)
def test_shares_are_written_for_people(share, text):
    assert percent(share) == text
