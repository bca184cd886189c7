"""The benchmark's own environments under .venv-bench; the user's is only read.

`peers` is laid over the environment that runs the benchmark: torch and all else come from there, only what
the peers add is installed. A peer that needs a newer Python gets one of its own, with its own torch.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import PEERS, Peer

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-bench"
STAMP = "installed.json"
NEWER_PYTHONS = ("python3.12", "python3.13", "python3.14")


@dataclass
class Environment:
    """An interpreter and the peers that can be imported there."""

    name: str
    python: Path | None
    peers: list[str]
    failures: dict[str, str] = field(default_factory=dict)
    """Peers that could not be installed, with the reason in one line."""


def environments(quick: bool) -> list[Environment]:
    """Set up what is not there yet; a second call installs nothing.

    Args:
        quick: leave out what would need a torch of its own, unless it is there already.
    """
    here = [peer for peer in PEERS.values() if sys.version_info >= peer.python]
    newer = [peer for peer in PEERS.values() if sys.version_info < peer.python]
    found = [_set_up("peers", Path(sys.executable), here, overlay=True)]
    if newer and (not quick or (HOME / "newer-python" / STAMP).exists()):
        python = next((path for name in NEWER_PYTHONS if (path := _working(name))), None)
        found.append(_set_up("newer-python", python, newer, overlay=False))
    return found


def _set_up(name: str, python: Path | None, peers: Sequence[Peer], overlay: bool) -> Environment:
    if python is None:
        oldest = max(peer.python for peer in peers)
        reason = f"needs Python {oldest[0]}.{oldest[1]} and there is none on this machine"
        return Environment(name, None, [], {peer.name: reason for peer in peers})
    home = HOME / name
    binary = _binary(home)
    stamp, wanted = home / STAMP, _wanted(python, peers)
    if not stamp.exists() or (state := json.loads(stamp.read_text()))["wanted"] != wanted:
        print(f"setting up {home.relative_to(ROOT)}", flush=True)
        state = {"wanted": wanted, "failures": _install(home, python, binary, peers, overlay)}
        stamp.write_text(json.dumps(state, indent=1))
    failures = state["failures"]
    ours = ["sobolev", "nested autograd.grad"]  # in every process, to compare with
    names = ours + [peer.name for peer in peers if peer.name not in {*ours, *failures}]
    return Environment(name, binary, names, failures)


def laid_over(name: str, packages: Sequence[str]) -> Path:
    """An interpreter that has these packages besides those of the environment that runs us.

    Raises:
        SystemExit: one of them does not install.
    """
    home, wanted = HOME / name, [sys.version, (ROOT / "constraints.txt").read_text(), *packages]
    binary, stamp = _binary(home), home / STAMP
    if not stamp.exists() or json.loads(stamp.read_text()) != wanted:
        print(f"setting up {home.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        _lay_over(binary)
        if why := _pip(binary, *packages):
            raise SystemExit(f"this part needs {', '.join(packages)}, which do not install: {why}")
        stamp.write_text(json.dumps(wanted, indent=1))
    return binary


def _binary(home: Path) -> Path:
    return home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _wanted(python: Path, peers: Sequence[Peer]) -> list[str]:
    """What the set-up depends on: does any of it change, it is done again."""
    packages = [text for peer in peers for text in (peer.package or "", *peer.needs)]
    return [python.name, sys.version, (ROOT / "constraints.txt").read_text(), *packages]


def _install(home: Path, python: Path, binary: Path, peers: Sequence[Peer], overlay: bool) -> dict[str, str]:
    """Returns what failed: {peer: reason}."""
    subprocess.run([python, "-m", "venv", "--clear", home], check=True)
    if overlay:
        _lay_over(binary)
    elif why := _pip(binary, "torch", "numpy"):
        return {peer.name: f"no torch for it: {why}" for peer in peers}
    failures = {}
    for peer in peers:
        if peer.package and (why := _pip(binary, *peer.needs) or _pip(binary, "--no-deps", peer.package)):
            failures[peer.name] = f"does not install: {why}"
    return failures


def _lay_over(binary: Path) -> None:
    """Let the new environment see the packages of the one that runs us, behind its own."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([binary, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    below = sysconfig.get_path("purelib")
    (Path(own) / "below.pth").write_text(f"import site; site.addsitedir({below!r})\n")


def _pip(binary: Path, *arguments: str) -> str:
    """Install under the constraints; returns the last line of the error, empty if all is well."""
    command = [binary, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["-c", ROOT / "constraints.txt", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return (lines or ["pip failed"])[-1].removeprefix("ERROR: ")[:120] if done.returncode else ""


def _working(name: str) -> Path | None:
    """The interpreter of that name, if it runs."""
    path = shutil.which(name)
    if path is None:
        return None
    ask = [path, "-c", "import sys; print(sys.executable)"]
    pyenv = os.environ | {"PYENV_VERSION": name.removeprefix("python")}  # its stand-ins want to be told
    answer = subprocess.run(ask, capture_output=True, text=True, env=pyenv)
    return Path(answer.stdout.strip()) if answer.returncode == 0 else None
