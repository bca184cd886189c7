"""`sobolev audit`: what it audits, what it prints, its exit status."""

import json
import sys
import textwrap
from pathlib import Path

import lightning
import pytest
import torch
from cases import SMALL, Plain, command
from torch import nn

from sobolev.cli.command_line import main
from sobolev.cli.lightning_cli import CONFIGS
from sobolev.training.regressor import Regressor

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own

MODELS = """
import torch
from torch import nn

def smooth():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))

def staircase():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))

def double():
    return smooth().double()

def loud():
    print("loading")
    return smooth()
"""


@pytest.fixture
def audited(tmp_path, monkeypatch, capsys):
    """`sobolev audit` in a folder with models: exit status and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sobolev"])
    monkeypatch.delenv("SOBOLEV_TRACEBACK", raising=False)
    (tmp_path / "models.py").write_text(MODELS)

    def call(*words):
        with pytest.raises(SystemExit) as done:
            main(["audit", *map(str, words)])
        return done.value.code, *capsys.readouterr()

    yield call
    for name in ("models", "theirs"):
        sys.modules.pop(name, None)


def test_a_model_that_can_be_trusted(audited):
    status, out, err = audited("models:smooth", "--inputs", "64,2")
    assert (status, err) == (0, "")
    assert out.startswith("audit: derivatives to order 2 can be trusted (64 points, taylor")


def test_a_model_that_cannot(audited):
    status, out, _ = audited("models.py:staircase", "--inputs", "-3:3,-2:2", "--points", "30")
    assert status == 1
    assert "CANNOT be trusted (30 points" in out and "piecewise-linear" in out and "1 (ReLU)" in out


def test_order_1_of_a_relu_network_is_right(audited):
    """The rule: an error is a wrong number. A first derivative that is a staircase is not wrong."""
    status, out, _ = audited("models:staircase", "--inputs", "-3:3,-2:2", "--order", "1")
    assert status == 0 and "warning  piecewise-linear" in out


def test_json(audited):
    status, out, err = audited("models:loud", "--inputs", "20,2", "--json")
    found = json.loads(out)
    assert status == 0 and "loading" in err
    assert found["trustworthy"] is True and found["audit"] == [] and found["points"] == 20
    status, out, _ = audited("models:staircase", "--inputs", "64,2", "--json")
    assert status == 1 and json.loads(out)["audit"][0]["kind"] == "piecewise-linear"


def test_points_have_the_precision_of_the_weights(audited):
    assert audited("models:double", "--inputs", "64,2")[0] == 0


def test_weights_of_ones_own(audited):
    weights = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    weights[2].weight.data.fill_(torch.nan)
    torch.save(weights.state_dict(), "w.pt")
    torch.save({"state_dict": {f"network.{k}": v for k, v in weights.state_dict().items()}}, "w.ckpt")
    for option in (("--state_dict", "w.pt"), ("--ckpt_path", "w.ckpt")):
        status, out, _ = audited("models:smooth", "--inputs", "9,2", *option)
        assert status == 1 and "non-finite" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["models:smooth"], "--inputs is missing"),
        (["models:smooth", "--inputs", "9,2", "--order", "0"], "--order is a whole number, 1 or more"),
        (["models:smooth", "--inputs", "9,2", "--points", "0"], "--points is a whole number, 1 or more"),
        (["models:smooth", "--inputs", "9,2", "--trainer.max_epochs", "3"], "unrecognized arguments: --trainer"),
        (["models:smooth", "--inputs", "9,2", "--state_dict", "a", "--ckpt_path", "b"], "not both"),
        (["models:rough", "--inputs", "9,2"], "error: models has no 'rough'; it has smooth, staircase, double, loud"),
        (["models:smooth", "--inputs", "missing.csv"], "error: there is no file missing.csv"),
        (["models:smooth", "--inputs", "9,2", "--state_dict", "missing.pt"], "error: missing.pt is not there"),
        (["--inputs", "9,2"], "--inputs goes with a model: sobolev audit MODULE:MODEL --inputs"),
        (["--ckpt_path", "missing.ckpt"], "there is no file missing.ckpt"),
        (["--data.function", "x +"], "x +"),
        (["--nonsense", "3"], "--nonsense"),
    ],
)
def test_a_users_mistake_is_a_sentence_and_status_2(audited, words, message):
    status, out, err = audited(*words)
    assert status == 2 and message in err and "Traceback" not in err and not out


def test_at_points_that_the_model_cannot_take_there_is_no_outcome(audited):
    status, out, _ = audited("models:smooth", "--inputs", "9,3")
    assert status == 2 and "cannot be evaluated at points of shape (9, 3)" in out
    assert "could not be audited" in out and "CANNOT be trusted" not in out


def test_a_number_of_inputs_is_taken_for_what_it_says_and_the_shape_is_named(audited):
    status, _, err = audited("models:smooth", "--inputs", "2")
    assert status == 1 and "64 samples of 2 numbers are --inputs 64,2" in err


def test_help(audited):
    status, out, _ = audited("--help")
    assert status == 0
    for word in ("MODULE:MODEL", "--inputs", "--ckpt_path", "--json", "exit status", "0:1,-50:50"):
        assert word in out


def test_a_trained_checkpoint_at_its_validation_points(audited, tmp_path, capsys):
    main(["fit", *SMALL])
    capsys.readouterr()
    checkpoint = tmp_path / "logs/square/version_0/checkpoints/last.ckpt"
    status, out, err = audited("--data.validation_samples", "40", "--ckpt_path", checkpoint, "--json")
    assert status == 0, out + err
    assert json.loads(out)["points"] == 40
    before = {path.name for path in tmp_path.joinpath("logs/square").iterdir()}
    assert before == {"version_0"}, "an audit leaves no run directory"
    assert Regressor.load_from_checkpoint(checkpoint) is not None


def test_a_checkpoint_with_an_estimate_is_named_as_what_says_how_good_its_derivatives_are(audited, tmp_path):
    weights = {"0.weight": torch.ones(8, 2), "0.bias": torch.zeros(8), "2.weight": torch.ones(1, 8)}
    checkpoint = {"state_dict": {**weights, "2.bias": torch.zeros(1)}, "derivative_estimate": {}}
    torch.save(checkpoint, tmp_path / "w.ckpt")
    status, out, _ = audited("models:smooth", "--inputs", "9,2", "--ckpt_path", "w.ckpt")
    assert status == 0 and "`sobolev predict --ckpt_path w.ckpt`" in out and "DerivativeEstimate.fit" not in out
    assert "sobolev.DerivativeEstimate.from_checkpoint('w.ckpt', model)" in out


def test_the_forum_configuration(audited):
    with pytest.warns(UserWarning, match="audit without --ckpt_path"):
        status, out, _ = audited("--config", CONFIGS / "forum.yaml", "--points", "50")
    assert status == 1 and "piecewise-linear" in out and "(50 points" in out


def test_a_configuration_for_a_machine_with_a_gpu_and_half_precision(audited):
    status, out, _ = audited("--trainer.accelerator", "cuda", "--trainer.precision", "bf16-true", "--order", "1")
    assert status in (0, 1) and "dtype" in out and "bfloat16" in out


def test_somebodys_lightning_module_and_data(audited, tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(
        textwrap.dedent("""
            import torch
            from cases import Plain
            from lightning.pytorch import LightningDataModule
            from torch.utils.data import DataLoader, TensorDataset

            class Fixed(Plain):
                def __init__(self):
                    super().__init__()

            class Data(LightningDataModule):
                def val_dataloader(self):
                    x = torch.linspace(-1, 1, 30)[:, None]
                    return DataLoader(TensorDataset(x, x**2), batch_size=8)
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--model", "theirs.Fixed", "--data", "theirs.Data"]
    status, out, _ = audited(*words, "--json")
    assert status == 0 and json.loads(out)["points"] == 30
    torch.manual_seed(1)
    trainer = lightning.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False, max_epochs=0)
    trainer.strategy.connect(Plain())
    trainer.save_checkpoint("theirs.ckpt")
    status, out, err = audited(*words, "--ckpt_path", "theirs.ckpt")
    assert status == 0, out + err
    Path("theirs.py").unlink()


def test_as_a_process(tmp_path):
    (tmp_path / "models.py").write_text(MODELS)
    done = command(tmp_path, "audit", "models:staircase", "--inputs", "64,2", "--json")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["trustworthy"] is False
    assert done.stderr == ""
