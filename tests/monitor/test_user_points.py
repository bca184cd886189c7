"""Points of the user's own: a grid, files, callables."""

import numpy as np
import pytest
import torch

from sobolev.monitor.user_points import places


def three_points():
    return np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])


def test_a_grid_in_the_order_of_its_axes():
    points = places({"t": (0, 1, 2), "x": (5, 6, 3)}, None)
    assert points.tolist() == [[a, b] for a in (0, 1) for b in (5, 5.5, 6)] and points.dtype == torch.float64
    assert torch.equal(places({"t": (0, 1, 2), "x": (5, 6, 3)}, ["x", "t"])[1], torch.tensor([5.0, 1.0]).double())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_by_the_names_of_the_inputs_or_all_of_it(tmp_path, suffix):
    import polars as pl

    frame = pl.DataFrame({"t": [1.0, 2.0], "x": [3.0, 4.0]})
    path = tmp_path / f"points.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    assert places(str(path), ["x", "t"]).tolist() == [[3, 1], [4, 2]]
    assert places(path, None).tolist() == [[1, 3], [2, 4]]
    assert places(str(path), ["z"]).tolist() == [[1, 3], [2, 4]]


def test_a_callable_and_its_import_path(monkeypatch):
    assert places(three_points, None).tolist() == three_points().tolist()
    assert places(lambda: [1.0, 2.0], None).shape == (2, 1)
    monkeypatch.setattr("math.points", three_points, raising=False)
    assert places("math.points", None).shape == (3, 2)


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "points.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(ValueError, match=r"points.parquet cannot be read"):
        places(str(tmp_path / "points.parquet"), None)
    with pytest.raises(ValueError, match=r"there is no file missing.csv"):
        places("missing.csv", None)


@pytest.mark.parametrize("source", ["math.nothing", "nowhere.points", "word", lambda: torch.tensor([[torch.nan]])])
def test_what_gives_no_points(source):
    with pytest.raises(ValueError, match="points"):
        places(source, None)
