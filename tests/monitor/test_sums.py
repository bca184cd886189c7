"""Sums of batches in any division, against the metric on all of them at once."""

import pytest
import torch

from sobolev.metrics import as_exact, derivative_error
from sobolev.monitor import sums
from sobolev.monitor.sums import Sums

X = torch.randn(12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
FOUND, TRUTH = X.sin(), X.cos()


def counted(*divisions):
    total = Sums()
    for rows in divisions:
        total.add({"sine": (FOUND[rows], TRUTH[rows])}, X[rows])
        total.samples += len(X[rows])
    return total


def expected():
    values = derivative_error(FOUND, TRUTH, X)
    return {name: pytest.approx(value.tolist()) for name, value in values.items() if name != "count"}


@pytest.mark.parametrize("size", [1, 5, 12])
def test_batches(size):
    errors, samples = counted(*(slice(start, start + size) for start in range(0, 12, size))).everywhere()
    assert errors == {"sine": expected()} and samples == 12


def test_processes(monkeypatch):
    """One without any batch, one that has counted something else besides."""
    first, second, third = counted(slice(0, 4)), counted(slice(4, 12)), Sums()
    second.add({"other": (FOUND, FOUND)}, X)
    told = []
    monkeypatch.setattr(sums, "gathered", lambda value: told.append(value) or list(told))
    for part in (first, second, third):
        errors, samples = part.everywhere()
    assert errors["sine"] == expected() and errors["other"]["rmse"] == 0 and samples == 12


def test_what_has_no_truth_is_left_out():
    total = counted(slice(0, 12))
    assert total.add({"unknown": (FOUND, torch.full_like(FOUND, torch.nan)), "half": (FOUND, FOUND)}, X) == {
        "unknown": 0,
        "half": FOUND.numel(),
    }
    assert set(total.everywhere()[0]) == {"sine", "half"}
    assert Sums().everywhere() == ({}, 0)


def test_not_a_number_is_the_worst_error():
    total = Sums()
    for value in (torch.nan, 3.0):
        total.add({"sine": (torch.tensor([[value]]), torch.zeros(1, 1))}, torch.tensor([[value]]))
    error = total.everywhere()[0]["sine"]
    assert error["max"] != error["max"] and error["at"][0] != error["at"][0]


def test_what_is_known_of_a_truth_is_used_again_until_it_changes(monkeypatch):
    calls, truth = [], TRUTH.clone()
    monkeypatch.setattr(sums, "as_exact", lambda tensors: calls.append(None) or as_exact(tensors))
    total = Sums()
    for changed in (False, False, True):
        if changed:
            truth[3] = torch.nan
        total.begin()
        total.add({"sine": (FOUND, truth)}, X)
        assert total.everywhere()[0]["sine"]["rmse"] == derivative_error(FOUND, truth, X)["rmse"].item()
    assert len(calls) == 2


def test_of_an_inference_tensor_nothing_is_kept():
    with torch.inference_mode():
        truth, total = TRUTH.clone(), Sums()
        for factor in (1, 2):
            truth.mul_(factor)
            total.begin()
            total.add({"sine": (FOUND, truth)}, X)
            assert total.everywhere()[0]["sine"]["rmse"] == derivative_error(FOUND, truth, X)["rmse"].item()
