"""`sobolev readout`: a new checkpoint beside the old one, right to the digits it reports."""

import json
from pathlib import Path

import pytest
import torch
from cases import SMALL, command

import sobolev
from sobolev.cli.readout import run

WITHOUT = ["--trainer.callbacks", "[{class_path: sobolev.DerivativeMonitor}, {class_path: sobolev.Report}]"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a checkpoint of two epochs, without a readout."""
    folder = tmp_path_factory.mktemp("trained")
    done = command(folder, "fit", *SMALL, *WITHOUT)
    assert done.returncode == 0, done.stderr
    (path,) = folder.rglob("*.ckpt")
    return folder, path


def errors(folder, number):
    return [entry["relative_l2"] for entry in report(folder, number)["derivatives"]]


def report(folder, number):
    return json.loads((Path(folder) / "logs" / "square" / "version_0" / number / "report.json").read_text())


def test_a_checkpoint_gets_a_better_one_beside_it(trained):
    folder, old = trained
    contents = old.read_bytes()
    done = command(folder, "readout", *SMALL, "--ckpt_path", old, "--precision", "float64")
    assert done.returncode == 0, done.stderr
    new = old.with_stem(old.stem + "-readout")
    assert old.read_bytes() == contents and str(new) in done.stdout
    assert "The last layer (network.network.4) was solved anew by least squares" in done.stdout
    assert errors(folder, "readout/version_0")[2] < 1e-7 < 1e-2 < errors(folder, "")[2]
    assert report(folder, "readout/version_0")["readout"]["dtype"] == "float64"
    module = sobolev.Regressor.load_from_checkpoint(new)
    x = torch.linspace(-40, 40, 50, dtype=torch.float64)[:, None]
    torch.testing.assert_close(sobolev.derivatives(module, x)[2].detach(), torch.full_like(x, 2), rtol=1e-6, atol=1e-6)
    before, after = (torch.load(path, weights_only=True) for path in (old, new))
    assert before.keys() == after.keys() and before["optimizer_states"] and before["epoch"] == after["epoch"]
    done = command(folder, "readout", *SMALL, "--ckpt_path", old, "--precision", "network", "--output", "own/name.ckpt")
    assert done.returncode == 0, done.stderr
    state = torch.load(folder / "own" / "name.ckpt", weights_only=True)["state_dict"]
    assert state["network.network.4.weight"].dtype == torch.float32


def test_nothing_is_overwritten_and_a_mistake_is_one_sentence(trained, tmp_path):
    folder, old = trained
    with pytest.raises(ValueError, match="nothing is overwritten"):
        run(["--ckpt_path", str(old), "--output", str(old)])
    with pytest.raises(ValueError, match="no checkpoint"):
        run(["--ckpt_path", str(tmp_path / "none.ckpt")])
    done = command(folder, "readout")
    assert done.returncode == 2 and "--ckpt_path" in done.stderr
    relu = ["--model.network.output_activation", "relu"]
    done = command(tmp_path, "fit", *SMALL, *relu)
    assert done.returncode == 0 and "leaves the network as it is" in done.stderr, done.stderr
    (path,) = tmp_path.rglob("last.ckpt")
    done = command(tmp_path, "readout", *SMALL, "--ckpt_path", path)
    assert done.returncode == 1 and "error: no linear layer reaches the output linearly" in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.rglob("*-readout.ckpt"))
