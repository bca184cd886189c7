import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sobolev.metrics import (
    DerivativeError,
    DerivativeErrors,
    add_sums,
    as_exact,
    derivative_error,
    plain_errors,
    sums_of_errors,
)


def reference(predicted, exact):
    """With numpy, from the definitions."""
    error = predicted.double().numpy() - exact.double().numpy()
    rmse = np.sqrt(np.nanmean(error**2))
    return rmse, rmse / np.sqrt(np.nanmean(exact.double().numpy() ** 2)), np.nanmax(np.abs(error))


@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 2, 3), (50, 1, 2, 2)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_agrees_with_numpy(shape, dtype):
    predicted, exact, x = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype), torch.randn(50, 2)
    found = derivative_error(predicted, exact, x)
    np.testing.assert_allclose([found[k].item() for k in ("rmse", "relative_l2", "max")], reference(predicted, exact))
    worst = (predicted.double() - exact.double()).abs().reshape(50, -1).amax(1).argmax()
    assert torch.equal(found["at"], x[worst].double())


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6))
def test_batches_of_any_sizes_give_what_one_batch_gives(sizes):
    n = sum(sizes)
    predicted, exact, x = torch.randn(n, 1, 2), torch.randn(n, 1, 2), torch.randn(n, 2)
    metric = DerivativeError(inputs=2)
    for p, e, points in zip(predicted.split(sizes), exact.split(sizes), x.split(sizes), strict=True):
        metric.update(p, e, points)
    together, apart = derivative_error(predicted, exact, x), metric.compute()
    for name, value in together.items():
        torch.testing.assert_close(apart[name], value.squeeze(), equal_nan=True)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_processes_add_up_to_one():
    """The reduction of gathered states, as torchmetrics does it, without spawning."""
    predicted, exact, x = torch.randn(30, 1), torch.randn(30, 1), torch.randn(30, 1)
    parts = [DerivativeError() for _ in range(2)]
    for part, rows in zip(parts, (slice(0, 10), slice(10, 30)), strict=True):
        part.update(predicted[rows], exact[rows], x[rows])
    merged = DerivativeError()
    for name, reduce in merged._reductions.items():
        setattr(merged, name, reduce(torch.stack([getattr(part, name) for part in parts])))
    for name, value in derivative_error(predicted, exact, x).items():
        torch.testing.assert_close(merged.compute()[name], value.squeeze())


def test_an_entry_without_a_truth_does_not_count():
    exact = torch.tensor([[1.0, torch.nan], [torch.nan, 4.0]])
    found = derivative_error(torch.tensor([[2.0, 9.0], [9.0, 4.0]]), exact, torch.zeros(2, 1))
    assert found["rmse"].item() == pytest.approx(np.sqrt(0.5)) and found["max"] == 1


def test_a_prediction_that_is_not_a_number_is_the_worst():
    found = derivative_error(torch.tensor([1.0, torch.nan, 5.0]), torch.zeros(3), torch.arange(3.0).reshape(3, 1))
    assert found["rmse"].isnan() and found["max"].isnan() and found["at"].item() == 1


def test_a_truth_of_zero():
    x = torch.zeros(2, 1)
    assert derivative_error(torch.ones(2), torch.zeros(2), x)["relative_l2"].isinf()
    assert derivative_error(torch.zeros(2), torch.zeros(2), x)["relative_l2"] == 0


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_nothing_counted_is_not_a_number():
    found = DerivativeError().compute()
    assert found.pop("count") == 0 and all(value.isnan().all() for value in found.values())


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 1\).*\(2,\)"):
        derivative_error(torch.zeros(2, 1), torch.zeros(2), torch.zeros(2, 1))


# Several quantities at the same points

POINTS = torch.randn(12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
PAIRS = {"sine": (POINTS.sin(), POINTS.cos()), "slope": (POINTS.cos(), -POINTS.sin()), "other": (POINTS, POINTS)}


def counted(metric, rows, *names):
    pairs = {name: tuple(tensor[rows] for tensor in PAIRS[name]) for name in names}
    metric.update(pairs, POINTS[rows], as_exact([exact for _, exact in pairs.values()]) if len(names) > 1 else None)
    return metric


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_several_quantities_in_parts_of_several_processes_are_what_each_is_by_itself():
    """Some batches know of all quantities, others of one; one process has nothing."""
    parts = [DerivativeErrors([*PAIRS, "unknown"], inputs=2) for _ in range(3)]
    counted(counted(parts[0], slice(0, 2), *PAIRS), slice(2, 5), *PAIRS)
    counted(counted(parts[1], slice(5, 12), "slope", "sine"), slice(5, 12), "other")
    merged = DerivativeErrors([*PAIRS, "unknown"], inputs=2)
    for name, reduce in merged._reductions.items():
        setattr(merged, name, reduce(torch.stack([getattr(part, name) for part in parts])))
    found = merged.compute()
    for name, pair in PAIRS.items():
        for key, value in derivative_error(*pair, POINTS).items():
            torch.testing.assert_close(found[name][key], value)
    assert found["unknown"]["count"] == 0 and found["unknown"]["rmse"].isnan()


def test_a_later_error_that_is_no_number_is_the_worst_and_the_first_of_equal_ones_stays():
    metric = DerivativeError()
    for value, at in ((3.0, 1.0), (3.0, 2.0)):
        metric.update(torch.tensor([[value]]), torch.zeros(1, 1), torch.tensor([[at]]))
    assert metric.compute()["at"] == 1
    for value, at in ((torch.nan, 3.0), (5.0, 4.0)):
        metric.update(torch.tensor([[value]]), torch.zeros(1, 1), torch.tensor([[at]]))
    found = metric.compute()
    assert found["max"].isnan() and found["at"] == 3


def test_what_has_no_truth_is_known_before_it_is_counted():
    exact = as_exact([torch.zeros(3, 2), torch.full((3, 1), torch.nan), torch.tensor([[1.0], [torch.nan], [2.0]])])
    assert exact.counts == [6, 0, 2]


def test_a_metric_that_was_reset_in_inference_mode_counts_outside_of_it():
    metric = DerivativeError()
    with torch.inference_mode():
        metric.reset()
    metric.update(torch.ones(2, 1), torch.zeros(2, 1), torch.zeros(2, 1))
    assert metric.compute()["rmse"] == 1


def test_plain_numbers_are_those_of_tensors():
    predicted = {
        "usual": torch.randn(5), "no number": torch.tensor([1, torch.nan, 0, 0, 0]), "right": torch.zeros(5),
        "of zeros": torch.ones(5), "infinite": torch.full((5,), torch.inf),
    }  # fmt: skip
    metric, total = DerivativeErrors(list(predicted), inputs=2), {}
    for _ in range(3):
        x, truth = torch.rand(5, 2), torch.rand(5)
        pairs = {k: (y, truth if k in ("usual", "no number") else 0 * truth) for k, y in predicted.items()}
        metric.update(pairs, x)
        add_sums(total, dict(zip(pairs, sums_of_errors(list(pairs.values()), x).tolist(), strict=True)))
    found = plain_errors(total)
    for name, error in metric.compute().items():
        plain = found[name]
        assert plain.keys() == error.keys() and isinstance(plain["count"], int)
        for quantity, value in error.items():
            np.testing.assert_array_equal(plain[quantity], value.numpy(), err_msg=f"{name} {quantity}")
    assert np.isnan(plain_errors({"none": [0, 0, 0, -1, 0.5]})["none"]["rmse"])
    assert plain_errors({}) == {}
