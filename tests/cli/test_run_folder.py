"""What a run's folder is called, and what becomes of it after a mistake."""

from pathlib import Path

import pytest
from jsonargparse import Namespace

from sobolev.cli.run_folder import name_folder


def folder_of(words, subcommand="fit", name="lightning_logs", checkpoint=None, **data):
    """Where the logger of a configuration writes: its save_dir and name."""
    logger = Namespace(class_path="TensorBoardLogger", init_args=Namespace(save_dir="logs", name=name))
    config = Namespace(
        trainer=Namespace(logger=logger), data=Namespace(init_args=Namespace(**data)), ckpt_path=checkpoint
    )
    name_folder(config, subcommand, words)
    return f"{logger.init_args.save_dir}/{logger.init_args.name}"


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [
        ("function", "sin(x)*exp(-y)", "sin_x_exp_-y"),
        ("function", "-x**2 / 3", "minus_x2_over_3"),
        ("function", "../../etc", "over_.._over_etc"),
        ("function", "x" * 100, "x" * 40),
        ("path", "some where/my table.csv.gz", "my_table.csv"),
        ("path", "Größen, 2. Lauf.csv", "Größen_2._Lauf"),
        ("equation", ["d2u_dx2 + u", "v"], "d2u_dx2_plus_u"),
        ("function", "s1*erfc(-log(s1/s2)/(v*sqrt(t))) + s2", "s1_erfc_-log_s1_over_s2_over_v_sqrt_t"),
        ("function", "sin(x) - cos(y) & $HOME; `ls` 'a' \"b\"", "sin_x_minus_cos_y_HOME_ls_a_b"),
    ],
)
def test_a_run_is_named_after_its_data(option, value, name):
    assert folder_of([f"--data.{option}", str(value)], **{option: value}) == f"logs/{name}"
    assert folder_of([f"--data.init_args.{option}={value}"], **{option: value}) == f"logs/{name}"


def test_else_after_the_configuration_that_says_what_is_learnt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("data: {class_path: sobolev.FunctionData}\n")
    Path("gpu.yaml").write_text("trainer: {accelerator: gpu}\n")
    assert folder_of(["--config", "mine.yaml", "--config=gpu.yaml"], function="x") == "logs/mine"
    assert folder_of(["-c", "gpu.yaml"], function="x**2") == "logs/square"
    assert folder_of(["--config", "mine.yaml", "--data.function", "x"], function="x") == "logs/x"


def test_a_name_that_was_given_stays():
    assert folder_of(["--trainer.logger.name", "own", "--data.function", "x"], name="own", function="x") == "logs/own"


def test_what_is_done_with_a_checkpoint_is_written_beside_it():
    last = "logs/sin_x/version_3/checkpoints/last.ckpt"
    assert folder_of(["--ckpt_path", last], "validate", checkpoint=last) == "logs/sin_x/version_3/validate"
    words = ["--ckpt_path", last, "--trainer.logger.save_dir", "logs"]
    assert folder_of(words, "test", checkpoint=last) == "logs/sin_x"
    assert folder_of(["--ckpt_path", last], checkpoint=last) == "logs/sin_x"
    assert folder_of(["--ckpt_path", "far/better.ckpt"], "predict", checkpoint="far/better.ckpt") == "logs/better"
