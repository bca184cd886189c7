"""`python -m benchmarks [engine] [readout] [whole] [differential] [--quick]`: run the comparisons, write the tables."""

import argparse
import json

from benchmarks import differential, engine, readout, table, whole_job
from benchmarks.machine import describe, sentence

PARTS = ("engine", "readout", "whole", "differential")


def main() -> None:
    """Run the chosen parts; a quick run prints and writes nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare sobolev with its peers.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; left out: all")
    parser.add_argument("--quick", action="store_true", help="under two minutes: few rounds, only the quick cases")
    options = parser.parse_args()
    if unknown := set(options.parts) - {*PARTS}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    for part in options.parts or PARTS:
        run = {"engine": _engine, "readout": _readout, "whole": _whole, "differential": _differential}[part]
        run(options.quick)


def _engine(quick: bool) -> None:
    data = {"machine": describe(), **engine.run(quick)}
    text = table.document(data)
    print(f"\n{text}")
    for line in table.shortfalls(data):
        print(f"promise not kept: {line}")
    if not quick:
        _write("engine", data, text)
        print("README's table: python -m benchmarks.table")


def _readout(quick: bool) -> None:
    data = {"machine": describe(), **readout.run(quick)}
    text = f"{readout.document(data)}\nMachine: {sentence(data['machine'])}.\n"
    print(f"\n{text}")
    for line in readout.shortfalls(data):
        print(f"promise not kept: {line}")
    if not quick:
        _write("readout", data, text)


def _whole(quick: bool) -> None:
    data = {"machine": describe(), **whole_job.run(quick)}
    text = f"{whole_job.document(data)}\nMachine: {sentence(data['machine'])}.\n"
    print(f"\n{text}")
    if not quick:
        _write("whole", data, text)


def _differential(quick: bool) -> None:
    data = {"machine": describe(), **differential.run(quick)}
    text = f"{differential.document(data)}\nMachine: {sentence(data['machine'])}.\n"
    print(f"\n{text}")
    for line in differential.shortfalls(data):
        print(f"not reached: {line}")
    if not quick:
        _write("differential", data, text)


def _write(name: str, data: dict, text: str) -> None:
    table.RESULTS.mkdir(exist_ok=True)
    (table.RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (table.RESULTS / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
