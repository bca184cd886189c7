"""Prints the score of the zoo at the end of the run, with any number of processes."""

from collections import Counter


def pytest_terminal_summary(terminalreporter):
    reports = [r for group in terminalreporter.stats.values() for r in group if getattr(r, "when", "") == "call"]
    score = Counter(value for report in reports for name, value in report.user_properties if name == "zoo")
    if score:
        kinds = ("right", "found", "silently wrong", "raw error")
        line = ", ".join(f"{kind} {score[kind]}" for kind in kinds)
        terminalreporter.write_line(f"zoo of {sum(score.values())} kinds of model: {line}")
