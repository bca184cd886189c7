"""Who may import whom: a room of the house knows the rooms of its own floor and of those below."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/sobolev"
FLOORS = (
    {"arguments", "errors", "notation"},
    {"autodiff"},
    {
        "audit",
        "collapse",
        "comparison",
        "differential_pca",
        "equations",
        "functions",
        "least_squares",
        "losses",
        "metrics",
        "networks",
        "optimizers",
        "scales",
        "schedules",
        "whitening",
    },
    {"data", "plots", "readout", "regressor", "residual_regressor"},
    {"callbacks"},
    {"audit_command", "cli", "foreign", "foreign_points", "readout_command"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
WITHOUT_LIGHTNING = FLOORS[0] | FLOORS[1] | FLOORS[2] - {"metrics"} | {"readout"}


def rooms():
    return sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or not path.stem.startswith("__"))


def imported(path):
    """The dotted names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", rooms(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_room_looks_up(path):
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in imported(path):
        package, _, rest = name.partition(".")
        if package == "sobolev":
            assert FLOOR[rest.partition(".")[0]] <= FLOOR[room], f"{room} imports {name}"
        if package in ("lightning", "pytorch_lightning"):
            assert room not in WITHOUT_LIGHTNING, f"{room} imports {name}"
