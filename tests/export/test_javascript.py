"""The JavaScript of docs/export.md, run by node on the file of the same page."""

import math
import re
import shutil
import subprocess
from pathlib import Path
from statistics import NormalDist

import pytest

PAGE = Path(__file__).parents[2] / "docs/export.md"


def block(language):
    return re.search(rf"^```{language}[^\n]*\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)[1]


@pytest.mark.slow  # npm fetches a runtime
def test_price_delta_and_gamma_in_node(tmp_path, monkeypatch):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not here")
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "onnxruntime-node"]
    if subprocess.run(install, cwd=tmp_path, capture_output=True, timeout=300).returncode:
        pytest.skip("npm cannot install onnxruntime-node here")
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), str(PAGE), "exec"), {})
    Path("price.js").write_text(block("javascript"), encoding="utf-8")
    said = subprocess.run(["node", "price.js"], capture_output=True, text=True, timeout=60, check=True).stdout
    found = {line.split()[0]: list(map(float, line.split()[1:])) for line in said.splitlines()}
    normal = NormalDist()
    for k, spot in enumerate((90, 100, 110)):
        d = math.log(spot / 100) / 0.2 + 0.1
        price = spot * normal.cdf(d) - 100 * normal.cdf(d - 0.2)
        assert found["price"][k] == pytest.approx(price, rel=1e-5)
        assert found["delta"][k] == pytest.approx(normal.cdf(d), rel=1e-5)
        assert found["gamma"][k] == pytest.approx(normal.pdf(d) / (spot * 0.2), rel=1e-5)
