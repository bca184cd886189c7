"""Points of shapes, ranges and files, as the command line names them."""

import numpy as np
import polars as pl
import pytest
import torch

from sobolev.cli.inputs_option import read_points


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_points_of_a_shape_and_of_ranges():
    points = read_points("40,3,2", 7)
    assert points.shape == (40, 3, 2) and points.abs().max() <= 1 and points.abs().max() > 0.9
    points = read_points("0:1,-50:-20,1e3:2e3", 500)
    assert points.shape == (500, 3)
    low, high = torch.tensor([0.0, -50, 1e3]), torch.tensor([1.0, -20, 2e3])
    assert (points >= low).all() and (points <= high).all()
    assert (points.amax(0) - points.amin(0) > 0.95 * (high - low)).all()
    torch.testing.assert_close(read_points("0:1", 5), read_points("0:1", 5))


def test_points_of_files(here):
    rows = torch.arange(12, dtype=torch.float64).reshape(6, 2) / 7
    np.save("points.npy", rows.float().numpy())
    torch.save(rows.float(), "points.pt")
    table = pl.DataFrame({"a": rows[:, 0].numpy(), "b": rows[:, 1].numpy(), "c": np.ones(6)})
    table.write_csv("points.csv")
    table.write_parquet("points.parquet")
    for name in ("points.npy", "points.pt"):
        torch.testing.assert_close(read_points(name, 3), rows.float().double())
    for name in ("points.csv", "points.parquet"):
        torch.testing.assert_close(read_points(name, 3, ["b", "a"]), rows.flip(1))
        assert read_points(name, 3).shape == (6, 3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("points", "no shape"),
        ("1:0", "the range 1:0 is empty"),
        ("0:1,x:2", "'x:2' is no range"),
        ("0:1:2", "'0:1:2' is no range"),
        ("missing.npy", "missing.npy is not there"),
        ("missing.csv", "there is no file missing.csv"),
        ("missing.pt", "missing.pt is not there"),
        ("words.npy", "words.npy holds no array of numbers"),
        ("dictionary.pt", "holds a dict; it must hold one tensor"),
        ("nothing.npy", "nothing.npy holds no array of numbers"),
        ("header.csv", "header.csv has no row"),
        ("words.csv", r"column 'a', row 2 .*'x', which is no number"),
    ],
)
def test_what_are_no_points(here, inputs, message):
    np.save("words.npy", np.array(["x", "y"]))
    torch.save({"x": torch.ones(2)}, "dictionary.pt")
    (here / "words.csv").write_text("a,b\nx,1\n")
    (here / "header.csv").write_text("a,b\n")
    (here / "nothing.npy").touch()
    with pytest.raises(ValueError, match=message):
        read_points(inputs, 4)
