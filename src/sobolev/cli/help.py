"""`sobolev fit --help`, short enough to read: the options of the classes that are run, with their defaults."""

import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import yaml
from docstring_parser import parse

_NETWORK = "sobolev.MLP"

_TRAINER = {
    "max_epochs": "how long to train",
    "accelerator": "cpu, gpu, tpu or auto",
    "devices": "how many processes, or auto",
    "precision": "32-true, 64-true, bf16-mixed, ...",
    "check_val_every_n_epoch": "how often derivatives are measured",
    "default_root_dir": "where logs/ lies",
    "logger": "false writes nothing for TensorBoard; .name NAME names the run's folder",
    "enable_progress_bar": "false for logs of batch jobs",
    "fast_dev_run": "one batch of each kind, and nothing is left behind",
}

_GENERAL = {
    "--config FILE": "settings in YAML; later files and single options win",
    "--ckpt_path FILE": "the checkpoint to go on from, or to look at",
    "--seed_everything N": "all random numbers",
    "--monitor, --readout, --report": "false leaves out what they do",
    "--print_config": "the whole configuration, not run",
    "--help all": "every option there is, a few hundred",
}

_COLUMN = 42

_COMMANDS = {
    "fit": "train, and measure the derivatives at each validation",
    "validate": "measure a checkpoint's derivatives at the validation points",
    "test": "the same at the test points",
    "predict": "write a table of values and derivatives at points of your own",
    "audit": "say whether the derivatives of a model, a checkpoint's or somebody else's, can be trusted",
    "certify": "prove how wrong the derivatives can be anywhere in a domain",
    "readout": "solve a checkpoint's last layer anew by least squares",
    "export": "write a network and its derivatives to one file",
    "completion": "complete all these in a shell",
}


def print_overview() -> None:
    """Print what subcommands there are."""
    lines = ["usage: sobolev [SUBCOMMAND] [--OPTION VALUE ...]", ""]
    lines += ["Train a network and know how good its derivatives are."]
    lines += ["Without a subcommand: fit, by configs/square.yaml."]
    lines += ["", *(f"  {name:<12}{text}" for name, text in _COMMANDS.items())]
    lines += ["", "sobolev SUBCOMMAND --help: the options of each", "sobolev --version: the version"]
    sys.stdout.write("\n".join(lines) + "\n")


def print_help(subcommand: str, words: Sequence[str]) -> None:
    """Print what most people need of a subcommand's options.

    Args:
        subcommand: of Lightning's: fit, validate, test or predict.
        words: behind it; `--data CLASS` and `--model CLASS` show the options of these classes.
    """
    lines = [f"usage: sobolev {subcommand} [--config FILE] [--OPTION VALUE ...]", ""]
    lines += ["What is not named is as in configs/square.yaml."]
    for head, options in _sections(words):
        lines += ["", *([head] if head else [])]
        lines += [line for option, (text, default) in options.items() for line in _line(option, text, default)]
    sys.stdout.write("\n".join(lines) + "\n")


def options_of(words: Sequence[str]) -> list[str]:
    """The options that `print_help` shows."""
    shown = [option for _, options in _sections(words) for option in options]
    return [name.split()[0] for option in shown for name in option.split(", ")]


def _sections(words: Sequence[str]) -> list[tuple[str, dict[str, tuple[str, Any]]]]:
    """Titles, and below each what an option is about and its default."""
    from sobolev.cli.lightning_cli import CONFIGS, MLP_PATHS

    config = yaml.safe_load((CONFIGS / "square.yaml").read_text(encoding="utf-8"))
    data, model = (_chosen(name, config, words) for name in ("data", "model"))
    sections = [("", {option: (text, None) for option, text in _GENERAL.items()})]
    sections += [_section("data", data, "FunctionData, TableData, PathsData, ResidualData, or a class of yours")]
    sections += [_section("model", model, "Regressor, EvidenceRegressor, ResidualRegressor, or a class of yours")]
    network = model["init_args"].get("network", {"class_path": _NETWORK, "init_args": {}})
    if network["class_path"] in MLP_PATHS and "network" in inspect.signature(_imported(model["class_path"])).parameters:
        sections += [_section("model.network", network, "CLASS: any torch module")]
    trained = config["trainer"]
    trainer = {f"--trainer.{name}": (text, trained.get(name)) for name, text in _TRAINER.items()}
    return [*sections, ("trainer: lightning.pytorch.Trainer", trainer)]


def _chosen(name: str, config: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """The class of the default job, or that on the command line."""
    for word, after in pairwise([*words, ""]):
        option, equals, value = word.partition("=")
        if option == f"--{name}" and (path := value if equals else after):
            return {"class_path": path if "." in path else f"sobolev.{path}", "init_args": {}}
    return config[name]


def _section(name: str, chosen: dict[str, Any], others: str) -> tuple[str, dict[str, tuple[str, Any]]]:
    """The options of a class: first clause and default."""
    made, given = _imported(chosen["class_path"]), chosen["init_args"]
    said = {p.arg_name: p.description or "" for p in parse(inspect.getdoc(made) or "").params if p.args[0] == "param"}
    options = {}
    for option, parameter in inspect.signature(made).parameters.items():
        if option in said and not (option == "network" and "network" in given):
            options[f"--{name}.{option}"] = _first_clause(said[option]), given.get(option, parameter.default)
    return f"{name}: {chosen['class_path']} (another one: --{name} {others})", options


def _line(option: str, text: str, default: Any = None) -> list[str]:
    if isinstance(default, dict):
        default = default.get("class_path")
    known = default is not None and default is not inspect.Parameter.empty
    text = f"{text} [{default}]" if known else text
    width = max(60, shutil.get_terminal_size((120, 0)).columns) - _COLUMN
    first, *rest = textwrap.wrap(text, width) or [""]
    own = [f"  {option:{_COLUMN - 2}}{first}"] if len(option) < _COLUMN - 3 else [f"  {option}", " " * _COLUMN + first]
    return own + [" " * _COLUMN + line for line in rest]


def _first_clause(text: str) -> str:
    text = re.sub(r"^see [^:]*: ", "", " ".join(text.split()))
    return re.split(r"[;.] |: (?![^{]*})|\.$| \(see", text)[0].replace("`", "")


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)
