"""Tables read block by block, against numpy and polars read as a whole."""

import bz2
import datetime
import gzip
import lzma
import tracemalloc

import numpy as np
import polars as pl
import pytest
import torch

from sobolev.data.tables import Table, is_table


@pytest.fixture
def numbers():
    return np.random.default_rng(0).normal(size=(101, 2)) * [1e5, 1e-5]


def save(path, frame, kind):
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "csv.zst":
        frame.lazy().sink_csv(path.with_suffix(".zst"), compression="zstd")
        path.with_suffix(".zst").rename(path)
    else:
        pack = {"csv.gz": gzip.compress, "csv.bz2": bz2.compress, "csv.xz": lzma.compress}.get(kind, bytes)
        path.write_bytes(pack(frame.write_csv().encode()))


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "csv.bz2", "csv.xz", "csv.zst", "parquet"])
@pytest.mark.parametrize("size", [1, 7, 101, 500])
def test_a_file_is_read_in_its_order_to_the_last_bit(tmp_path, numbers, kind, size):
    frame = pl.DataFrame({"z": numbers[:, 1], "note": ["a"] * 101, "x": numbers[:, 0]})
    for name in (f"points.{kind}", "points.any"):  # what it is, is told by what is in it
        if kind == "parquet" and name == "points.any":
            continue
        save(tmp_path / name, frame, kind)
        blocks = list(Table(tmp_path / name, ["x", "z"]).batches(size))
        assert all(len(block) == size for block in blocks[:-1])
        assert np.array_equal(torch.cat(blocks).numpy(), numbers)


def test_parquet_is_known_by_its_content(tmp_path, numbers):
    pl.DataFrame({" x ": numbers[:, 0]}).write_parquet(tmp_path / "t.csv")
    assert np.array_equal(Table(tmp_path / "t.csv", ["x"]).read().numbers[:, 0].numpy(), numbers[:, 0])


def test_parquet_holds_integers_single_precision_decimals_and_texts(tmp_path):
    columns = {
        "a": pl.Series([1, 2], dtype=pl.UInt8),
        "b": pl.Series([0.5, 0.25], dtype=pl.Float32),
        "c": pl.Series(["1.25", "2"]).cast(pl.Decimal(10, 2)),
        "d": ["1,5", " 2 "],
        "e": [True, False],
    }
    pl.DataFrame(columns).write_parquet(path := tmp_path / "t.parquet")
    assert Table(path).read().numbers.tolist() == [[1, 0.5, 1.25, 1.5, 1], [2, 0.25, 2, 2, 0]]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[1], [2]], r"column 'x' holds List\(Int64\); several values"),
        ([{"a": 1}, {"a": 2}], r"column 'x' holds Struct.*several values"),
        ([datetime.datetime(2024, 1, 1)] * 2, r"column 'x' holds Datetime.*it is a time: write it as a number"),
        ([datetime.date(2024, 1, 1)] * 2, r"column 'x' holds Date; it is a time"),
        (pl.Series(["a", "b"], dtype=pl.Categorical), r"column 'x' holds Categorical; convert it"),
        ([1.0, None], r"column 'x', row 2 \(counted from 1\) is empty"),
    ],
)
def test_other_columns_of_parquet_are_refused(tmp_path, cells, message):
    pl.DataFrame({"x": cells}).write_parquet(path := tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=message):
        Table(path, ["x"]).read()


def test_all_columns_unless_some_are_named(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text(",b,a\n0,1,2\n1,3,4\n")
    assert Table(path).columns == ("b", "a")
    assert Table(path).read().numbers.tolist() == [[1, 2], [3, 4]]


def test_rows_are_counted_as_an_editor_does(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('# made by hand\n\nx,note\n1,"two\nlines"\n\n2,a\n# 3,b\n4,c\n')
    assert Table(path, ["x"]).read().places.tolist() == [4, 7, 9]


def test_the_first_bad_cell_is_named_and_all_are_counted_beyond_the_first_block(tmp_path):
    path, rows = tmp_path / "t.csv", ["1.5,2.5"] * 300_000
    for i in (200_000, 200_001, 250_000):
        rows[i] = "nan,2"
    rows[199_999] = "3,"
    path.write_text("x,z\n" + "\n".join(rows))
    with pytest.raises(
        ValueError, match=r"column 'z', row 200001 .* is empty \(4 such cells in the file, in 2 columns"
    ):
        Table(path).read()


@pytest.mark.parametrize("kind", ["csv", "csv.gz"])
def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("sobolev.data.tables.text._PIECE", 1 << 10)

    def peak(rows):
        save(path := tmp_path / f"{rows}.{kind}", pl.DataFrame({"x": np.arange(rows) + 0.5}), kind)
        table = Table(path)
        tracemalloc.start()
        assert sum(float(block.sum()) for block in table.batches(100)) == rows * rows / 2
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1000)
    assert peak(50_000) - peak(5_000) < 45_000 * 8 / 4


def test_messages_about_the_file(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("pressure,x,x\n1,2,3\n")
    for columns, message in [
        (["presure"], "no column 'presure'; did you mean 'pressure'"),
        (["PRESSURE"], "did you mean 'pressure'"),
        (["x"], "2 columns named 'x'; rename"),
        (None, "2 columns named 'x'; rename"),
        (["q"], "its columns are 'pressure', 'x', 'x'"),
    ]:
        with pytest.raises(ValueError, match=message):
            Table(path, columns)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 but no more")
    (tmp_path / "empty.csv").touch()
    for name, message in [
        ("", "is a folder"),
        ("point.csv", r"no file .*did you mean points\.csv"),
        ("nowhere/t.csv", "no file"),
        ("cut.parquet", r"cut.parquet cannot be read"),
        ("empty.csv", "is empty; it needs a header"),
    ]:
        with pytest.raises(ValueError, match=message):
            Table(tmp_path / name, ["x"])


def test_names_of_tables():
    assert all(map(is_table, ["a.csv", "b/c.TSV", "a.csv.gz", "a.txt.zst", "a.pq", "a.parquet"]))
    assert not any(map(is_table, ["a.gz", "a.py", "package.csv_points", "csv"]))
