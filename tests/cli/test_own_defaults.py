"""A class in place of another takes its own defaults, and what somebody chose."""

import pytest
import yaml

from sobolev.cli.command_line import main

EQUATION = """
model: sobolev.ResidualRegressor
data:
  class_path: sobolev.ResidualData
  init_args:
    equation: d2u_dx2 + u
    conditions: [u(0) = 1, du_dx(0) = 0]
    domain: {x: [0, 1]}
"""


def configuration(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(["fit", *words, "--print_config"])
    assert ended.value.code in (0, None)
    return yaml.safe_load(capsys.readouterr().out)


@pytest.fixture
def equation(tmp_path):
    path = tmp_path / "equation.yaml"
    path.write_text(EQUATION)
    return str(path)


@pytest.mark.parametrize("below", [[], ["--config", "configs/square.yaml"]])
def test_an_equation_has_points_of_its_own(capsys, equation, below):
    found = configuration(capsys, *below, "--config", equation)["data"]["init_args"]
    assert (found["samples"], found["sampling"], found["batch_size"]) == (1000, "sobol", None)


def test_paths_have_sizes_of_their_own(capsys):
    found = configuration(capsys, "--data", "PathsData")["data"]["init_args"]
    assert (found["samples"], found["test_samples"], found["evaluation_batch_size"]) == (4096, 4096, 4096)


def test_what_somebody_chose_goes_on(capsys, equation):
    found = configuration(capsys, "--data.samples", "77", "--data.seed", "5", "--config", equation)["data"]["init_args"]
    assert (found["samples"], found["seed"], found["sampling"]) == (77, 5, "sobol")


def test_an_optimiser_has_its_own_weight_decay_and_the_learning_rate_of_the_job(capsys):
    found = configuration(capsys, "--model.optimizer", "AdamW")["model"]["init_args"]["optimizer"]["init_args"]
    assert (found["lr"], found["weight_decay"]) == (0.01, 0.01)


FEW = ["--trainer.max_epochs", "1", "--data.samples", "20", "--data.validation_samples", "9",
       "--data.test_samples", "9", "--data.condition_samples", "4", "--report", "false"]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ([], "SelfScaledBFGS"),
        (["--model.optimizer", "torch.optim.Adam"], "Adam"),
        (["--model.optimizer", "torch.optim.SGD"], "SGD"),
    ],
)
def test_an_equation_without_an_optimiser_gets_one_that_reaches_it(
    tmp_path, monkeypatch, caplog, equation, words, kind
):
    monkeypatch.chdir(tmp_path)
    main(["fit", "--config", equation, *words, *FEW])
    (saved,) = tmp_path.glob("logs/equation/version_0/config.yaml")
    found = yaml.safe_load(saved.read_text())
    assert found["model"]["init_args"]["optimizer"]["class_path"].endswith(kind)
    ours = kind == "SelfScaledBFGS"
    assert found["trainer"]["precision"] == ("64-true" if ours else None)
    assert found["model"]["init_args"]["network"]["init_args"]["hidden"] == ([32, 32] if ours else [64, 64])
    assert ("--model.optimizer torch.optim.Adam takes another" in caplog.text) == ours


def test_a_configuration_that_names_adam_keeps_it(tmp_path, monkeypatch, equation):
    monkeypatch.chdir(tmp_path)
    named = tmp_path / "adam.yaml"
    named.write_text("model: {init_args: {optimizer: {class_path: torch.optim.Adam}}}")
    main(["fit", "--config", equation, "--config", str(named), *FEW])
    (saved,) = tmp_path.glob("logs/*/version_0/config.yaml")
    assert yaml.safe_load(saved.read_text())["model"]["init_args"]["optimizer"]["class_path"] == "torch.optim.Adam"
