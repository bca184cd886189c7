"""`python -m benchmarks [part ...] [--quick]`: run the comparisons, write the tables."""

import argparse
import json

from benchmarks import (
    calibration,
    certify,
    differential,
    engine,
    export,
    monitor,
    readout,
    surrogates,
    table,
    whole_job,
)
from benchmarks.machine import describe

PARTS = {
    "engine": engine,
    "readout": readout,
    "whole": whole_job,
    "monitor": monitor,
    "differential": differential,
    "calibration": calibration,
    "surrogates": surrogates,
    "certify": certify,
    "export": export,
}
"""Each has `run(quick)`, which measures, and of what was measured `document` and `shortfalls`."""


def main() -> None:
    """Run the chosen parts; a quick run prints and writes nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare sobolev with its peers.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; left out: all")
    parser.add_argument("--quick", action="store_true", help="under two minutes: few rounds, only the quick cases")
    options = parser.parse_args()
    if unknown := set(options.parts) - {*PARTS}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    for name in options.parts or PARTS:
        _run(name, options.quick)


def _run(name: str, quick: bool) -> None:
    part = PARTS[name]
    data = {"machine": describe(), **part.run(quick)}
    text = part.document(data)
    print(f"\n{text}")
    for line in part.shortfalls(data):
        print(f"not reached: {line}")
    if not quick:
        _write(name, data, text)


def _write(name: str, data: dict, text: str) -> None:
    table.RESULTS.mkdir(exist_ok=True)
    (table.RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (table.RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(f"written: benchmarks/results/{name}.md; README's table of the engines: python -m benchmarks.table")


if __name__ == "__main__":
    main()
