"""Processes that take turns, on engines whose cost is known; and on one that dies."""

import sys

from benchmarks.turns import Process, interleaved

ECHO = """
import json, os, sys
print(json.dumps({"python": "0.0"}), flush=True)
for line in sys.stdin:
    question = json.loads(line)
    if "die" in question:
        os._exit(3)
    print(json.dumps({"heard": question}), flush=True)
"""


class Engine:
    """Says what a call would have taken, and notes in which order it was asked."""

    def __init__(self, name, seconds, asked):
        self.name, self.seconds, self.asked = name, seconds, asked

    def ask(self):
        self.asked.append(self.name)
        return {"mine": self.seconds, "plain": 0.001}


def test_all_take_turns_until_their_budget_is_used():
    asked = []
    engines = {name: Engine(name, seconds, asked) for name, seconds in (("a", 0.003), ("slow", 0.03), ("far", 0.2))}
    rounds = interleaved(engines, {"a": 2, "slow": 1, "far": 1}, budget=0.05)
    assert {name: len(pairs) for name, pairs in rounds.items()} == {"a": 9, "slow": 3, "far": 1}
    assert asked[:6] == ["a", "slow", "far", "a", "slow", "a"]
    assert set(rounds["slow"]) == {(0.03, 0.001)}


def test_a_process_that_dies_is_said_and_started_again():
    with Process(sys.executable) as process:
        process.command = [sys.executable, "-c", ECHO]
        assert process.python() == "0.0"
        assert process.ask(case="d4") == {"heard": {"case": "d4"}}
        assert process.ask(die="now") == {"why": "fails: its process ended with status 3"}
        assert process.ask(case="d4") == {"heard": {"case": "d4"}}
    assert process.process.returncode is not None
