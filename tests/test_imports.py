"""Who may import whom: rooms know those below them, nothing goes in a circle, derivatives know no Lightning.

The graph is read from the source, imports for type checking and inside functions included.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src/sobolev"
FLOORS = (
    {"errors"},
    {"autodiff"},
    {"audit"},
    {
        "callbacks",
        "certify",
        "equations",
        "export",
        "functions",
        "losses",
        "metrics",
        "networks",
        "optimizers",
        "plots",
    },
    {"data", "surrogates", "readout", "training"},
    {"estimates"},
    {"monitor"},
    {"report"},
    {"cli"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
WITHOUT_LIGHTNING = {
    "errors",
    "autodiff",
    "audit",
    "certify",
    "equations",
    "estimates",
    "surrogates",
    "export",
    "functions",
    "losses",
    "networks",
    "optimizers",
    "plots",
}


def dotted(path):
    return ".".join(["sobolev", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imported(module):
    """The modules and packages that a file imports: of a name imported from a package, its module where it is one."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in MODULES else node.module for name in names}
    return found


def circles(graph):
    """The strongly connected components of more than one node (Tarjan, 1972)."""
    numbers, lowest, path, found = {}, {}, [], []

    def visit(node):
        numbers[node] = lowest[node] = len(numbers)
        path.append(node)
        for other in sorted(graph[node]):
            if other not in numbers:
                visit(other)
            if other in path:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == numbers[node]:
            component = path[path.index(node) :]
            del path[path.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in numbers:
            visit(node)
    return found


def test_no_file_is_in_a_circle_of_imports():
    graph = {module: imported(module) & MODULES.keys() - {module} for module in MODULES if module != "sobolev"}
    graph = {module: others & graph.keys() for module, others in graph.items()}
    assert not circles(graph), "; ".join(" <-> ".join(circle) for circle in circles(graph))


def test_no_room_is_in_a_circle_of_imports():
    graph = {room: set() for room in FLOOR}
    for module in MODULES.keys() - {"sobolev", "sobolev.__main__"}:
        room = module.split(".")[1]
        others = {name.split(".")[1] for name in imported(module) if name.startswith("sobolev.")}
        graph[room] |= others - {room}
    assert not circles(graph), "; ".join(" <-> ".join(circle) for circle in circles(graph))


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"sobolev", "sobolev.__main__"}))
def test_no_room_looks_up(module):
    room = module.split(".")[1]
    for name in imported(module):
        if name.startswith("sobolev."):
            assert FLOOR[name.split(".")[1]] <= FLOOR[room], f"{module} imports {name}"
        if name.startswith(("lightning", "pytorch_lightning")):
            assert room not in WITHOUT_LIGHTNING, f"{module} imports {name}"
