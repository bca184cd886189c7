"""Whole processes, everything included: the post's own script and our default job, in turn."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.machine import sentence

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "logs"
LIMIT = 1.3
"""How many times the post's time ours may take."""

POST = [sys.executable, "benchmarks/post.py"]
OURS = [sys.executable, "-m", "src.train"]


def run(quick: bool) -> dict:
    """Seconds of both, round by round, and the ratio of their medians."""
    rounds: dict[str, list[float]] = {"post": [], "ours": []}
    with _without_traces():
        for _ in range(1 if quick else 5):
            for name, command in (("post", POST), ("ours", OURS)):
                rounds[name].append(_seconds(command))
                print(f"  {name}: {rounds[name][-1]:.1f} s", flush=True)
    return summary(rounds)


def summary(rounds: dict[str, list[float]]) -> dict:
    """Medians of both and their ratio."""
    post, ours = median(rounds["post"]), median(rounds["ours"])
    return {"rounds": rounds, "post": post, "ours": ours, "ratio": ours / post}


def document(data: dict) -> str:
    """One sentence with the figures."""
    rounds = len(data["rounds"]["ours"])
    times = "once" if rounds == 1 else f"{rounds} times in turn, medians"
    return (
        f"Whole processes ({times}): the post's own script {data['post']:.1f} s, our default job with monitoring, "
        f"picture and report {data['ours']:.1f} s: {data['ratio']:.2f} times (at most {LIMIT:g} is promised).\n\n"
        f"Machine: {sentence(data['machine'])}.\n"
    )


def shortfalls(data: dict) -> list[str]:
    """The promise, if it was not kept."""
    return [f"{data['ratio']:.2f} times the post's time, not {LIMIT:g}"] if data["ratio"] > LIMIT else []


def environment() -> dict[str, str]:
    """Of a process that imports this tree."""
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path}


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    taken = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed:\n{done.stderr[-2000:]}")
    return taken


@contextmanager
def _without_traces() -> Iterator[None]:
    """Remove from logs/ what was not there before, and nothing else."""
    before = set(LOGS.rglob("*"))
    there = LOGS.exists()
    try:
        yield
    finally:
        new = sorted(set(LOGS.rglob("*")) - before)
        for path in new:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not there and LOGS.exists():
            LOGS.rmdir()
