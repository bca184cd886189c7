"""The gallery of the documentation: each script of examples/ is run, and becomes a page with its code and pictures."""

import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkdocs.structure.files import File

EXAMPLES = Path(__file__).parents[2] / "examples"

_AT_A_TIME = 2
_FIRST = ("forum", "measurements", "black_scholes")
_KEPT = (".png", ".html", ".onnx")
"""What an example leaves that is shown: pictures, and web pages with what they load."""


def on_files(files: Any, config: Any) -> Any:
    """Add a page and the pictures of each example, and the page that shows them all."""
    rest = sorted(path for path in EXAMPLES.glob("*.py") if path.stem not in _FIRST)
    scripts = [*(EXAMPLES / f"{name}.py" for name in _FIRST), *rest]
    with TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_A_TIME) as pool:
        outcomes = list(pool.map(lambda script: run(script, Path(folder) / script.stem), scripts))
    cards = []
    for script, (output, left) in zip(scripts, outcomes, strict=True):
        title, text, _ = parts(script)
        files.append(File.generated(config, f"examples/{script.stem}.md", content=page(script, output, left)))
        for name, content in left.items():
            files.append(File.generated(config, f"examples/{script.stem}/{name}", content=content))
        picture = next(name for name in left if name.endswith(".png"))
        first = f"![{title}](examples/{script.stem}/{picture})"
        cards.append(f"## [{title}](examples/{script.stem}.md)\n\n{text}\n\n{first}\n")
    head = "# Gallery\n\nEvery page is a file of `examples/`, run when this documentation was built.\n\n"
    files.append(File.generated(config, "gallery.md", content=head + "\n".join(cards)))
    return files


def page(script: Path, output: str, left: dict[str, bytes]) -> str:
    """The page of an example: what it is about, its pictures, code and what it prints, and the web page it leaves."""
    title, text, code = parts(script)
    shown = [f"![{title}]({script.stem}/{name})" for name in left if name.endswith(".png")]
    blocks = [f"```python\n{code}```", f"```text\n{output}```"]
    for name in left:
        if name.endswith(".html"):
            shown.append(f"[Open the page]({script.stem}/{name}){{ .md-button target=_blank }}")
            blocks.append(f'```html title="{name}"\n{left[name].decode()}```')
    return "\n\n".join([f"# {title}", text, *shown, *blocks]) + "\n"


def run(script: Path, folder: Path) -> tuple[str, dict[str, bytes]]:
    """What an example prints, and the pictures and pages that it leaves.

    Raises:
        RuntimeError: it fails, or leaves no picture.
    """
    folder.mkdir(parents=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXAMPLES.parent / "src")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], cwd=folder, env=environment, capture_output=True, text=True
    )
    left = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in _KEPT}
    if done.returncode or not any(name.endswith(".png") for name in left):
        raise RuntimeError(f"{script.name} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout, left


def parts(script: Path) -> tuple[str, str, str]:
    """Title, text and code: the first line of the docstring, the rest of it, and what follows."""
    source = script.read_text(encoding="utf-8")
    tree = ast.parse(source)
    title, _, text = (ast.get_docstring(tree) or "").partition("\n")
    code = "\n".join(source.splitlines()[tree.body[0].end_lineno or 0 :]).strip("\n")
    return title.rstrip("."), text.strip(), code + "\n"
