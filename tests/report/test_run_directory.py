import gc
from pathlib import Path

import pytest
import torch
from cases import Plain, loader, quiet_trainer
from lightning.pytorch.loggers import CSVLogger

from sobolev.report.run_directory import free_path, run_directory


def test_without_a_logger_each_trainer_has_its_first_free_folder(tmp_path):
    (tmp_path / "logs" / "run_1").mkdir(parents=True)
    trainers = [quiet_trainer(tmp_path) for _ in range(3)]
    folders = [run_directory(trainer) for trainer in trainers]
    assert folders == [tmp_path / "logs" / f"run_{n}" for n in (0, 2, 3)]
    assert [run_directory(trainer) for trainer in trainers] == folders


def test_with_a_logger_it_is_the_loggers(tmp_path):
    trainer = quiet_trainer(tmp_path, logger=CSVLogger(tmp_path, name="mine"))
    assert run_directory(trainer) == Path(trainer.log_dir) == tmp_path / "mine" / "version_0"
    assert run_directory(trainer).is_dir()


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_that_of_a_fast_development_run_goes_with_its_trainer(tmp_path):
    x, trainer = torch.rand(8, 1), quiet_trainer(tmp_path, fast_dev_run=True)
    trainer.fit(Plain(), loader(x, x))
    folder = run_directory(trainer)
    assert folder.is_dir() and not list(tmp_path.iterdir())
    del trainer
    gc.collect()
    assert not folder.exists()


def test_a_path_is_free_or_gets_a_number(tmp_path):
    path = tmp_path / "report.json"
    for name in ("report.json", "report_1.json", "report_2.json"):
        free = free_path(path)
        assert free.name == name
        free.touch()
