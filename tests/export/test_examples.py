"""The JavaScript and the C++ of docs/export.md, run on the file of the same page."""

import math
import os
import re
import shutil
import subprocess
from pathlib import Path
from statistics import NormalDist

import pytest

PAGE = Path(__file__).parents[2] / "docs/export.md"
HOMES = (os.environ.get("ONNXRUNTIME_HOME", ""), "/usr", "/usr/local", "/opt/onnxruntime", "/opt/homebrew")
"""Where onnxruntime may have been unpacked: folders with include/ and lib/."""


def block(language):
    return re.search(rf"^```{language}[^\n]*\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)[1]


def write_file():
    exec(compile(block("python"), str(PAGE), "exec"), {})


def check(said):
    found = {line.split()[0]: list(map(float, line.split()[1:])) for line in said.splitlines()}
    normal = NormalDist()
    for k, spot in enumerate((90, 100, 110)):
        d = math.log(spot / 100) / 0.2 + 0.1
        price = spot * normal.cdf(d) - 100 * normal.cdf(d - 0.2)
        assert found["price"][k] == pytest.approx(price, rel=1e-5)
        assert found["delta"][k] == pytest.approx(normal.cdf(d), rel=1e-5)
        assert found["gamma"][k] == pytest.approx(normal.pdf(d) / (spot * 0.2), rel=1e-5)


@pytest.mark.slow  # npm fetches a runtime
def test_price_delta_and_gamma_in_node(tmp_path, monkeypatch):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not here")
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "onnxruntime-node"]
    if subprocess.run(install, cwd=tmp_path, capture_output=True, timeout=300).returncode:
        pytest.skip("npm cannot install onnxruntime-node here")
    monkeypatch.chdir(tmp_path)
    write_file()
    Path("price.js").write_text(block("javascript"), encoding="utf-8")
    check(subprocess.run(["node", "price.js"], capture_output=True, text=True, timeout=60, check=True).stdout)


def _header() -> Path | None:
    names = ("include/onnxruntime_cxx_api.h", "include/onnxruntime/onnxruntime_cxx_api.h")
    names += ("include/onnxruntime/core/session/onnxruntime_cxx_api.h",)
    paths = (Path(home) / name for home in HOMES if home for name in names)
    return next((path for path in paths if path.exists()), None)


def test_price_delta_and_gamma_in_cpp(tmp_path, monkeypatch):
    compiler, header = next(filter(None, map(shutil.which, ("g++", "clang++"))), None), _header()
    if compiler is None:
        pytest.skip("there is no C++ compiler here")
    if header is None:
        pytest.skip("onnxruntime's headers are not here: unpack one of its releases and set ONNXRUNTIME_HOME to it")
    home = next(parent for parent in header.parents if parent.name == "include").parent
    monkeypatch.chdir(tmp_path)
    write_file()
    Path("price.cpp").write_text(block("cpp"), encoding="utf-8")
    paths = [f"-I{header.parent}", f"-L{home / 'lib'}", f"-Wl,-rpath,{home / 'lib'}"]
    build = [compiler, "-std=c++17", "price.cpp", *paths, "-lonnxruntime", "-o", "price"]
    subprocess.run(build, capture_output=True, text=True, timeout=300, check=True)
    check(subprocess.run(["./price"], capture_output=True, text=True, timeout=60, check=True).stdout)
