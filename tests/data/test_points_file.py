"""Points read batch by batch, against numpy and polars read as a whole."""

import gzip

import numpy as np
import polars as pl
import pytest
import torch

from sobolev.data.points_file import PointsFile


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


def test_all_columns_unless_some_are_named(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("b,a\n1,2\n3,4\n")
    assert PointsFile(path).columns == ["b", "a"]
    assert whole(PointsFile(path)).tolist() == [[1, 2], [3, 4]]
