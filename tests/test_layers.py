"""Who may import whom: cli -> callbacks -> regressor, data, plots -> losses, ... -> autodiff -> torch; never upward."""

import ast
from pathlib import Path

import pytest

import sobolev

PACKAGE = Path(sobolev.__file__).parent

LAYERS = [
    {"errors"},
    {"autodiff"},
    {"losses", "metrics", "audit", "functions", "networks"},
    {"regressor", "data", "plots"},
    {"callbacks"},
    {"cli", "__main__"},
]
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}

FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def short(path):
    return path.relative_to(PACKAGE).as_posix()


def room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path):
    """Modules a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            yield from ([f"sobolev.{a.name}" for a in node.names] if node.module == "sobolev" else [node.module])


def test_every_room_has_its_place():
    assert {room(path) for path in FILES} <= HEIGHT.keys()


@pytest.mark.parametrize("path", FILES, ids=short)
def test_nobody_imports_upward(path):
    for name in imported(path):
        if name.startswith("sobolev."):
            other = name.split(".")[1]
            assert HEIGHT[other] <= HEIGHT[room(path)], f"{path.name} imports {name}"


@pytest.mark.parametrize("path", [p for p in FILES if HEIGHT[room(p)] <= 1 or room(p) == "audit"], ids=short)
def test_derivatives_and_audit_know_no_lightning(path):
    assert not [name for name in imported(path) if name.split(".")[0] in ("lightning", "torchmetrics")]
