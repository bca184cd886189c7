"""The gallery of the documentation: each file of examples/ is run, and becomes a page with its code and pictures."""

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


def on_files(files: Any, config: Any) -> Any:
    """Add a page and the pictures of each example, and the page that shows them all."""
    scripts = sorted(EXAMPLES.glob("*.py"))
    with TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_A_TIME) as pool:
        outcomes = list(pool.map(lambda script: run(script, Path(folder) / script.stem), scripts))
    cards = []
    for script, (output, pictures) in zip(scripts, outcomes, strict=True):
        title, text, code = parts(script)
        shown = "\n\n".join(f"![{title}]({script.stem}-{name})" for name in pictures)
        page = f"# {title}\n\n{text}\n\n{shown}\n\n```python\n{code}```\n\n```text\n{output}```\n"
        files.append(File.generated(config, f"examples/{script.stem}.md", content=page))
        for name, pixels in pictures.items():
            files.append(File.generated(config, f"examples/{script.stem}-{name}", content=pixels))
        first = f"![{title}](examples/{script.stem}-{next(iter(pictures))})"
        cards.append(f"## [{title}](examples/{script.stem}.md)\n\n{text}\n\n{first}\n")
    head = "# Gallery\n\nEvery page is a file of `examples/`, run when this documentation was built.\n\n"
    files.append(File.generated(config, "gallery.md", content=head + "\n".join(cards)))
    return files


def run(script: Path, folder: Path) -> tuple[str, dict[str, bytes]]:
    """What an example prints, and the pictures that it leaves.

    Raises:
        RuntimeError: it fails, or leaves no picture.
    """
    folder.mkdir(parents=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXAMPLES.parent / "src")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], cwd=folder, env=environment, capture_output=True, text=True
    )
    pictures = {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}
    if done.returncode or not pictures:
        raise RuntimeError(f"{script.name} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout, pictures


def parts(script: Path) -> tuple[str, str, str]:
    """Title, text and code: the first line of the docstring, the rest of it, and what follows."""
    source = script.read_text(encoding="utf-8")
    tree = ast.parse(source)
    title, _, text = (ast.get_docstring(tree) or "").partition("\n")
    code = "\n".join(source.splitlines()[tree.body[0].end_lineno or 0 :]).strip("\n")
    return title.rstrip("."), text.strip(), code + "\n"
