"""From the measurements to tables: `python -m benchmarks.table` writes them into the pages, `--check` only compares.

Every figure is a ratio to one plain `net(x)` of the same batch in the same round.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.cases import CASES, Case
from benchmarks.machine import sentence
from benchmarks.peers import PEERS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- speed: begin, written by python -m benchmarks.table -->", "<!-- speed: end -->"
OURS = "sobolev"
BY_HAND = "nested autograd.grad"
DEVICES = {"cpu": "one CPU thread", "cuda": "GPU"}


PAGES = {"README.md": ("d2-1000", "d4", "train-10000", "laplacian-10", "hessian-10"), "docs/speed.md": None}
"""Where the table stands, and which rows of it, eager alone; None: all, and what there is to say of them."""


def document(data: dict) -> str:
    """All tables of a measurement, the machine under them."""
    parts = []
    for device in dict.fromkeys(run["device"] for run in data["runs"]):
        runs = [run for run in data["runs"] if run["device"] == device]
        parts += [_table(runs, mode, device) for mode in ("eager", "compiled") if _engines(runs, mode)]
    return "\n\n".join([*parts, *_notes(data)]) + "\n"


def shortfalls(data: dict) -> list[str]:
    """Where a promise is not kept: a ratio above what we accept, or a peer nearer than it should be."""
    return [line for run in data["runs"] for key in run["results"] for line in _shortfalls(run, CASES[key])]


def brief(data: dict, keys: Sequence[str]) -> str:
    """A few rows of the eager table: ours, what everybody can do by hand, and who comes nearest; the machine below."""
    runs = [run for run in data["runs"] if run["device"] == "cpu"]
    lines = [["eager, one CPU thread", OURS, BY_HAND, "nearest other library, its time over ours"]]
    lines.append(["---", "---:", "---:", "---"])
    for key in keys:
        times = [_cell(runs, key, engine, "eager").partition(" ")[0] for engine in (OURS, BY_HAND)]
        lines.append([CASES[key].title, *times, _nearest(runs, key)])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    machine = sentence(data["machine"])
    return f"{table}\n\nRatios of processor time to one plain `net(x)` of the same batch. Machine: {machine}.\n"


def _nearest(runs: list[dict], key: str) -> str:
    """Both in the same environment, whichever that is: a newer Python is not compared with an older one."""
    found = []
    for run in runs:
        engines = run["results"][key]["engines"]
        mine = engines[f"{OURS}, eager"]["ratio"]
        others = {name.split(",")[0]: one for name, one in engines.items() if name.endswith("eager") and "ratio" in one}
        found += [(one["ratio"] / mine, name) for name, one in others.items() if name not in (OURS, BY_HAND)]
    factor, name = min(found)
    return f"{name}: {factor:.2f}"


def in_step(page: str, keys: Sequence[str] | None = None) -> str:
    """A page with the table of the latest results; with none while nothing has been measured."""
    results, text = RESULTS / "engine.json", ""
    if results.exists():
        data = json.loads(results.read_text(encoding="utf-8"))
        text = document(data) if keys is None else brief(data, keys)
    return between_markers(page, text)


def between_markers(text: str, table: str) -> str:
    """The text with the table between the two markers.

    Raises:
        ValueError: the markers are not there, once each and in order.
    """
    pattern = re.escape(BEGIN) + r"\n.*?" + re.escape(END)
    if len(re.findall(pattern, text, re.DOTALL)) != 1:
        raise ValueError(f"there must be one line {BEGIN!r} and, after it, one line {END!r}")
    return re.sub(pattern, lambda _: f"{BEGIN}\n{table}{END}", text, flags=re.DOTALL)


def ratio(value: float) -> str:
    """Two significant digits, whole numbers from 10 on: 1.5, 24, 1300."""
    if value < 9.95:
        return f"{value:.1f}"
    digits = len(str(round(value)))
    return str(round(value, 2 - digits) if digits > 2 else round(value)).removesuffix(".0")


def _table(runs: list[dict], mode: str, device: str) -> str:
    engines = _engines(runs, mode)
    header = [f"{mode}, {DEVICES[device]}", *engines]
    lines = [header, ["---", *["---:"] * len(engines)]]
    for key in runs[0]["results"]:
        cells = [_cell(runs, key, engine, mode) for engine in engines]
        lines.append([CASES[key].title, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _engines(runs: list[dict], mode: str) -> list[str]:
    """In the order of the list of peers; only who was timed at least once in this mode."""
    return [name for name in PEERS if any("ratio" in entry for entry in _entries(runs, f"{name}, {mode}"))]


def _entries(runs: list[dict], engine: str) -> Iterator[dict]:
    for run in runs:
        for result in run["results"].values():
            if engine in result["engines"]:
                yield result["engines"][engine]


def _cell(runs: list[dict], key: str, engine: str, mode: str) -> str:
    for run in runs:
        entry = run["results"][key]["engines"].get(f"{engine}, {mode}")
        if entry is None:
            continue
        if "ratio" in entry:
            mine = ratio(entry["ratio"])
            return f"**{mine}** ({ratio(entry['ratio_to_blocks'])})" if engine == OURS else mine
        return {"fails": "fails", "wrong": "wrong"}.get(entry["why"].split()[0].rstrip(":"), "–")
    return "–"


def _notes(data: dict) -> list[str]:
    errors = [entry["error"] for run in data["runs"] for entry in _checked(run)]
    notes = [
        "Each engine in a process of its own, in turns. Medians of the rounds, as ratios of processor time to one "
        "plain `net(x)` of the same batch in our process in the same round; in brackets to that forward done in "
        "blocks of rows, the quickest of several sizes. Networks: tanh, float32, 1-64-64-1 for one input, else "
        "d-256-256-1. A dash: not offered. Before it was timed, each was "
        f"compared with nested reverse mode in float64: largest relative error {max(errors, default=0):.0e}.",
        f"Machine: {sentence(data['machine'])}.",
    ]
    reasons = {f"{name}: {why}" for name, why in data["missing"].items()}
    for run in data["runs"]:
        for result in run["results"].values():
            reasons |= {
                f"{engine.replace(', ', ' (')}): {entry['why']}"
                for engine, entry in result["engines"].items()
                if entry.get("why", "").startswith(("fails", "wrong", "not timed"))
            }
    return notes + ["\n".join(f"* {reason}" for reason in sorted(reasons))] * bool(reasons)


def _checked(run: dict) -> Iterator[dict]:
    for result in run["results"].values():
        yield from (entry for entry in result["engines"].values() if "ratio" in entry)


def _shortfalls(run: dict, case: Case) -> Iterator[str]:
    engines = run["results"][case.key]["engines"]
    eager, compiled = ("eager", case.must, case.lead), ("compiled", case.must_compiled, case.lead_compiled)
    for mode, must, lead in (eager, compiled):
        mine = engines.get(f"{OURS}, {mode}")
        if mine is None:
            continue
        said = [mine["why"]] if "why" in mine else [*_over(mine, must), *_near(mine, engines, mode, lead)]
        if said:
            yield f"{case.title} ({mode}, {run['device']}, Python {run['python']}): {'; '.join(said)}"


def _over(mine: dict, must: float | None) -> Iterator[str]:
    if must is not None and mine["ratio"] > must:
        yield f"{ratio(mine['ratio'])} where at most {must:g} is promised"


def _near(mine: dict, engines: dict, mode: str, lead: float) -> Iterator[str]:
    """The peers of the same mode that we are not far enough ahead of."""
    peers = {name.split(",")[0]: entry for name, entry in engines.items() if name.endswith(mode) and "ratio" in entry}
    ahead = {name: entry["ratio"] / mine["ratio"] for name, entry in peers.items() if name != OURS}
    near = [f"{factor:.2f} of {name}" for name, factor in ahead.items() if factor < lead]
    if near:
        yield f"not {lead:g} times ahead but {', '.join(near)}"


def main() -> None:
    """Bring the pages in step with the results, or say whether they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a page is out of step")
    check = parser.parse_args().check
    for name, keys in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        wanted = in_step(text, keys)
        if check and wanted != text:
            sys.exit(f"the speed table of {name} is not what benchmarks/results says: run python -m benchmarks.table")
        if not check:
            (ROOT / name).write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
