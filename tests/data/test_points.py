"""Points read or made batch by batch, against numpy and polars read as a whole."""

import gzip
import itertools

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sobolev.data.points import PointsFile, PointsGrid, PointsLoader, points_source


def whole(source, size=7):
    return torch.cat(list(source.batches(size)))


@pytest.fixture
def numbers():
    return np.random.default_rng(0).normal(size=(101, 2)) * [1e5, 1e-5]


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("size", [1, 7, 101, 500])
def test_file_is_read_in_its_order_to_the_last_bit(tmp_path, numbers, kind, size):
    path = tmp_path / f"points.{kind}"
    frame = pl.DataFrame({"z": numbers[:, 1], "note": ["a"] * 101, "x": numbers[:, 0]})
    if kind == "parquet":
        frame.write_parquet(path)
    else:
        data = frame.write_csv().encode()
        path.write_bytes(gzip.compress(data) if kind == "csv.gz" else data)
    blocks = list(PointsFile(path, ["x", "z"]).batches(size))
    assert all(len(block) == size for block in blocks[:-1])
    assert np.array_equal(torch.cat(blocks).numpy(), numbers)


def test_semicolons_and_decimal_commas(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("x;z\n1,5; 2\n-3,25;4e2\n")
    points = whole(PointsFile(path, ["z", "x"], separator=";", decimal_comma=True))
    assert points.tolist() == [[2, 1.5], [400, -3.25]]


def test_integers_and_single_precision_in_parquet(tmp_path):
    path = tmp_path / "points.parquet"
    pl.DataFrame({"x": [1, 2], "z": pl.Series([0.5, 0.25], dtype=pl.Float32)}).write_parquet(path)
    assert whole(PointsFile(path, ["x", "z"])).tolist() == [[1, 0.5], [2, 0.25]]


@pytest.mark.parametrize("cell", ["abc", "", "nan", "inf"])
def test_a_bad_cell_is_named_with_its_row(tmp_path, cell):
    path = tmp_path / "points.csv"
    path.write_text("x,z\n" + "1,2\n" * 9 + f"1,{cell}\n" + "1,2\n" * 5)
    with pytest.raises(ValueError, match=r"points.csv, column 'z', row 10: .* no finite number"):
        whole(PointsFile(path, ["x", "z"]), size=4)


def test_messages_about_the_file(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("pressure,x\n1,2\n")
    with pytest.raises(ValueError, match="no column 'presure'; did you mean 'pressure'"):
        PointsFile(path, ["presure"])
    with pytest.raises(ValueError, match="is a folder"):
        PointsFile(tmp_path, ["x"])
    with pytest.raises(ValueError, match="is not there"):
        PointsFile(tmp_path / "other.csv", ["x"])
    (tmp_path / "points.xlsx").touch()
    with pytest.raises(ValueError, match=r"is no .csv"):
        PointsFile(tmp_path / "points.xlsx", ["x"])
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(ValueError, match=r"cut.parquet cannot be read"):
        PointsFile(tmp_path / "cut.parquet", ["x"])
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ValueError, match=r"empty.csv cannot be read"):
        PointsFile(tmp_path / "empty.csv", ["x"])


@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=3), size=st.integers(1, 20))
def test_grid_is_the_product_of_its_axes(counts, size):
    names = [f"x{i}" for i in range(len(counts))]
    axes = {name: (-1.0, 2.0 + i, number) for i, (name, number) in enumerate(zip(names, counts, strict=True))}
    expected = list(itertools.product(*(np.linspace(*axes[name]) for name in names)))
    np.testing.assert_allclose(whole(PointsGrid(axes, names), size), expected, atol=1e-15)


@pytest.mark.parametrize("axis", [(0, 1), (0, 1, 0), (0, float("inf"), 3), (0, 1, 2.5), 7, ("a", 1, 2)])
def test_grid_messages(axis):
    with pytest.raises(ValueError, match="low, high and a number of points"):
        PointsGrid({"x": axis}, ["x"])
    with pytest.raises(ValueError, match="axes y, but the inputs are x"):
        PointsGrid({"y": (0, 1, 2)}, ["x"])


@given(total=st.integers(1, 50), size=st.integers(1, 9), world=st.integers(1, 4))
def test_processes_share_all_rows_and_know_their_numbers(total, size, world):
    source = points_source({"x": (0, total - 1, total)}, ["x"])
    seen = []
    for rank in range(world):
        loader = PointsLoader(source, size, torch.float64, rank, world)
        for rows, (x,) in zip(loader.batch_sampler, loader, strict=False):
            torch.testing.assert_close(x[:, 0], torch.tensor(rows[: len(x)], dtype=torch.float64), atol=1e-9, rtol=0)
            seen += rows[: len(x)]
    assert sorted(seen) == list(range(total))
