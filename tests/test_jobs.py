"""Whole runs as processes: two of them, killed in the middle, interrupted; what is left must be right."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import torch
from cases import SMALL, command, environment

from sobolev.cli.command_line import main
from sobolev.cli.lightning_cli import CONFIGS


def folder(root, number):
    return Path(root, "logs", "square", f"version_{number}")


def errors(root, number):
    return json.loads((folder(root, number) / "report.json").read_text())["derivatives"]


def numbers(entries):
    return [
        float(value)
        for entry in entries
        for item in entry.values()
        for value in (item if isinstance(item, list) else [item])
    ]


def weights(root, number):
    return torch.load(folder(root, number) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def start(root, *arguments):
    """The process itself, to send signals to; where the tests run in the background, Ctrl-C is ignored, not there."""
    return subprocess.Popen(
        [sys.executable, "-m", "sobolev", *arguments], cwd=root, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for(process, path, seconds=120):
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end, process.communicate()[0]
        time.sleep(0.01)


# Two processes

RANKS = '''
import torch
from lightning.pytorch import Callback

class Weights(Callback):
    """Each process writes its weights down."""

    def on_train_end(self, trainer, pl_module):
        torch.save(pl_module.state_dict(), f"rank{trainer.global_rank}.pt")
'''


@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(sys.platform == "win32", reason="gloo over localhost is not set up everywhere on Windows")
def test_two_processes_train_alike_and_measure_what_one_measures(tmp_path, monkeypatch):
    """Uneven numbers of points; equal weights; equal metrics; the table of predictions row by row."""
    (tmp_path / "ranks.py").write_text(RANKS)
    uneven = [
        *SMALL,
        "--data.evaluation_batch_size",
        "7",
        "--data.test_samples",
        "41",
        "--data.validation_samples",
        "43",
    ]
    two = [*uneven, "--config", CONFIGS / "trainer" / "ddp.yaml"]
    # "+=" comes after the configs, which bring the list
    done = command(tmp_path, "fit", *two, "--trainer.callbacks+=ranks.Weights", PYTHONPATH=python_path(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    last = folder(tmp_path, 0) / "checkpoints" / "last.ckpt"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sobolev"])
    for verb in ("validate", "predict"):
        done = command(tmp_path, verb, *two, "--ckpt_path", last)
        assert done.returncode == 0, done.stderr
        main([verb, *uneven, "--ckpt_path", str(last)])
    by_two, by_one = (numbers(errors(tmp_path, f"0/validate/version_{n}")) for n in (0, 1))
    assert len(by_one) == 15 and numbers(errors(tmp_path, 0)) == pytest.approx(by_one, rel=1e-6)
    assert by_two == pytest.approx(by_one, rel=1e-6)
    rows, expected = (pl.read_csv(folder(tmp_path, f"0/predict/version_{n}") / "predictions.csv") for n in (0, 1))
    assert len(rows) == 41 and rows["x"].equals(expected["x"])
    for column in expected.columns:
        torch.testing.assert_close(rows[column].to_torch(), expected[column].to_torch(), rtol=1e-5, atol=1e-4)


def python_path(extra):
    return os.pathsep.join(filter(None, [str(extra), os.environ.get("PYTHONPATH", "")]))


# Killed


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_run_resumes_to_the_same_weights_bit_for_bit(tmp_path):
    """12 epochs in one go; and killed as soon as a checkpoint lies there, then resumed from it."""
    words = [*SMALL, "--data.batch_size", "32", "--trainer.max_epochs", "12"]
    done = command(tmp_path, "fit", *words)
    assert done.returncode == 0, done.stderr
    slow = ["--trainer.callbacks+=slow.Slow"]
    (tmp_path / "slow.py").write_text(SLOW)
    process = start(tmp_path, "fit", *words, *slow)
    wait_for(process, folder(tmp_path, 1) / "checkpoints" / "last.ckpt")
    process.kill()
    process.communicate()
    last = folder(tmp_path, 1) / "checkpoints" / "last.ckpt"
    reached = torch.load(last, weights_only=True)["epoch"]
    assert reached < 11 and not (folder(tmp_path, 1) / "report.json").exists()
    done = command(tmp_path, "fit", *words, "--ckpt_path", last)
    assert done.returncode == 0, done.stderr
    whole, resumed = weights(tmp_path, 0), weights(tmp_path, 2)
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert errors(tmp_path, 0) == errors(tmp_path, 2)


SLOW = '''
import time
from lightning.pytorch import Callback

class Slow(Callback):
    """Time enough to be killed."""

    def on_train_epoch_start(self, trainer, pl_module):
        time.sleep(0.5)
'''


# Interrupted


def test_ctrl_c_leaves_no_half_written_file(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    process = start(tmp_path, "fit", *SMALL, "--trainer.max_epochs", "100", "--trainer.callbacks+=slow.Slow")
    wait_for(process, folder(tmp_path, 0) / "checkpoints" / "last.ckpt")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "Traceback" not in said, said
    last = "logs/square/version_0/checkpoints/last.ckpt"
    assert f"the last checkpoint is {last}. To go on from there:\n  sobolev fit" in said and said.endswith(f"{last}\n")
    assert json.loads((folder(tmp_path, 0) / "report.json").read_text())["interrupted"]["epoch"] > 0
    for path in (tmp_path / "logs").rglob("*"):
        assert path.suffix != ".part" and not path.name.startswith(".")
        if path.suffix == ".ckpt":
            assert torch.load(path, weights_only=True)["state_dict"]
        if path.suffix == ".json":
            json.loads(path.read_text())
