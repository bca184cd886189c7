"""Engines in processes of their own take turns: whoever is not asked waits and uses no processor."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT
from benchmarks.timing import Pair, stays

MOST = 25
"""Rounds of a case."""


class Process:
    """An engine's process, started when it is first asked and again where it has died.

    Args:
        python: the interpreter of its environment.
        arguments: of `benchmarks.worker`.
    """

    def __init__(self, python: Path, *arguments: str) -> None:
        self.command = [python, "-m", "benchmarks.worker", *arguments]
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def python(self) -> str:
        """The version of the interpreter."""
        self._start()
        return self.greeting["python"]

    def ask(self, **question: str) -> dict[str, Any]:
        """The answer to a question; `why` if there is none."""
        self._start()
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"why": f"fails: its process ended with status {self.process.wait()}"}

    def _start(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        self.__exit__()
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=_variables(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.greeting = json.loads(self.process.stdout.readline() or '{"python": ""}')


def interleaved(engines: dict[str, Process], repeats: dict[str, int], budget: float) -> dict[str, list[Pair]]:
    """Time all in turn, round by round, each right after the plain forward; whoever has used its budget leaves.

    Args:
        engines: prepared for the case.
        repeats: of a call within a round.
        budget: seconds each may spend; all are in the first round at least.
    """
    rounds: dict[str, list[Pair]] = {name: [] for name in engines}
    for _ in range(MOST):
        for name, engine in engines.items():
            if stays(rounds[name], repeats[name], budget):
                answer = engine.ask()
                rounds[name] += [(answer["mine"], answer["plain"])] if "mine" in answer else []
    return rounds


def _variables() -> dict[str, str]:
    """One thread; this tree's sobolev, whatever is installed; no crowd of compilers beside each process."""
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "DDE_BACKEND": "pytorch", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    return os.environ | own
