"""Configurations that come with sobolev, from folders that have none."""

from pathlib import Path

import pytest
from cases import command

from sobolev.cli.shipped import CONFIGS, with_shipped_configs


def test_a_shipped_configuration_is_found_where_the_folder_has_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = with_shipped_configs(["fit", "--config", "configs/ode.yaml", "--config=configs/trainer/cpu.yaml"])
    ode, cpu = CONFIGS / "ode.yaml", CONFIGS / "trainer/cpu.yaml"
    assert words == ["fit", "--config", str(ode), f"--config={cpu}"] and ode.is_file() and cpu.is_file()


def test_what_is_there_or_nowhere_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("configs/ode.yaml").write_text("trainer: {max_epochs: 1}")
    for words in (["-c", "configs/ode.yaml"], ["--config", "configs/no.yaml"], ["--data.path", "configs/heat.yaml"]):
        assert with_shipped_configs(words) == words


@pytest.mark.parametrize("name", ["table", "inverse"])
def test_so_are_the_tables_that_it_names(tmp_path, name):
    quick = ("--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--report", "false")
    done = command(tmp_path, "fit", "--config", f"configs/{name}.yaml", *quick)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"logs/{name}").is_dir() and not (tmp_path / "configs").exists()
