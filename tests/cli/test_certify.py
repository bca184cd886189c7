"""`sobolev certify`: what it proves, what it prints and writes, its exit status."""

import json
import sys

import pytest
import torch
from cases import SMALL

from sobolev.cli.command_line import main

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own

MODELS = """
import torch
from torch import nn

def smooth():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

def staircase():
    return nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))
"""


@pytest.fixture
def certified(tmp_path, monkeypatch, capsys):
    """`sobolev certify` in a folder with models: exit status and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sobolev"])
    monkeypatch.delenv("SOBOLEV_TRACEBACK", raising=False)
    (tmp_path / "models.py").write_text(MODELS)

    def call(*words):
        with pytest.raises(SystemExit) as done:
            main(["certify", *map(str, words)])
        return done.value.code, *capsys.readouterr()

    yield call
    sys.modules.pop("models", None)


def test_somebody_elses_network(certified):
    status, out, _ = certified("models:smooth", "--domain", "x=-1:2", "--function", "x**2")
    assert status == 0
    assert "for all x in [-1, 2]" in out and "|error of f''|" in out
    status, out, _ = certified("models:smooth", "--domain=x=-1:2", "--order", 1)
    assert status == 0 and "<= dy_dx <=" in out


def test_limits_decide_the_exit_status(certified):
    words = ("models:smooth", "--domain", "x=-1:2", "--function", "x**2", "--json")
    status, out, _ = certified(*words)
    upper = [bound["upper"] for bound in json.loads(out)["bounds"]]
    assert status == 0 and len(upper) == 3
    assert certified(*words, "--at_most", ",".join(str(u * 1.001) for u in upper))[0] == 0
    assert certified(*words, "--at_most", f"1e9,{upper[1] * 0.99}")[0] == 1
    assert certified(*words, "--at_most", "1,2,3,4")[0] == 2
    assert certified(*words, "--at_most", "much")[0] == 2


def test_the_rounding_of_a_forward(certified):
    words = ("models:smooth", "--domain", "x=-1:2", "--function", "x**2", "--json")
    plain, counted = (json.loads(certified(*words, *more)[1]) for more in ((), ("--rounding", "float32")))
    assert plain["rounding"] is None and counted["rounding"]["precision"] == "float32"
    assert counted["bounds"][0]["upper"] >= plain["bounds"][0]["upper"] + counted["rounding"]["upper"]
    assert certified(*words, "--rounding", "half")[0] == 2


def test_what_cannot_be_proved_is_no_outcome(certified):
    status, _, err = certified("models:staircase", "--domain", "x=-1:2")
    assert status == 2 and "relu" in err and "Traceback" not in err
    status, _, err = certified("models:smooth")
    assert status == 2 and "--domain" in err


def test_weights_files_and_pictures(certified, tmp_path):
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    torch.save(net.state_dict(), "weights.pt")
    words = ("models:smooth", "--domain", "x=-1:2", "--function", "x**2", "--state_dict", "weights.pt", "--json")
    status, out, _ = certified(*words, "--output", "proof.json", "--picture", "proof.png")
    assert status == 0
    x = torch.tensor([[-1.0], [2.0]], dtype=torch.float64)
    assert json.loads(out)["bounds"][0]["upper"] >= float((net(x) - x**2).detach().abs().max())
    assert len(json.loads((tmp_path / "proof.json").read_text())["parts"][0]["low"]) == json.loads(out)["cells"]
    assert (tmp_path / "proof.png").stat().st_size > 5000


def test_a_configuration_and_its_checkpoint(certified):
    main(["fit", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", *SMALL])
    status, out, err = certified("--ckpt_path", "logs/square/version_0/checkpoints/last.ckpt", "--seconds", 2, *SMALL)
    assert status in (0, 1), err
    assert "for all x in [-50, 50]" in out and "x**2" in out


def test_a_differential_equation(certified, tmp_path):
    words = ["--config", str(tmp_path / "ode.yaml")]
    (tmp_path / "ode.yaml").write_text(
        "model:\n  class_path: sobolev.ResidualRegressor\n"
        "data:\n  class_path: sobolev.ResidualData\n  init_args:\n    equation: du_dt = -u\n"
        "    conditions: ['u(0) = 1']\n    domain: {t: [0, 1]}\n"
    )
    status, out, err = certified(*words)
    assert status == 0, err
    assert "du_dt = -u" in out and "u(0) = 1" in out
