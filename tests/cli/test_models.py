"""Somebody's models and weights, as the command line names them."""

import sys

import pytest
import torch
from torch import nn

from sobolev.cli.models import load_model, load_weights, read_tensors

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
        ("theirs:nets", "theirs has no 'nets'; did you mean '"),
        ("theirs:quite_else", "theirs has no 'quite_else'; it has "),
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
