"""What is counted, from the definitions with numpy; the model and the random numbers stay as they were."""

import math
from time import perf_counter

import numpy as np
import pytest
import torch
from torch import nn

from sobolev import Function
from sobolev.metrics import as_exact
from sobolev.monitor import measurement as module
from sobolev.monitor.measurement import FIGURE_POINTS, Measurement, measured_order

QUARTIC = Function("x**4")
X = torch.linspace(-1, 2, 12, dtype=torch.float64)[:, None]


def cube(x):
    return x**3


class Cube(nn.Module):
    def forward(self, x):
        return cube(x)


def measured(points, truth, order=2, batch=4):
    measurement = Measurement(order)
    for x in points.split(batch):
        measurement.update(lambda rows: Cube(), x, truth(x))
    return measurement


def test_errors_from_the_definitions():
    x = torch.randn(10, 1, dtype=torch.float64)
    entries = measured(x, lambda x: QUARTIC.tensors(x, 2)).errors()[0]
    z = x.numpy()
    for k, (found, exact) in enumerate([(z**3, z**4), (3 * z**2, 4 * z**3), (6 * z, 12 * z**2)]):
        error = found - exact
        assert entries[k]["order"] == k
        assert entries[k]["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
        assert entries[k]["relative_l2"] == pytest.approx(np.sqrt(np.sum(error**2) / np.sum(exact**2)))
        assert entries[k]["max"] == pytest.approx(np.abs(error).max())
        assert entries[k]["at"] == [z[np.abs(error).argmax(), 0]]


@pytest.mark.parametrize("last", [True, False])
def test_a_batch_without_labels_neither_counts_nor_decides(last):
    """Known in one batch, not a number or missing in the other, whichever comes last."""
    known, unknown = torch.ones(3, 1), torch.full((3, 1), 7.0)
    measurement = Measurement(1)
    for x in (known, unknown) if last else (unknown, known):
        slope = torch.zeros(3, 1, 1) if x is known else torch.full((3, 1, 1), torch.nan)
        measurement.update(lambda rows: Cube(), x, (x, slope))
    assert measurement.errors()[0][1]["rmse"] == 3 and measurement.errors()[0][1]["max"] == 3
    assert measurement.errors()[1] == 6


def test_where_nothing_is_known_the_size_is_told():
    entry = measured(torch.tensor([[1.0], [-2.0]]), lambda x: (None,)).errors()[0][1]
    assert entry == {"order": 1, "rms": pytest.approx(math.sqrt((9 + 144) / 2)), "max": 12.0, "at": [-2.0]}


def test_reset_forgets():
    measurement = measured(torch.randn(8, 1), lambda x: QUARTIC.tensors(x, 2))
    measurement.reset()
    x = torch.tensor([[2.0]])
    measurement.update(lambda rows: Cube(), x, QUARTIC.tensors(x, 2))
    assert measurement.errors()[1] == 1 and measurement.errors()[0][0]["rmse"] == 8 and len(measurement.kept) == 1


def test_a_truth_of_another_shape():
    x = torch.rand(4, 1)
    with pytest.raises(ValueError, match=r"order 0 has shape \(4, 1\), the reference's or label's \(4, 2\)"):
        Measurement(0).update(lambda rows: Cube(), x, (torch.rand(4, 2),))
    measurement = Measurement(0)
    measurement.update(lambda rows: Cube(), x, (torch.rand(4, 2),), required=False)
    assert "rms" in measurement.errors()[0][0]


def test_a_missing_axis_of_a_single_output_is_no_difference():
    x = torch.rand(4, 1)
    measurement = Measurement(0)
    measurement.update(lambda rows: Cube(), x, ((x**3).reshape(4),))
    assert measurement.errors()[0][0]["rmse"] == 0


def test_a_figure_gets_so_many_points_and_no_more():
    measurement = measured(
        torch.randn(FIGURE_POINTS + 100, 1), lambda x: (x**3, None, 6 * x[:, :, None, None]), batch=300
    )
    x, predicted, exact = measurement.figure_data()
    assert len(x) == FIGURE_POINTS and [len(p) for p in predicted] == [FIGURE_POINTS] * 3
    assert exact[1] is None and torch.equal(exact[0], x**3)


def test_rows_of_other_entries_go_with_those_of_x():
    """The function is asked for at most so many rows, and told which."""
    x, factor, seen = torch.rand(10, 1), torch.arange(10.0)[:, None], []

    def of(rows):
        seen.append(rows)
        return lambda x: factor[rows] * x

    measurement = Measurement(1)
    measurement.update(of, x, (factor * x, factor[:, None]), block=4)
    assert [part["max"] for part in measurement.errors()[0]] == [0, 0]
    assert [(rows.start, min(rows.stop, 10)) for rows in seen] == [(0, 4), (4, 8), (8, 10)]


def test_sequences_of_different_lengths():
    measurement = Measurement(1)
    for length in (3, 5, 2):
        measurement.update(lambda rows: lambda x: x.sum(1), torch.rand(4, length), ())
    entries, points = measurement.errors()
    assert points == 12 and entries[1]["rms"] == 1 and len(entries[1]["at"]) == 3


@pytest.mark.parametrize(
    ("order", "inputs", "measured"), [(2, 256, 2), (2, 257, 1), (3, 40, 3), (1, 10**6, 1), (0, 5, 0)]
)
def test_an_order_too_large_to_compute_is_left_out(order, inputs, measured):
    assert measured_order(order, torch.empty(1, inputs)) == measured


@pytest.mark.parametrize(
    ("order", "inputs", "outputs", "measured"),
    [(1, 512, 512, 1), (1, 513, 512, 0), (2, 100, 26, 2), (2, 100, 27, 1), (2, 8, 10**6, 2), (3, 8, 10**6, 2)],
)
def test_an_order_too_large_for_all_outputs_is_left_out(order, inputs, outputs, measured):
    assert measured_order(order, torch.empty(1, inputs), outputs) == measured


def test_a_field_by_another_is_measured_as_far_as_it_goes():
    for size, orders in ((20, 2), (24, 1)):
        measurement = Measurement(1)
        measurement.update(lambda rows: torch.tanh, torch.rand(3, 1, size, size), ())
        assert len(measurement.errors()[0]) == orders and measurement.outputs == size**2


def test_when_it_is_late_the_rest_of_the_points_is_left_out():
    measurement = Measurement(2)
    measurement.update(lambda rows: lambda x: x.sin().sum(1), torch.rand(300, 20), (), until=perf_counter() - 1)
    assert 0 < measurement.errors()[1] < 300
    measurement.reset()
    measurement.update(lambda rows: lambda x: x.sin().sum(1), torch.rand(300, 20), (), until=perf_counter() + 60)
    assert measurement.errors()[1] == 300


def test_named_entries_are_measured_by_themselves():
    """Of two inputs, in two batches: the errors of single columns, by numpy."""

    class Product(nn.Module):
        def forward(self, x):
            return (x[:, :1] ** 2) * x[:, 1:]

    exact = Function("a**2*b + b**3/10", ["a", "b"])
    measurement = Measurement(2, named={"slope": (0, 1), "cross": (0, 0, 1), "third": (0, 0, 0, 0)})
    x = torch.randn(12, 2, dtype=torch.float64)
    for batch in x.split(7):
        measurement.update(lambda rows: Product(), batch, exact.tensors(batch, 2))
    measurement.errors()
    slope, cross = measurement.named_errors
    error = 0.3 * x[:, 1].numpy() ** 2
    truth = x[:, 0].numpy() ** 2 + error
    assert (slope["name"], slope["order"], cross["name"], cross["order"]) == ("slope", 1, "cross", 2)
    assert slope["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert slope["relative_l2"] == pytest.approx(np.sqrt(np.sum(error**2) / np.sum(truth**2)))
    assert slope["max"] == pytest.approx(error.max()) and slope["at"] == pytest.approx(x[error.argmax()].tolist())
    assert cross["rmse"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("truth", [None, torch.full((4, 1, 1), torch.nan, dtype=torch.float64)])
def test_a_named_entry_without_truth_has_its_size(truth):
    measurement = Measurement(2, named={"slope": (0, 0)})
    x = torch.randn(4, 1, dtype=torch.float64)
    measurement.update(lambda rows: Cube(), x, (x**3, truth))
    measurement.errors()
    (slope,) = measurement.named_errors
    size = 3 * x.square()
    assert (slope["name"], slope["order"]) == ("slope", 1) and "rmse" not in slope
    assert slope["rms"] == pytest.approx(float(size.square().mean().sqrt()))
    assert slope["max"] == pytest.approx(float(size.max())) and slope["at"] == pytest.approx(x[size.argmax()].tolist())


def rmse_against(measurement, truth):
    measurement.reset()
    measurement.update(lambda _: torch.sin, X, (truth,))
    return measurement.errors()[0][0]["rmse"]


def test_what_is_known_of_a_truth_is_used_again_until_it_changes(monkeypatch):
    calls, truth, measurement = [], X.cos(), Measurement(0)
    monkeypatch.setattr(module, "as_exact", lambda tensors: calls.append(None) or as_exact(tensors))
    for changed in (False, False, True):
        if changed:
            truth[3] = torch.nan
        assert rmse_against(measurement, truth) == pytest.approx((X.sin() - truth).square().nanmean().sqrt().item())
    assert len(calls) == 2


def test_of_an_inference_tensor_nothing_is_kept():
    with torch.inference_mode():
        truth, measurement = X.cos(), Measurement(0)
        for factor in (1, 2):
            truth.mul_(factor)
            with torch.inference_mode(False):
                rmse = rmse_against(measurement, truth)
            assert rmse == pytest.approx((X.sin() - truth).square().mean().sqrt().item())
