"""The command line: every way in, configs, overrides, and what a user is told when something is wrong."""

import contextlib
import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import polars as pl
import pytest
import torch
import yaml
from cases import SMALL, command, environment

import sobolev
from sobolev.cli.command_line import COMMANDS, _run, main
from sobolev.cli.lightning_cli import CONFIGS
from sobolev.data.description import description_in

ROOT = CONFIGS.parent

VALIDATED = "logs/square/version_0/validate/version_0"

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own; those of ours are asked for by name


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """`main` in an empty folder: exit status and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sobolev"])
    for name in ("SOBOLEV_TRACEBACK", "PL_GLOBAL_SEED"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments, small=True):
        status, words = 0, [str(a) for a in arguments]
        try:
            main([*words[:1], *(SMALL if small else []), *words[1:]])
        except SystemExit as stop:
            status = stop.code
        os.environ.pop("PL_GLOBAL_SEED", None)
        out, err = capfd.readouterr()
        if isinstance(status, str):  # the interpreter prints it and exits with 1
            status, err = 1, f"{err}\n{status}"
        return status, out, err

    return call


def report(folder):
    return json.loads(Path(folder, "report.json").read_text())


def checkpoint(folder):
    return torch.load(Path(folder, "checkpoints", "last.ckpt"), weights_only=True)


def contents(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


# Ways in


def test_from_the_root_of_the_repository(tmp_path):
    """`python -m src.train`: says in its first line that it is the default job, and where everything lies."""
    done = command(ROOT, *SMALL, "--trainer.logger.init_args.save_dir", tmp_path / "logs", module="src.train")
    assert done.returncode == 0, done.stderr
    assert "fit" in done.stderr.splitlines()[0] and "configs/square.yaml" in done.stderr.splitlines()[0]
    folder = tmp_path / "logs" / "square" / "version_0"
    written = {path.name for path in folder.iterdir()}
    assert {"report.json", "derivatives.png", "config.yaml", "checkpoints"} <= written
    assert all(str(folder / name) in done.stdout for name in ("report.json", "derivatives.png"))
    assert [entry["order"] for entry in report(folder)["derivatives"]] == [0, 1, 2]
    assert {"fit", "monitor"} <= report(folder)["seconds"].keys()


def test_from_any_folder_a_mistake_is_one_sentence_and_a_status(tmp_path):
    done = command(tmp_path, "fit", "--data.function", "__import__('os').system('touch hacked')")
    assert done.returncode == 1
    assert "error: " in done.stderr and "__import__" in done.stderr and "Traceback" not in done.stderr + done.stdout
    assert not list(tmp_path.iterdir())


def test_help_is_quick_and_imports_nothing_heavy(tmp_path):
    """Less than 3 s of processor time more than `import lightning`, and neither sympy nor polars nor pyplot."""
    script = textwrap.dedent("""
        import contextlib, io, sys, time
        import lightning.pytorch
        known = set(sys.modules)
        start = time.process_time()
        from sobolev.cli.command_line import main
        imported = time.process_time() - start
        for words in (["--help"], ["fit", "--help"], ["fit", "--print_config"]):
            start, printed = time.process_time(), io.StringIO()
            try:
                with contextlib.redirect_stdout(printed):
                    main(words)
            except SystemExit as stop:
                assert stop.code == 0
            assert imported + time.process_time() - start < 3, words
            assert "usage: sobolev" in printed.getvalue() or "activation: silu" in printed.getvalue()
        new = {"sympy", "polars", "matplotlib.pyplot"} & (set(sys.modules) - known)
        assert not new, new
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_the_shortest_answers_wait_for_nothing_but_torch(tmp_path, word):
    script = f"""
        import sys
        from sobolev.cli.command_line import main
        main([{word!r}])
        heavy = {{"lightning", "torch._dynamo", "torchmetrics", "sympy", "polars"}} & set(sys.modules)
        assert not heavy, heavy
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0 and "sobolev" in done.stdout, done.stderr


def test_weights_of_another_network_are_called_so(run, monkeypatch):
    def fails():
        torch.nn.Linear(2, 2).load_state_dict(torch.nn.Linear(3, 2).state_dict())

    monkeypatch.setattr("sobolev.cli.lightning_cli.SobolevCLI", fails)
    status, _, err = run("fit")
    assert status == 1 and "error: the checkpoint is of another network. Error(s) in loading state_dict" in err


def test_an_error_that_is_no_users_mistake_keeps_its_traceback(run, monkeypatch):
    monkeypatch.setattr("sobolev.cli.lightning_cli.SobolevCLI", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("fit")


def test_a_traceback_on_request(run, monkeypatch):
    monkeypatch.setenv("SOBOLEV_TRACEBACK", "1")
    with pytest.raises(ValueError, match="silu"):
        run("fit", "--model.network.init_args.activation", "sillu")


# Configs and overrides


def test_a_printed_config_is_a_config(run, tmp_path):
    status, out, _ = run("fit", "--print_config")
    assert status == 0 and yaml.safe_load(out)["trainer"]["max_epochs"] == 2
    (tmp_path / "mine.yaml").write_text(out)
    assert run("fit", "--config", "mine.yaml", small=False)[0] == 0
    assert report("logs/mine/version_0")["points"] == 40


def test_configs_stack_and_single_options_win(run):
    status, _, err = run(
        *("fit", "--config", CONFIGS / "square.yaml", "--config", CONFIGS / "trainer" / "cpu.yaml"),
        *("--model.network.init_args.activation", "tanh", "--data.function", "sin(x)", "--trainer.max_epochs", "1"),
    )
    assert status == 0, err
    settings = yaml.safe_load(Path("logs/sin_x/version_0/config.yaml").read_text())
    assert settings["trainer"]["accelerator"] == "cpu" and settings["trainer"]["devices"] == 1
    assert settings["trainer"]["max_epochs"] == 1
    assert settings["model"]["init_args"]["network"]["init_args"]["activation"] == "tanh"
    assert report("logs/sin_x/version_0")["function"] == "sin(x)"


@pytest.mark.parametrize(("function", "name"), [("x+x*z", "x_plus_x_z"), ("sin(x)", "sin_x")])
def test_a_model_that_nobody_named_follows_the_data(run, function, name):
    words, folder = ["--data.function", function], f"logs/{name}/version_0"
    status, _, err = run("fit", *words)
    assert status == 0, err
    assert "class_path: sobolev.EvidenceRegressor" in Path(folder, "config.yaml").read_text()
    found = report(folder)["derivatives"]
    assert all(entry["relative_l2"] < 1e-4 for entry in found)
    status, _, err = run("validate", *words, "--ckpt_path", f"{folder}/checkpoints/last.ckpt")
    assert status == 0, err
    assert report(f"{folder}/validate/version_0")["derivatives"][0]["rmse"] == pytest.approx(found[0]["rmse"])


@pytest.mark.parametrize("network", [["--model.network", "MLP"], ["--model.network", "sobolev.networks.MLP"]])
def test_the_network_takes_the_sizes_of_the_data(run, network):
    status, _, err = run("fit", *network, "--data.function", "sin(x)*cos(y), x+y, x*z", "--trainer.max_epochs", "1")
    assert status == 0, err
    weights = checkpoint("logs/sin_x_cos_y_x_plus_y_x_z/version_0")["state_dict"]
    assert weights["network.network.0.weight"].shape[1] == 3 and weights["network.output_mean"].shape == (3,)
    assert len(report("logs/sin_x_cos_y_x_plus_y_x_z/version_0")["derivatives"][2]["at"]) == 3


def test_sizes_that_contradict_the_data_are_refused(run):
    status, _, err = run("fit", "--model.network.init_args.inputs", "3", "--data.function", "x*z")
    assert status == 1 and "model.network.inputs has 3 inputs, but the data have 2 (x, z)" in err


def test_a_data_module_of_ones_own(run, tmp_path, monkeypatch):
    (tmp_path / "somebodys_data.py").write_text(
        textwrap.dedent("""
            import torch
            from lightning.pytorch import LightningDataModule
            from torch.utils.data import DataLoader, TensorDataset

            class Own(LightningDataModule):
                def train_dataloader(self):
                    x = torch.rand(64, 3)
                    return DataLoader(TensorDataset(x, x.prod(1, keepdim=True)), batch_size=16)

                val_dataloader = train_dataloader
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--trainer.accelerator", "cpu", "--trainer.max_epochs", "1", "--model.network.init_args.inputs", "3"]
    status, _, err = run("fit", "--data", "somebodys_data.Own", *words, small=False)
    assert status == 0, err
    assert report("logs/square/version_0")["derivatives"][2].keys() >= {"rms", "max"}


def test_a_table_from_the_command_line_trained_and_predicted(run):
    """Pressure in Pa beside temperature in K; the prediction's columns are the derivatives of the checkpoint."""
    p, t = torch.rand(2, 300, dtype=torch.float64)
    frame = {"p": 9e4 + 2e4 * p, "t": 250 + 100 * t}
    frame["rho"] = frame["p"] / (287.05 * frame["t"])
    frame["drho"] = 1 / (287.05 * frame["t"])
    pl.DataFrame({name: column.numpy() for name, column in frame.items()}).write_csv("air.csv")
    words = [
        *(
            "--data",
            "sobolev.TableData",
            "--data.path",
            "air.csv",
            "--data.inputs",
            "[p, t]",
            "--data.outputs",
            "[rho]",
        ),
        *("--data.derivatives", "{drho/dp: drho}", "--trainer.accelerator", "cpu"),
    ]
    status, _, err = run("fit", *words, "--trainer.max_epochs", "30", small=False)
    assert status == 0, err
    entries = report("logs/air/version_0")["derivatives"]
    assert entries[0]["relative_l2"] < 0.03 and entries[1]["relative_l2"] < 0.5 and "rms" in entries[2]
    last = "logs/air/version_0/checkpoints/last.ckpt"
    status, _, err = run("predict", *words, "--ckpt_path", last, small=False)
    assert status == 0, err
    (written,) = Path("logs").rglob("predictions.csv")
    table, module = pl.read_csv(written), sobolev.EvidenceRegressor.load_from_checkpoint(last)
    numbers = ["rho", "drho/dp", "drho/dt", "d2rho/dp2", "d2rho/dpdt", "d2rho/dt2"]
    deviations = [name for number in numbers for name in (number, f"{number}_std")]
    assert table.columns == ["p", "t", *deviations, "outside"]
    without = ["--trainer.callbacks+=PredictionWriter", "--trainer.callbacks.deviations=false"]
    status, _, err = run("predict", *words, "--ckpt_path", last, *without, small=False)
    (other,) = set(Path("logs").rglob("predictions.csv")) - {written}
    assert status == 0 and pl.read_csv(other).columns == ["p", "t", *numbers], err
    x = table.select("p", "t").to_torch().double()
    y, J, H = sobolev.hessian(module, x)
    wanted = torch.cat([y, J[:, 0], H[:, 0, [0, 0, 1], [0, 1, 1]]], dim=1).detach()
    found = table.select(numbers).to_torch().double()
    assert len(table) == 30
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-10)


def test_the_forums_network_is_told_why(run):
    status, out, err = run("fit", "--config", CONFIGS / "forum.yaml")
    assert status == 0, err
    findings = {entry["kind"]: entry for entry in report("logs/forum/version_0")["audit"]}
    assert findings["piecewise-linear"]["severity"] == "error"
    assert (
        "ReLU" in findings["piecewise-linear"]["where"]
        and "second derivative" in findings["piecewise-linear"]["message"]
    )
    assert findings["piecewise-linear"]["message"] in out.replace("\n", " ")
    assert any("Standardize" in e["message"] or "tandardise" in e["message"] for e in findings.values())
    assert report("logs/forum/version_0")["derivatives"][2]["rmse"] == 2.0


# Runs and their folders


def test_runs_never_overwrite_each_other(run):
    """With a logger, without, from a checkpoint, in a folder full of earlier runs."""
    last = Path("logs/square/version_0/checkpoints/last.ckpt")
    commands = [
        ["fit"],
        ["fit", "--trainer.logger", "false"],
        ["fit", "--trainer.logger", "false"],
        ["fit"],
        ["validate", "--ckpt_path", last],
        ["test", "--ckpt_path", last],
        ["predict", "--ckpt_path", last],
        ["predict", "--ckpt_path", last, "--trainer.logger", "false"],
    ]
    for words in commands:
        before = contents(".")
        status, _, err = run(*words)
        assert status == 0, err
        after = contents(".")
        assert after.items() >= before.items() and len(after) > len(before)
        assert not [path for path in after if path.suffix == ".part" or path.name.startswith(".")]
    names = {path.name for path in Path("logs").rglob("*")}
    assert {"report.json", "config.yaml", "derivatives.png", "predictions.csv", "checkpoints"} <= names
    assert {path.name for path in Path().iterdir()} == {"logs"}
    assert Path("logs/run_0/checkpoints/last.ckpt").exists() and Path("logs/run_1/checkpoints/last.ckpt").exists()


def test_a_run_that_fails_at_once_leaves_no_folder(run):
    mistake = ["--trainer.callbacks+", "sobolev.DerivativeMonitor", "--trainer.callbacks.name", "other"]
    status, _, err = run("fit", *mistake, "--trainer.callbacks.reference", "sin(a)*b")
    assert status == 1 and "sin(a)*b" in err
    assert not list(Path().iterdir())


def test_a_trial_run_leaves_nothing(run):
    status, out, err = run("fit", "--trainer.fast_dev_run", "true")
    assert status == 0 and "relative L2" in out, err
    assert not list(Path().iterdir())


def test_a_training_that_has_finished_says_so(run):
    assert run("fit")[0] == 0
    before = contents(".")
    status, _, err = run("fit", "--ckpt_path", "logs/square/version_0/checkpoints/last.ckpt")
    assert status == 0 and "has finished its 2 epochs" in err and "--trainer.max_epochs 4" in err
    assert contents(".") == before


def test_fewer_epochs_than_lie_between_validations_are_validated_all_the_same(run):
    assert run("fit", "--trainer.check_val_every_n_epoch", "25")[0] == 0
    assert len(report("logs/square/version_0")["derivatives"]) == 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_where_nothing_can_be_written_is_said_in_a_sentence(run, monkeypatch, number):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number), "logs/square/version_0/config.yaml")

    monkeypatch.setattr("sobolev.cli.lightning_cli.SaveConfig.setup", refused)
    status, _, err = run("fit")
    assert status == 1 and "cannot write logs/square/version_0/config.yaml: " in err and "default_root_dir" in err


def test_warnings_are_sentences(tmp_path):
    done = command(tmp_path, "fit", *SMALL, "--config", CONFIGS / "forum.yaml", "--trainer.max_epochs", "1")
    said = [line for line in done.stderr.splitlines() if "piecewise linear" in line]
    assert said and all(line.startswith("warning: network.1 (ReLU): ") for line in said)
    assert "rank_zero_warn(" not in done.stderr and "UserWarning" not in done.stderr


@pytest.mark.parametrize("config", ["square", "table", "paths", "black_scholes", "bfgs", "sobolev"])
def test_our_configurations_raise_no_warning(run, monkeypatch, config, recwarn):
    monkeypatch.chdir(ROOT)
    words = ["--trainer.logger", "false", "--trainer.fast_dev_run", "2", "--trainer.accelerator", "cpu"]
    few = ["--data.validation_fraction", "0.7", "--data.test_fraction", "0.2"] if config == "table" else []
    status, _, err = run("fit", "--config", f"configs/{config}.yaml", *words, *few, small=False)
    assert status == 0, err
    assert not [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)]


def test_validate_and_test_measure_the_checkpoint(run):
    """The numbers of `validate` are the last ones of `fit`; in `test` they are called so."""
    assert run("fit")[0] == 0
    last = "logs/square/version_0/checkpoints/last.ckpt"
    assert run("validate", "--ckpt_path", last)[0] == 0
    assert report(VALIDATED)["derivatives"] == report("logs/square/version_0")["derivatives"]
    status, out, _ = run("test", "--ckpt_path", last)
    assert status == 0 and "test/d2_rmse" in out and "val/" not in out


@pytest.mark.parametrize("switch", ["enable_progress_bar", "enable_checkpointing", "enable_model_summary"])
def test_what_the_default_job_brings_can_be_switched_off(run, switch):
    status, _, err = run("fit", f"--trainer.{switch}", "false")
    assert status == 0, err
    assert Path("logs/square/version_0/checkpoints").exists() == (switch != "enable_checkpointing")


def test_monitor_readout_and_report_have_switches(run, caplog):
    caplog.set_level("INFO")
    run("fit")
    assert "callbacks: DerivativeMonitor, LeastSquaresReadout, Report, ModelCheckpoint" in caplog.text
    for switch, gone in (("readout", "LeastSquaresReadout"), ("report", "Report"), ("monitor", "DerivativeMonitor")):
        caplog.clear()
        status, _, _ = run("fit", f"--{switch}", "false")
        (line,) = [said for said in caplog.messages if said.startswith("callbacks:")]
        assert status == 0
        assert gone not in line
    assert not Path("logs/square/version_3/report.json").exists()


def test_results_go_where_the_trainer_says(run):
    assert run("fit", "--trainer.default_root_dir", "there")[0] == 0
    assert Path("there/logs/square/version_0/report.json").is_file()
    assert not Path("logs").exists()


def test_a_list_of_callbacks_of_ones_own_says_what_it_leaves_out(run, caplog):
    caplog.set_level("INFO")
    stopping = "[{class_path: EarlyStopping, init_args: {monitor: val/d2_rmse}}]"
    for key, added in (("callbacks", False), ("callbacks+", True)):
        Path("own.yaml").write_text(f"trainer:\n  {key}: {stopping}\n")
        caplog.clear()
        status, _, err = run("fit", "--config", "own.yaml")
        assert ("not DerivativeMonitor, LeastSquaresReadout, ModelCheckpoint, " in caplog.text) == (not added)
        assert status == (0 if added else 1)
        if not added:  # nobody logs what it waits for
            assert "error: Early stopping conditioned on metric" in err
            assert "Traceback" not in err


@pytest.mark.parametrize("epochs", [1, 5, 7])
def test_the_last_checkpoint_holds_the_last_weights(run, epochs):
    """Whether or not the number of epochs is a multiple of those between checkpoints."""
    assert run("fit", "--trainer.max_epochs", epochs, "--data.batch_size", "300")[0] == 0
    assert checkpoint("logs/square/version_0")["global_step"] == epochs
    assert run("validate", "--ckpt_path", "logs/square/version_0/checkpoints/last.ckpt")[0] == 0
    assert report("logs/square/version_0")["derivatives"] == report(VALIDATED)["derivatives"]


def test_random_weights_are_not_measured_in_silence(run):
    for verb in ("validate", "test", "predict"):
        with pytest.warns(UserWarning, match="without --ckpt_path.* random weights"):
            assert run(verb)[0] == 0


# Checkpoints


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of x² by tanh, made in Python."""
    folder = tmp_path_factory.mktemp("trained")
    from lightning.pytorch import Trainer

    trainer = Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False
    )
    data = sobolev.FunctionData(samples=50, validation_samples=20, test_samples=20)
    trainer.fit(sobolev.Regressor(sobolev.MLP(hidden=(5,), activation="tanh")), datamodule=data)
    trainer.save_checkpoint(folder / "tanh.ckpt")
    return folder / "tanh.ckpt"


def test_a_checkpoint_that_overrides_the_command_line_says_so(run, trained):
    words = ["--model.network.init_args.activation", "gelu", "--model.network.init_args.hidden", "[7]"]
    with pytest.warns(UserWarning) as caught:
        assert run("validate", "--ckpt_path", trained, *words)[0] == 0
    said = [str(w.message) for w in caught if "--ckpt_path wins" in str(w.message)]
    assert len(said) == 2
    assert any("activation is 'tanh', as in the checkpoint, not 'gelu'" in line for line in said)
    assert any("hidden is [5], as in the checkpoint, not [7]" in line for line in said)


def test_a_checkpoint_alone_is_no_contradiction(run, trained, recwarn):
    assert run("validate", "--ckpt_path", trained)[0] == 0
    assert not [w for w in recwarn if "wins" in str(w.message)]


class Harmful:
    def __reduce__(self):
        return (Path.touch, (Path("hacked"),))


def damaged(path, trained):
    path.write_bytes(trained.read_bytes()[:2000])


def harmful(path, trained):
    torch.save({**torch.load(trained, weights_only=True), "callbacks": Harmful()}, path)


def harmful_pickle(path, trained):
    path.write_bytes(pickle.dumps({"state_dict": Harmful()}))


def text(path, trained):
    path.write_text("no checkpoint")


def empty(path, trained):
    path.write_bytes(b"")


@pytest.mark.parametrize("make", [damaged, harmful, harmful_pickle, text, empty])
@pytest.mark.parametrize("verb", ["fit", "predict"])
def test_a_bad_checkpoint_is_refused(run, trained, make, verb, tmp_path):
    make(tmp_path / "bad.ckpt", trained)
    status, _, err = run(verb, "--ckpt_path", "bad.ckpt")
    assert status == 1 and "error: " in err and "Traceback" not in err
    assert "bad.ckpt" in err and not Path("hacked").exists()


def test_a_checkpoint_of_other_data_is_refused(run, trained):
    status, _, err = run("validate", "--ckpt_path", trained, "--data.function", "x*z")
    assert status == 1 and "the checkpoint's network has 1 inputs, but the data have 2 (x, z)" in err


@pytest.mark.parametrize("verb", ["fit", "validate"])
@pytest.mark.parametrize("name", ["best", "last"])
def test_names_of_checkpoints_within_a_process_are_no_files(run, verb, name):
    status, _, err = run(verb, "--ckpt_path", name)
    assert status == 2
    assert f"error: --ckpt_path {name} is of a training in the same process; give the path" in err


def test_a_checkpoint_that_is_not_there(run):
    Path("somewhere.ckpt").touch()
    status, _, err = run("test", "--ckpt_path", "nowhere.ckpt")
    assert status == 1 and "error: there is no file nowhere.ckpt; did you mean somewhere.ckpt?" in err
    assert "Restoring" not in err and "SOBOLEV_TRACEBACK" not in err


# Mistakes


MISTAKES = {
    "formula": (["--data.function", "x**"], "x**"),
    "name": (["--data.function", "sim(x)"], "sin"),
    "code": (["--data.function", "__import__('os').remove('a')"], "__import__"),
    "attribute": (["--data.function", "x.__class__"], "x.__class__"),
    "import path": (["--data.function", "no_such_package.function"], "no_such_package"),
    "domain": (["--data.domain", "[1, 0]"], "domain"),
    "pole": (["--data.function", "log(x)"], "not finite"),
    "samples": (["--data.samples", "0"], "samples is 0"),
    "batch": (["--data.batch_size", "0"], "batch_size is 0"),
    "sampling": (["--data.sampling", "sobel"], "sobol"),
    "activation": (["--model.network.init_args.activation", "sillu"], "silu, selu"),
    "width": (["--model.network.init_args.hidden", "[0]"], "below 1"),
    "order": (["--trainer.callbacks.order", "-1"], "order"),
    "reference": (["--trainer.callbacks.reference", "x*z"], "has z, but the inputs of the data are x"),
    "option": (["--model.network.init_args.activaton", "tanh"], "activaton"),
    "config": (["--config", "nowhere.yaml"], "nowhere.yaml"),
    "table": (
        ["--data", "TableData", "--data.path", "no.csv", "--data.inputs", "[x]", "--data.outputs", "[y]"],
        "no.csv",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_in_a_sentence(run, mistake):
    words, reason = MISTAKES[mistake]
    if "order" in mistake or "reference" in mistake:
        words = ["--trainer.callbacks", "sobolev.DerivativeMonitor", *words]
    small = SMALL[6:] if "--data" in words else SMALL
    status, out, err = run("fit", *([] if "--data" in words else small), *words, small=False)
    assert status in (1, 2) and reason in err.split("error: ")[-1], err
    assert "Traceback" not in out + err
    if status == 1:
        assert len(err.split("error: ")[-1]) < 600
    with contextlib.suppress(FileNotFoundError):
        assert not list(Path("logs").rglob("*.ckpt"))


MISTYPED = {
    "fti": "did you mean `sobolev fit`?",
    "--trainer.max_epohs 10": "there is no option --trainer.max_epohs; did you mean --trainer.max_epochs?",
    "fit --model.network.activaton tanh": "sobolev.MLP has no option 'activaton'; did you mean 'activation'?",
    "fit --model.networ.hidden [3]": "sobolev.Regressor has no option 'networ'; did you mean 'network'?",
    "fit --data.smples 5": "sobolev.FunctionData has no option 'smples'; did you mean 'samples'?",
    "fit --model.network.hidden wide": "model.network.hidden is 'wide'; it takes a list such as [1, 2]",
    "fit --data.samples abc": "data.samples is 'abc'; it takes a whole number",
    "fit --trainer.max_epochs ten": "trainer.max_epochs is 'ten'; it takes a whole number or null",
    "fit --model.optimizer.lr fast": "model.optimizer.lr is 'fast'; it takes a number",
    "fit --model.optimizer Adm": "model.optimizer is 'Adm', which names no class; did you mean 'Adam'?",
    "fit --data MLP": "data is 'MLP', which names no class; did you mean 'sobolev.MLP'?",
    "fit --model.network sobolev.MPL": "sobolev has no 'MPL'; did you mean 'MLP'?",
    "fit --data TabelData": "data is 'TabelData', which names no class; did you mean 'TableData'?",
    "fit --trainer.callbacks sobolev.DerivativeMonitr": "did you mean 'DerivativeMonitor'?",
    "fit --data.function": "--data.function needs a value",
    "fit extra": "'extra' belongs to no option",
    "fit --config min.yaml": "there is no file min.yaml; did you mean mine.yaml?",
    "fit --config mine.yaml": "there is no option traner.max_epochs; did you mean 'trainer.max_epochs'?",
    "fit --trainer.accelerator tpuu": "trainer.accelerator is 'tpuu'; did you mean 'tpu'?",
    "fit --trainer.strategy ddpp": "trainer.strategy is 'ddpp'; did you mean 'ddp'?",
    "validate --ckpt_path best": "--ckpt_path best is of a training in the same process",
}


@pytest.mark.parametrize("words", MISTYPED)
def test_what_was_mistyped_is_said_in_one_line_with_the_name_that_was_meant(run, words):
    Path("mine.yaml").write_text("traner:\n  max_epochs: 3\n")
    status, out, err = run(*words.split(), small=False)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert status == 2 and not out and len(errors) == 1 and err.splitlines()[-1] == errors[0], err
    assert MISTYPED[words] in errors[0]
    assert not Path("logs").exists()


def test_what_fails_while_a_module_of_ones_own_is_imported_is_said(run, monkeypatch):
    Path("broken_callbacks.py").write_text("import not_installed\n\n\nclass Mine:\n    pass\n")
    monkeypatch.syspath_prepend(Path.cwd())
    status, _, err = run("fit", "--trainer.callbacks+=broken_callbacks.Mine")
    said = "trainer.callbacks: broken_callbacks.Mine cannot be made: No module named 'not_installed'"
    assert status == 2 and err.splitlines()[-1] == f"error: {said}"


def test_values_with_a_minus_and_ranges_without_brackets(run):
    words = ["--data.function", "-x**2", "--data.domain", "-3,3", "--model.network.hidden", "8,8", "--print_config"]
    status, out, err = run("fit", *words)
    settings = yaml.safe_load(out)
    assert status == 0 and settings["data"]["init_args"]["function"] == "-x**2", err
    assert settings["data"]["init_args"]["domain"] == [-3.0, 3.0]
    assert settings["model"]["init_args"]["network"]["init_args"]["hidden"] == [8, 8]


def test_the_overview_names_every_subcommand(run):
    status, out, _ = run("--help", small=False)
    lines = out.splitlines()
    assert status == 0 and [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)


def test_a_part_of_an_options_name_is_none(run):
    status, _, err = run("fit", "--trainer.max_epoch", "3")
    assert status == 2 and "there is no option --trainer.max_epoch; did you mean --trainer.max_epochs?" in err


def test_where_an_error_was_found_is_offered_only_where_it_says_more(run, monkeypatch):
    words = ["--data", "TableData", "--data.path", "no.csv", "--data.inputs", "[x]", "--data.outputs", "[y]"]
    status, _, err = run("fit", *words)
    assert status == 1 and "there is no file no.csv" in err and "SOBOLEV_TRACEBACK" not in err


def test_help_fits_on_a_screen_or_two(run):
    status, out, _ = run("fit", "--help", small=False)
    assert status == 0 and len(out.splitlines()) <= 100  # of 80 columns
    for option in ("--data.function", "--data.domain", "--model.network.hidden", "--trainer.max_epochs", "[x**2]"):
        assert option in out
    assert "--data.derivatives" in run("fit", "--data", "TableData", "--help", small=False)[1]
    status, out, _ = run("fit", "--help", "all", small=False)
    assert status == 0 and "--trainer.limit_train_batches" in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("words", "found"),
    [(["au"], {"audit"}), (["fit", "--data.func"], {"--data.function"}), (["x", "cert"], {"certify"})],
)
def test_a_shell_completes_subcommands_and_options(run, words, found):
    script = run("completion", "bash", small=False)[1]
    script += f'COMP_WORDS=(sobolev {" ".join(words)}); COMP_CWORD={len(words)}; _sobolev; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == found
    assert run("completion", "tcsh", small=False)[0] == 2


def test_the_version(run):
    assert run("--version", small=False)[1] == f"sobolev {sobolev.__version__}\n"


TABLES = {
    "x;y\n1,500;2\n2,250;3\n": "--data.decimal_comma",
    "x,y\n1,2\ntwo,3\n4,5\n": "row 3",
    "x,y\n1,2\nnan,3\n4,5\n": "NaN",
    "x,x,y\n1,1,2\n2,2,3\n": "2 columns named 'x'",
    "X,y\n1,2\n2,3\n": "no column 'x'",
    "x,y\n1,2\n": "too few",
    "x,y\n" + "1,2\n" * 20: "nothing can be learned",
}


@pytest.mark.parametrize("table", TABLES, ids=range(len(TABLES)))
def test_a_bad_table_is_said_in_a_sentence(run, table):
    Path("bad.csv").write_text(table)
    words = ["--data", "TableData", "--data.path", "bad.csv", "--data.inputs", "[x]", "--data.outputs", "[y]"]
    status, _, err = run("fit", *words, "--trainer.accelerator", "cpu", small=False)
    assert status == 1 and "bad.csv" in err and TABLES[table] in err and "Traceback" not in err


# Greeks


def test_predict_writes_delta_and_gamma(run):
    status, _, err = run("fit", "--config", CONFIGS / "black_scholes.yaml")
    assert status == 0, err
    folder = Path("logs/black_scholes/version_0")
    assert [entry["name"] for entry in report(folder)["named"]] == ["delta", "gamma"]
    last = folder / "checkpoints" / "last.ckpt"
    status, _, err = run("predict", "--config", CONFIGS / "black_scholes.yaml", "--ckpt_path", last)
    assert status == 0, err
    table = pl.read_csv(next(Path("logs/black_scholes").rglob("predictions.csv")))
    assert table.columns == ["spot", "price", "delta", "gamma"] and len(table) == 40


@pytest.mark.parametrize(
    ("configs", "folder", "inputs"),
    [
        (["black_scholes_surface.yaml"], "black_scholes_surface", 3),
        (["basket.yaml"], "basket", 20),
        (["basket.yaml", "basket_pca.yaml"], "basket_pca", 20),
    ],
)
def test_configurations_of_greeks_run(run, configs, folder, inputs):
    words = [word for name in configs for word in ("--config", CONFIGS / name)]
    status, out, err = run("fit", *words, "--trainer.check_val_every_n_epoch", "1")
    assert status == 0, err + out
    entries = report(f"logs/{folder}/version_0")["derivatives"]
    assert [len(entry["at"]) for entry in entries] == [inputs] * 3


# A checkpoint knows its data


def test_a_checkpoint_of_a_table_needs_nothing_else(run):
    rows = "\n".join(f"{i / 10};{(7 * i) % 40};{i * i / 100}".replace(".", ",") for i in range(200))
    Path("mine.csv").write_text(f"x;z;y\nm;s;m2\n{rows}\n")
    Path("points.tsv").write_text("z\tx\n3\t1.5\n4\t2\n")
    words = ["--data", "TableData", "--data.path", "mine.csv", "--data.inputs", "[x, z]", "--data.outputs", "[y]"]
    trainer = ["--trainer.max_epochs", 1, "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert run("fit", *words, *trainer, small=False)[0] == 0
    last = next(Path().rglob("last.ckpt"))
    status, _, err = run("validate", "--ckpt_path", last, *trainer[2:], small=False)
    assert status == 0, err
    assert run("readout", "--ckpt_path", last, "--output", "better.ckpt", *trainer[2:], small=False)[0] == 0
    described = description_in(torch.load("better.ckpt", weights_only=True))
    assert described is not None and [v["unit"] for v in described["inputs"]] == ["m", "s"]
    Path("mine.csv").unlink()
    points = ["--data.predict_points", "points.tsv"]
    status, _, err = run("predict", "--ckpt_path", last, *points, *trainer[2:], small=False)
    assert status == 0, err
    table = pl.read_csv(next(Path().rglob("predictions.csv")))
    assert table.columns[:3] == ["x", "z", "y"] and "d2y/dxdz" in table.columns and table["x"].to_list() == [1.5, 2]
    status, _, err = run("audit", "--ckpt_path", last, small=False)
    assert status == 0 and "uniform in the ranges" in err
    status, _, err = run("predict", "--ckpt_path", last, *points, "--data.inputs", "[z, x]", *trainer[2:], small=False)
    assert status == 1 and "--data.inputs '[x, z]'" in err


def test_a_checkpoint_that_does_not_know_its_data_is_not_taken_for_the_default_job(run):
    assert run("fit")[0] == 0
    contents = torch.load(last := next(Path().rglob("last.ckpt")), weights_only=True)
    torch.save({key: value for key, value in contents.items() if key != "FunctionData"}, "old.ckpt")
    for subcommand in ("validate", "readout", "audit", "fit"):
        status, _, err = run(subcommand, "--ckpt_path", "old.ckpt", small=False)
        assert status and "old.ckpt does not say what data" in err
    assert run("validate", "--ckpt_path", last)[0] == 0


def test_our_own_commands_take_words_as_lightnings_do(monkeypatch):
    given = []
    monkeypatch.setattr("sobolev.cli.audit.run", given.extend)
    _run(["audit", "--ckpt_path", "last.ckpt", "--data", "mine.csv"])
    assert given == ["--ckpt_path", "last.ckpt", "--data=TableData", "--data.path=mine.csv"]
