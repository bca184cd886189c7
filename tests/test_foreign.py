"""Somebody's models, weights and points, as the command line names them."""

import sys

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from sobolev.foreign import load_model, load_weights, read_points, read_tensors

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layer = nn.Linear(2, width)

    def forward(self, x):
        return torch.tanh(self.layer(x))

class Wide(Net):
    def __init__(self, width):
        super().__init__(width)

net = Net(3)
constant = 3

def build(): return Net(5)
def broken(): raise RuntimeError("no such file")
def number(): return 7
def function(x): return torch.sin(x)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "theirs.py").write_text(SOURCE)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "inner.py").write_text(SOURCE)
    yield tmp_path
    for name in ("theirs", "package", "package.inner"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("place", ["theirs", "theirs.py", "./theirs.py", "package.inner", "package/inner.py"])
def test_every_kind_of_model(here, place):
    x = torch.ones(3, 2)
    widths = {name: load_model(f"{place}:{name}")(x).shape[1] for name in ("Net", "net", "build", "net.layer")}
    assert widths == {"Net": 4, "net": 3, "build": 5, "net.layer": 3}
    torch.testing.assert_close(load_model(f"{place}:function")(x), torch.sin(x))


def test_a_function_of_torch():
    assert load_model("torch:sin") is torch.sin


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("theirs", "package.module:name or file.py:name"),
        (":net", "package.module:name or file.py:name"),
        ("theirs:nets", "theirs has no 'nets'; it has "),
        ("nobodys:net", "nobodys cannot be imported: ModuleNotFoundError"),
        ("nobodys.py:net", "nobodys.py cannot be imported: FileNotFoundError"),
        ("theirs:Wide", "theirs:Wide needs width"),
        ("theirs:broken", r"theirs:broken\(\) fails: RuntimeError: no such file"),
        ("theirs:number", "theirs:number is a int, which cannot be called"),
        ("theirs:constant", "theirs:constant is a int, which cannot be called"),
    ],
)
def test_what_is_no_model(here, target, message):
    with pytest.raises(ValueError, match=message):
        load_model(target)


@pytest.mark.parametrize("prefix", ["", "network.", "model.inner."])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_weights(here, prefix, checkpoint):
    saved, loaded = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = {prefix + name: value for name, value in saved.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3} if checkpoint else state, "weights.pt")
    load_weights(loaded, "weights.pt")
    torch.testing.assert_close(loaded.state_dict(), saved.state_dict())


def test_weights_that_do_not_fit(here):
    torch.save(nn.Linear(2, 3).state_dict(), "weights.pt")
    with pytest.raises(ValueError, match=r"weights.pt is of another model(.|\n)*size mismatch"):
        load_weights(nn.Linear(2, 4), "weights.pt")
    with pytest.raises(ValueError, match=r"not a torch\.nn\.Module"):
        load_weights(torch.sin, "weights.pt")
    torch.save(torch.ones(2), "tensor.pt")
    with pytest.raises(ValueError, match="holds no state_dict"):
        load_weights(nn.Linear(2, 4), "tensor.pt")


class Payload:
    def __reduce__(self):
        return (open, ("hacked", "w"))


def test_a_file_with_code_is_refused(here):
    torch.save({"state_dict": Payload()}, "code.pt")
    with pytest.raises(ValueError, match=r"code.pt is refused"):
        read_tensors("code.pt")
    (here / "damaged.pt").write_bytes(b"PK\x03\x04 and nothing")
    with pytest.raises(ValueError, match=r"damaged.pt is refused"):
        read_tensors("damaged.pt")
    assert not (here / "hacked").exists()


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
        ("missing.csv", "missing.csv is not there"),
        ("missing.pt", "missing.pt is not there"),
        ("words.npy", "words.npy holds no array of numbers"),
        ("dictionary.pt", "holds a dict; it must hold one tensor"),
        ("words.csv", "column 'a', row 1: 'x' is no finite number"),
    ],
)
def test_what_are_no_points(here, inputs, message):
    np.save("words.npy", np.array(["x", "y"]))
    torch.save({"x": torch.ones(2)}, "dictionary.pt")
    (here / "words.csv").write_text("a,b\nx,1\n")
    with pytest.raises(ValueError, match=message):
        read_points(inputs, 4)
