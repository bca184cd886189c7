"""What the documentation shows works: its Python runs, its commands parse, its examples in docstrings hold."""

import doctest
import importlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from inspect import getdoc, ismodule
from pathlib import Path

import lightning
import pytest
import yaml
from cases import environment

import sobolev
from sobolev.cli.command_line import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)[ \t]*([^\n]*)\n(.*?)^```", re.M | re.S)
PROGRAMMES = (["sobolev"], ["python", "-m", "sobolev"], ["python", "-m", "src.train"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with the configurations."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sobolev"])
    return tmp_path


@contextmanager
def short_trainings(most=2, **options):
    start = lightning.Trainer.__init__

    def short(self, *args, max_epochs=1, **kwargs):
        start(self, *args, max_epochs=min(max_epochs, most), **{"enable_progress_bar": False, **options, **kwargs})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lightning.Trainer, "__init__", short)
        yield


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.filterwarnings("ignore:.*(log_every_n_steps|logging interval|does not have many workers)")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("default::UserWarning")  # what a reader would see, the audit's among them
def test_blocks_of(page, folder, capsys):
    names, page_text = {"__name__": "documentation"}, page.read_text(encoding="utf-8")
    if "logs/square/version_0/checkpoints" in page_text:  # its reader has run the default job
        main(["fit", "--trainer.max_epochs", "5", "--trainer.accelerator", "cpu"])
    for language, options, text in BLOCK.findall(page_text):
        title = re.search(r'title="(.+?)"', options)
        if title:
            (folder / title[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            with short_trainings():
                exec(compile(text, str(page), "exec"), names)
        elif language == "bash":
            for line in text.replace("\\\n", " ").splitlines():
                check_command(shlex.split(line, comments=True), capsys)


def check_command(words, capsys):
    """A training's command is parsed to the end; a target of make exists."""
    words = [word.removeprefix(".venv/bin/") for word in words]
    for programme in PROGRAMMES:
        if words[: len(programme)] == programme:
            arguments = words[len(programme) :]
            help_only = "--help" in arguments
            if arguments[:1] == ["audit"] and not help_only:
                check_audit(arguments, capsys)
                return
            if arguments[:1] == ["certify"] and not help_only:
                check_certify(arguments, capsys)
                return
            with pytest.raises(SystemExit) as done:
                main(arguments if help_only else [*arguments, "--print_config"])
            assert not done.value.code, f"{' '.join(words)}: {done.value.code}"
            assert ("usage" if help_only else "trainer:") in capsys.readouterr().out
            return
    if words[:1] == ["make"] and shutil.which("make"):
        subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)


def check_certify(arguments, capsys):
    """A proof takes no longer than it is given; its status says whether it was completed."""
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--seconds", "1"])
    assert done.value.code in (0, 1)
    assert "proved for all" in capsys.readouterr().out


def check_audit(arguments, capsys):
    """An audit is quick enough to be made; its status says what it found."""
    with pytest.raises(SystemExit) as done:
        main(arguments)
    sys.modules.pop("models", None)
    assert done.value.code in (0, 1)
    assert '"trustworthy"' in (out := capsys.readouterr().out) or "audit: derivatives" in out


@pytest.mark.parametrize(
    "path",
    [p for p in sorted((ROOT / "src/sobolev").rglob("*.py")) if ">>> " in p.read_text(encoding="utf-8")],
    ids=lambda path: str(path.relative_to(ROOT / "src")),
)
def test_examples_in(path, folder):
    name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    quiet = {"accelerator": "cpu", "enable_checkpointing": False, "enable_model_summary": False, "log_every_n_steps": 1}
    with short_trainings(20, **quiet):
        results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.attempted
    assert not results.failed


@pytest.mark.parametrize("name", sobolev.__all__)
def test_every_public_name_has_an_example_and_a_place_in_the_reference(name):
    public = getattr(sobolev, name)
    shown = list(vars(public).values()) if ismodule(public) else [public]
    assert any(">>> " in (getdoc(part) or "") for part in shown if callable(part))
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    assert re.search(rf"^::: sobolev\.{name}(\.\w+)?$", page, re.M)


def test_hooks_take_the_versions_of_the_constraints():
    pinned = set((ROOT / "constraints.txt").read_text().splitlines())
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert {version for hook in hooks for version in hook["additional_dependencies"]} <= pinned


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == importlib.import_module("sobolev").__version__


def test_every_action_is_pinned_to_a_commit():
    uses = [
        line.split("uses:")[1].strip()
        for path in (ROOT / ".github/workflows").glob("*.yml")
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]
    assert uses
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", use) for use in uses)


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs_and_leaves_a_picture(script, tmp_path):
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout and list(tmp_path.glob("*.png"))
